#pragma once

#include <ATen/core/Tensor.h>

namespace alt::kernels {

/// torch.optim.RMSprop's, by its names.
struct RmspropOptions {
  double lr, alpha, eps, weight_decay, momentum;
  bool centered, maximize;
};

/// A step of RMSprop, the counts of steps excepted. False, with nothing done, where it is not one
/// pass: on a GPU, or for lists that are not as the options have them.
bool rmsprop(at::TensorList params, at::TensorList grads, at::TensorList square_avgs,
             at::TensorList grad_avgs, at::TensorList momentum_buffers,
             const RmspropOptions& options);

}  // namespace alt::kernels
