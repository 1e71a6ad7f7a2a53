// The tile of a matrix product whose matrices need not exist: what conv is made of.
//
// A block of 256 threads computes 64 x 64 elements of C = A B, each thread 4 x 4 of them, in steps
// of 16 along the sum: a step's columns of A and rows of B are fetched once into shared memory, and
// each number there is used 64 times. `a(row, k)` and `b(k, column)` fetch a number, zero outside;
// `store(row, column, sum)` is called for elements inside only.
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt {

inline constexpr int kTile = 64;
inline constexpr int kTileStep = 16;

template <class T, class LoadA, class LoadB, class Store>
ALT_FN void tiled_product(int64_t rows, int64_t columns, int64_t depth, int64_t first_row,
                          int64_t first_column, LoadA a, LoadB b, Store store) {
  constexpr int kEach = 4;
  constexpr int kThreads = kTile / kEach;  // threads along a side
  __shared__ T left[kTileStep][kTile];
  __shared__ T right[kTileStep][kTile];
  const int thread = static_cast<int>(threadIdx.x);
  const int x = thread % kThreads;
  const int y = thread / kThreads;

  T sums[kEach][kEach] = {};
  for (int64_t k = 0; k < depth; k += kTileStep) {
#pragma unroll
    for (int i = thread; i < kTileStep * kTile; i += kThreads * kThreads) {
      const int step = i / kTile, at = i % kTile;
      const bool inside = k + step < depth;
      left[step][at] = inside && first_row + at < rows ? a(first_row + at, k + step) : T(0);
      right[step][at] =
          inside && first_column + at < columns ? b(k + step, first_column + at) : T(0);
    }
    __syncthreads();
    for (int step = 0; step < kTileStep; ++step) {
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        // A thread's elements are kThreads apart, so that neighbours read neighbours.
#pragma unroll
        for (int j = 0; j < kEach; ++j) {
          sums[i][j] = fma(left[step][y + i * kThreads], right[step][x + j * kThreads], sums[i][j]);
        }
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int64_t row = first_row + y + i * kThreads;
      const int64_t column = first_column + x + j * kThreads;
      if (row < rows && column < columns) store(row, column, sums[i][j]);
    }
  }
}

}  // namespace alt
