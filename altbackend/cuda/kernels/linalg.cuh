// What linear algebra needs beside cuSOLVER.
#pragma once

#include "loops/block.cuh"

namespace alt::kernels {

namespace linalg {
enum Integers { kRows, kPivots, kPlaces };
}  // namespace linalg

/// Swaps of rows, as LU factorization gives them, to permutations: each row of places, in order
/// before, is swapped by its row of pivots, which count from 1. tensors: places (int64), pivots,
/// contiguous.
template <class I>
ALT_FN void unpack_pivots(const KernelArgs& a) {
  const int64_t places = a.integers[linalg::kPlaces], pivots = a.integers[linalg::kPivots];
  for (int64_t row = first_index(); row < a.integers[linalg::kRows]; row += grid_step()) {
    int64_t* permuted = data_of<int64_t>(a.tensors[0]) + row * places;
    const I* swaps = data_of<I>(a.tensors[1]) + row * pivots;
    for (int64_t i = 0; i < pivots; ++i) {
      const int64_t other = static_cast<int64_t>(swaps[i]) - 1;
      if (other < 0 || other >= places) {
        fail(FailureKind::kIndexOfDimension, other + 1, places);
        break;
      }
      const int64_t held = permuted[i];
      permuted[i] = permuted[other];
      permuted[other] = held;
    }
  }
}

}  // namespace alt::kernels
