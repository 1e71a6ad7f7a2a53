// The fused optimizers on the GPU: all parameters of a dtype in one launch.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace alt::kernels::cuda {

/// A step of an optimizer, in the order of altbackend/cuda/kernels/optim.cuh.
struct OptimizerStep {
  std::vector<at::TensorList> lists;  // parameters, gradients, state; a list may be empty
  at::TensorList steps;               // of each parameter, or empty
  std::vector<double> numbers;
  std::vector<int64_t> integers;
};

void run_optimizer(const char* name, const OptimizerStep& step,
                   const std::optional<at::Tensor>& grad_scale,
                   const std::optional<at::Tensor>& found_inf);

/// The gradients times a number; `found_inf` becomes 1 where one of them is not finite.
void unscale(at::TensorList gradients, const at::Tensor& inv_scale, const at::Tensor& found_inf);

void update_scale(const at::Tensor& scale, const at::Tensor& growth_tracker,
                  const at::Tensor& found_inf, double growth, double backoff, int64_t interval);

}  // namespace alt::kernels::cuda
