// Operators that treat a tensor as planes, batch times channels of them, each an image of up to
// three dimensions: pooling and upsampling. How their loops get at operands and are shared out.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdint>

#include "kernels/window.h"
#include "loops/dtype.h"
#include "runtime/thread_pool.h"

namespace alt::kernels::planes {

/// The spatial sizes of a tensor with `dimensions` of them.
inline Extent spatial(const at::Tensor& tensor, int64_t dimensions) {
  return extent_of(tensor.sizes().slice(tensor.dim() - dimensions), 1);
}

/// Batch times channels.
inline int64_t count(const at::Tensor& tensor, int64_t dimensions) {
  return c10::multiply_integers(tensor.sizes().slice(0, tensor.dim() - dimensions));
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
void for_each_row(int64_t planes, const Extent& output, int64_t work_a_row, Body&& body) {
  const int64_t rows = output[0] * output[1];
  const int64_t grain = 32768 / std::max<int64_t>(work_a_row, 1) + 1;
  parallel_for(0, planes * rows, grain, [&](int64_t begin, int64_t end) {
    // Counted on, for a division takes as long as a short row.
    int64_t plane = begin / rows, d = begin % rows / output[1], h = begin % output[1];
    for (int64_t index = begin; index < end; ++index) {
      body(plane, d, h);
      if (++h < output[1]) continue;
      h = 0;
      if (++d < output[0]) continue;
      d = 0;
      ++plane;
    }
  });
}

/// Calls body(plane) for every plane.
template <class Body>
void for_each(int64_t planes, int64_t work_a_plane, Body&& body) {
  const int64_t grain = 32768 / std::max<int64_t>(work_a_plane, 1) + 1;
  parallel_for(0, planes, grain, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      body(plane);
    }
  });
}

}  // namespace alt::kernels::planes
