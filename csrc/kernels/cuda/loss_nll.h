// Negative log likelihood on the GPU, as loss_nll.cpp's forward and backward.
#pragma once

#include <ATen/core/Tensor.h>

namespace alt::kernels {

/// Element (n, class, p) of the input is at (n * classes + class) * positions + p.
struct NllProblem {
  int64_t classes, positions, ignore_index;
  bool mean, elementwise;  // elementwise: a loss for each target; otherwise one number

  int64_t at(int64_t i, int64_t target) const {
    return (i / positions * classes + target) * positions + i % positions;
  }
};

namespace cuda {

/// Targets are int64 and contiguous, `weight` may be undefined.
void nll_forward(const at::Tensor& self, const at::Tensor& target, const at::Tensor& weight,
                 const NllProblem& problem, const at::Tensor& output,
                 const at::Tensor& total_weight);
void nll_backward(const at::Tensor& grad_output, const at::Tensor& target, const at::Tensor& weight,
                  const NllProblem& problem, const at::Tensor& total_weight,
                  const at::Tensor& grad_input);

}  // namespace cuda
}  // namespace alt::kernels
