// Sequences of numbers, and triangles of matrices.
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace factory {
enum Integers { kSteps, kByIntegers, kStart, kStep };
enum Numbers { kFrom, kBy, kTo };
enum TriangleIntegers { kDiagonal, kUpper };
}  // namespace factory

/// arange: start + i step, in int64 where kByIntegers; linspace: where kTo is a number, from both
/// ends to the middle. All in double, rounded once. tensors: output, of one dimension.
template <class T>
ALT_FN void sequence(const KernelArgs& a) {
  using namespace factory;
  const TensorArgs& output = a.tensors[0];
  const int64_t n = a.integers[kSteps];
  const double to = a.numbers[kTo];
  for (int64_t i = first_index(); i < n; i += grid_step()) {
    T value;
    if (a.integers[kByIntegers] != 0) {
      value = convert<T>(fma(a.integers[kStep], i, a.integers[kStart]));
    } else {
      const bool from_end = to == to && i >= n / 2;
      const double steps = static_cast<double>(from_end ? i - (n - 1) : i);
      value = convert<T>(fma(a.numbers[kBy], steps, from_end ? to : a.numbers[kFrom]));
    }
    data_of<T>(output)[i * output.strides[0]] = value;
  }
}

/// tril and triu: what lies on the other side of the diagonal becomes 0. tensors: output, input, of
/// the same sizes, the last two of which are the matrices'.
template <class T>
ALT_FN void triangle(const KernelArgs& a) {
  const TensorArgs &output = a.tensors[0], &input = a.tensors[1];
  int64_t n = 1;
  for (int64_t d = 0; d < output.ndim; ++d) n *= output.sizes[d];
  const int64_t columns = output.sizes[output.ndim - 1], rows = output.sizes[output.ndim - 2];
  for (int64_t i = first_index(); i < n; i += grid_step()) {
    const int64_t distance = i % columns - i / columns % rows - a.integers[factory::kDiagonal];
    const bool kept = a.integers[factory::kUpper] != 0 ? distance >= 0 : distance <= 0;
    data_of<T>(output)[offset_at(output, i)] = kept ? data_of<T>(input)[offset_at(input, i)] : T(0);
  }
}

}  // namespace alt::kernels
