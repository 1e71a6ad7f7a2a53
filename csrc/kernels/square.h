// A square of lanes: as many vectors as a vector has lanes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/norm_lanes.h"
#include "loops/vec.h"

namespace alt::kernels {

/// The lanes of one half of `a` and of `b` in turns.
template <class T, bool upper, size_t... lane>
Vec<T> interleave(const Vec<T>& a, const Vec<T>& b, std::index_sequence<lane...>) {
  constexpr size_t size = Vec<T>::size, first = upper ? size / 2 : 0;
  return Vec<T>(
      __builtin_shufflevector(a.native, b.native, (first + lane / 2 + (lane % 2) * size)...));
}

/// A square of lanes transposed, in place: each round interleaves the rows of its upper half with
/// those of its lower, and log2(side) perfect shuffles exchange row and lane.
template <class T>
void transpose(Vec<T> (&rows)[Vec<T>::size]) {
  constexpr int side = Vec<T>::size;
  constexpr auto lanes = std::make_index_sequence<side>{};
#pragma GCC unroll 4
  for (int round = 1; round < side; round *= 2) {
    Vec<T> next[side];
#pragma GCC unroll 8
    for (int i = 0; i < side / 2; ++i) {
      next[2 * i] = interleave<T, false>(rows[i], rows[i + side / 2], lanes);
      next[2 * i + 1] = interleave<T, true>(rows[i], rows[i + side / 2], lanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < side; ++i) rows[i] = next[i];
  }
}

/// The first rows of a square, of so many columns each, from memory; the others zero.
template <class T, class S>
void load_square(Vec<T> (&square)[Vec<T>::size], const S* from, int64_t stride, int rows,
                 int columns) {
  for (int i = 0; i < Vec<T>::size; ++i) {
    if (i >= rows) {
      square[i] = Vec<T>(T(0));
    } else if (columns == Vec<T>::size) {
      square[i] = load_lanes(from + i * stride, Full{});
    } else {
      square[i] = load_lanes(from + i * stride, columns);
    }
  }
}

}  // namespace alt::kernels
