// What recurrent layers and cells do alike to take autograd's place.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/custom_function.h>

#include <initializer_list>

#include "kernels/autograd.h"
#include "loops/dtype.h"

namespace alt::kernels::rnn {

using torch::autograd::AutogradContext;

/// `tensor` as the kernels want it: contiguous, a half type in float. Undefined stays undefined.
inline at::Tensor prepared(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.to(opmath_dtype(tensor.scalar_type())).contiguous() : tensor;
}

inline at::Tensor rounded(const at::Tensor& tensor, at::ScalarType dtype) {
  return tensor.defined() ? tensor.to(dtype) : tensor;
}

/// What the kernels computed, in the dtype of the call.
inline void round_all(std::initializer_list<at::Tensor*> tensors, at::ScalarType dtype) {
  for (at::Tensor* tensor : tensors) *tensor = rounded(*tensor, dtype);
}

inline bool has_sizes(const at::Tensor& tensor, at::IntArrayRef sizes) {
  return tensor.sizes() == sizes;
}

inline void note_hooks(AutogradContext* context) {
  context->saved_data["hooked"] = hooks_take_saved();
}

inline bool may_overwrite(AutogradContext* context) {
  return may_overwrite_saved(context->saved_data["hooked"].toBool());
}

}  // namespace alt::kernels::rnn
