// Sums, means and maxima over bags of embedding rows.
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace bags {
enum Integers { kBags, kWidth, kRows, kPlaces, kOffsets, kMode, kPadding };
enum Modes { kSum, kMean, kMax };
}  // namespace bags

/// A thread has a column of a bag, and goes through its places in order; the padding's row counts
/// for nothing. Bag b has places offsets[b] to offsets[b + 1], the last, without such, all that are
/// left. tensors: output (bags x width), sizes of the bags, rows of the largest or none, weight
/// (rows x width), indices, offsets, a factor for each place or none; contiguous.
template <class T>
ALT_FN void embedding_bag(const KernelArgs& a) {
  using A = opmath_t<T>;
  const int64_t* g = a.integers;
  const int64_t width = g[bags::kWidth], places = g[bags::kPlaces], mode = g[bags::kMode];
  const int64_t* index = data_of<int64_t>(a.tensors[4]);
  const int64_t* offset = data_of<int64_t>(a.tensors[5]);
  int64_t* largest = data_of<int64_t>(a.tensors[2]);
  for (int64_t i = first_index(); i < g[bags::kBags] * width; i += grid_step()) {
    const int64_t bag = i / width, d = i % width;
    const int64_t first = offset[bag];
    const int64_t last = bag + 1 < g[bags::kOffsets] ? offset[bag + 1] : places;
    if (first > last || last > places || (bag == 0 ? first != 0 : first < 0)) {
      fail(FailureKind::kBadValue, first, last + 1);
      continue;
    }
    A sum(0);
    int64_t count = 0, best = 0;
    for (int64_t k = first; k < last; ++k) {
      const int64_t row = index[k];
      if (row < 0 || row >= g[bags::kRows]) {
        fail(FailureKind::kIndexOfDimension, row, g[bags::kRows]);
        continue;
      }
      if (row == g[bags::kPadding]) continue;
      A x = convert<A>(data_of<T>(a.tensors[3])[row * width + d]);
      if (a.tensors[6].data != nullptr) x *= convert<A>(data_of<T>(a.tensors[6])[k]);
      if (mode != bags::kMax) {
        sum += x;
      } else if (count == 0 || x > sum) {
        sum = x;
        best = row;
      }
      ++count;
    }
    if (mode == bags::kMean && count > 0) sum /= static_cast<A>(count);
    data_of<T>(a.tensors[0])[i] = convert<T>(sum);
    if (largest != nullptr) largest[i] = best;
    if (d == 0) data_of<int64_t>(a.tensors[1])[bag] = count;
  }
}

}  // namespace alt::kernels
