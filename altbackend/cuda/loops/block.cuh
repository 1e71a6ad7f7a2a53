// What the threads of a block compute together.
#pragma once

#include <cstdint>

#include "loops/arguments.h"
#include "loops/dtype.cuh"
#include "loops/function.h"

namespace alt {

inline constexpr int kBlockThreads = 256;

/// A block as lanes that share a row's elements, and rows: neighbours are lanes along a row
/// (blockDim.x lanes), or rows across (blockDim.y lanes), as their memory lies. Lanes are a power
/// of 2.
struct Lanes {
  bool across;
  uint32_t lane;
  uint32_t count;
  uint32_t distance;  // between two lanes of a row, in threads
  int64_t row;        // of the whole grid

  ALT_FN explicit Lanes(bool is_across)
      : across(is_across),
        lane(is_across ? threadIdx.y : threadIdx.x),
        count(is_across ? blockDim.y : blockDim.x),
        distance(is_across ? blockDim.x : 1),
        row(static_cast<int64_t>(blockIdx.x) * (is_across ? blockDim.x : blockDim.y) +
            (is_across ? threadIdx.x : threadIdx.y)) {}

  /// `x` of all lanes of the row by `combine`, in a tree; every lane gets it. All threads of the
  /// block come here.
  template <class T, class Combine>
  ALT_FN T all(T x, Combine combine) const {
    __shared__ T shared[kBlockThreads];
    const uint32_t self = threadIdx.y * blockDim.x + threadIdx.x;
    __syncthreads();  // until the last use of `shared` is over
    shared[self] = x;
    for (uint32_t width = count / 2; width > 0; width /= 2) {
      __syncthreads();
      if (lane < width) {
        x = combine(x, shared[self + width * distance]);
        shared[self] = x;
      }
    }
    __syncthreads();
    return shared[self - lane * distance];
  }
  template <class T>
  ALT_FN T sum(T x) const {
    return all(x, [](T a, T b) { return a + b; });
  }
};

/// A tensor's memory as Ts, addressed by strides.
template <class T>
ALT_FN T* data_of(const TensorArgs& a) {
  return static_cast<T*>(a.data);
}

/// Element `i` of a tensor of any strides, counted in row-major order.
ALT_FN int64_t offset_at(const TensorArgs& a, int64_t i) {
  int64_t offset = 0;
  for (int64_t d = a.ndim - 1; d >= 0; --d) {
    offset += i % a.sizes[d] * a.strides[d];
    i /= a.sizes[d];
  }
  return offset;
}

/// This thread's place in the grid, and how far all its threads go at once.
ALT_FN int64_t first_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
ALT_FN int64_t grid_step() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

}  // namespace alt
