// Products of integer matrices; cuBLAS multiplies the others.
#pragma once

#include "loops/product.cuh"

namespace alt::kernels {

namespace gemm {
enum Integers { kAlpha, kBeta };
}

/// c = alpha a b + beta c, wrapping around as the host's do; c is not read where beta is 0.
/// tensors: c, a, b of batch x rows x columns, any strides. A block a tile: blockIdx.x along the
/// columns, y along the rows, z a matrix of the batch.
template <class T>
ALT_FN void integer_product(const KernelArgs& a) {
  const TensorArgs &result = a.tensors[0], &left = a.tensors[1], &right = a.tensors[2];
  const int64_t batch = blockIdx.z;
  const T* from_left = data_of<T>(left) + batch * left.strides[0];
  const T* from_right = data_of<T>(right) + batch * right.strides[0];
  T* to = data_of<T>(result) + batch * result.strides[0];
  const T alpha = static_cast<T>(a.integers[gemm::kAlpha]);
  const T beta = static_cast<T>(a.integers[gemm::kBeta]);
  tiled_product<T>(
      result.sizes[1], result.sizes[2], left.sizes[2], blockIdx.y * int64_t(kTile),
      blockIdx.x * int64_t(kTile),
      [&](int64_t row, int64_t k) {
        return from_left[row * left.strides[1] + k * left.strides[2]];
      },
      [&](int64_t k, int64_t column) {
        return from_right[k * right.strides[1] + column * right.strides[2]];
      },
      [&](int64_t row, int64_t column, T sum) {
        T& c = to[row * result.strides[1] + column * result.strides[2]];
        c = static_cast<T>(alpha * sum + (beta == T(0) ? T(0) : static_cast<T>(beta * c)));
      });
}

}  // namespace alt::kernels
