#pragma once

#include <ATen/core/Tensor.h>

namespace alt::kernels::cuda {

/// Of each element; operands are contiguous and of one size, `weight` may be undefined.
void binary_cross_entropy(const at::Tensor& input, const at::Tensor& target,
                          const at::Tensor& weight, const at::Tensor& out);
void binary_cross_entropy_backward(const at::Tensor& grad, const at::Tensor& input,
                                   const at::Tensor& target, const at::Tensor& weight, double scale,
                                   const at::Tensor& grad_input);

}  // namespace alt::kernels::cuda
