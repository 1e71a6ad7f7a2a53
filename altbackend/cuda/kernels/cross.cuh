// The cross product of vectors along one dimension of size 3: a thread a vector.
#pragma once

#include "kernels/index.cuh"

namespace alt::kernels {

/// tensors: result, a and b, of any strides, with size 1 along the vectors' dimension, whose
/// strides are the integers.
template <class T>
ALT_FN void cross(const KernelArgs& a) {
  using A = opmath_t<T>;
  T* at[3];
  const int64_t n = index::numel(a.tensors[0]);
  for (int64_t i = first_index(); i < n; i += grid_step()) {
    A x[2][3];
    for (int k = 0; k < 3; ++k) at[k] = data_of<T>(a.tensors[k]) + offset_at(a.tensors[k], i);
    // All of them first: the result may be one of the operands.
    for (int k = 0; k < 3; ++k) {
      x[0][k] = convert<A>(at[1][k * a.integers[1]]);
      x[1][k] = convert<A>(at[2][k * a.integers[2]]);
    }
    for (int k = 0; k < 3; ++k) {
      const int next = (k + 1) % 3, last = (k + 2) % 3;
      at[0][k * a.integers[0]] =
          convert<T>(static_cast<A>(x[0][next] * x[1][last] - x[0][last] * x[1][next]));
    }
  }
}

}  // namespace alt::kernels
