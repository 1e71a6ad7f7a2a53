// How a product C = A B is split among the threads: into strips, ranges of rows of C or of its
// columns, whichever side is longer. Each strip repeats the packing of the operand it shares, which
// costs about 1 % at 128 rows a strip.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/blas.h"
#include "runtime/thread_pool.h"

namespace alt::blas {

template <class T>
Matrix<T> skip(Matrix<T> matrix, int64_t rows, int64_t columns) {
  const int64_t offset =
      matrix.transposed ? columns * matrix.stride + rows : rows * matrix.stride + columns;
  return {matrix.data + offset, matrix.stride, matrix.transposed};
}

/// Length of a strip of a side of C: two strips a thread, so that one thread alone can make up for
/// a thread that is not running, but none so thin that packing would cost more than it saves.
inline int64_t strip_length(int64_t side, double operations) {
  constexpr double operations_worth_a_thread = 1e6;  // about 10 us of a core's sgemm
  constexpr int64_t thinnest = 16;
  const int64_t strips =
      std::min<int64_t>({static_cast<int64_t>(operations / operations_worth_a_thread),
                         2 * int64_t{num_threads()}, side / thinnest});
  if (num_threads() == 1 || strips <= 1) {
    return side;
  }
  const int64_t length = (side + strips - 1) / strips;
  return (length + thinnest - 1) / thinnest * thinnest;
}

/// Calls leaf(rows, columns, a, b, c) with the part of each that a strip needs.
template <class M, class T, class Leaf>
void for_strips(int64_t m, int64_t n, int64_t k, const M& a, const M& b, T* c, int64_t c_stride,
                Leaf&& leaf) {
  if (m == 0 || n == 0) {
    return;
  }
  const bool by_rows = m >= n;
  const int64_t side = by_rows ? m : n;
  const int64_t length = strip_length(side, 2.0 * m * n * std::max<int64_t>(k, 1));
  if (length >= side) {
    return leaf(m, n, a, b, c);
  }
  parallel_for(0, (side + length - 1) / length, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * length;
    const int64_t count = std::min(end * length, side) - first;
    if (by_rows) {
      leaf(count, n, skip(a, first, 0), b, c + first * c_stride);
    } else {
      leaf(m, count, a, skip(b, 0, first), c + first);
    }
  });
}

}  // namespace alt::blas
