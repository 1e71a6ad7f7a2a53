// What the pooling kernels share: the shape of a pooling, and operands as their loops want them.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdint>

#include "kernels/window.h"
#include "loops/dtype.h"
#include "runtime/thread_pool.h"

namespace alt::kernels::pool {

/// A pooling of `planes` images (batch times channels), each contiguous.
struct Geometry {
  int64_t planes;
  Extent input;
  Extent output;
  Extent kernel;
  Extent stride;
  Extent padding;
  Extent dilation;
};

/// The spatial sizes of a tensor with `dimensions` of them.
inline Extent spatial(const at::Tensor& tensor, int64_t dimensions) {
  return extent_of(tensor.sizes().slice(tensor.dim() - dimensions), 1);
}

/// Batch times channels.
inline int64_t planes_of(const at::Tensor& tensor, int64_t dimensions) {
  return c10::multiply_integers(tensor.sizes().slice(0, tensor.dim() - dimensions));
}

/// A window parameter as PyTorch takes it: one value for every dimension, one for each, or (stride)
/// none at all, which means `otherwise`.
inline Extent parameter(at::IntArrayRef values, int64_t dimensions, int64_t absent,
                        const Extent& otherwise = {1, 1, 1}) {
  if (values.empty()) {
    return otherwise;
  }
  Extent result{absent, absent, absent};
  for (int64_t i = 0; i < dimensions; ++i) {
    result[3 - dimensions + i] = values.size() == 1 ? values[0] : values[i];
  }
  return result;
}

/// An operand: contiguous, in the type that arithmetic is done in.
inline at::Tensor source(const at::Tensor& tensor) {
  return tensor.to(opmath_dtype(tensor.scalar_type())).contiguous();
}

/// A result: contiguous memory in the type that arithmetic is done in, which finish() delivers
/// where it is not the result's own.
class Target {
 public:
  explicit Target(const at::Tensor& tensor) : wanted_(tensor), buffer_(tensor) {
    const at::ScalarType dtype = opmath_dtype(tensor.scalar_type());
    if (dtype != tensor.scalar_type() || !tensor.is_contiguous()) {
      buffer_ = at::empty(tensor.sizes(), tensor.options().dtype(dtype));
    }
  }
  template <class T>
  T* data() const {
    return buffer_.mutable_data_ptr<T>();
  }
  void finish() const {
    if (!buffer_.is_same(wanted_)) {
      wanted_.copy_(buffer_);
    }
  }

 private:
  at::Tensor wanted_;
  at::Tensor buffer_;
};

/// Calls body(plane, d, h) for every row of every output plane.
template <class Body>
void for_each_output_row(int64_t planes, const Extent& output, int64_t work_a_row, Body&& body) {
  const int64_t rows = output[0] * output[1];
  const int64_t grain = 32768 / std::max<int64_t>(work_a_row, 1) + 1;
  parallel_for(0, planes * rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      body(index / rows, index % rows / output[1], index % output[1]);
    }
  });
}

/// Calls body(plane) for every plane.
template <class Body>
void for_each_plane(int64_t planes, int64_t work_a_plane, Body&& body) {
  const int64_t grain = 32768 / std::max<int64_t>(work_a_plane, 1) + 1;
  parallel_for(0, planes, grain, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      body(plane);
    }
  });
}

/// The range of positions that adaptive pooling gives output `index` of `outputs`.
struct AdaptiveRange {
  AdaptiveRange(int64_t index, int64_t outputs, int64_t inputs)
      : first(index / outputs * inputs + index % outputs * inputs / outputs),
        last(1 + ((index + 1) * inputs - 1) / outputs) {}
  int64_t size() const { return last - first; }
  int64_t first;
  int64_t last;
};

}  // namespace alt::kernels::pool
