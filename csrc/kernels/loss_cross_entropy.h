// Cross entropy of class indices: what loss_cross_entropy.cpp asks of its kernel.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace alt::kernels::cross_entropy {

/// Element (image, class, position) of the input is at (image * classes + class) * positions +
/// position, and its target at image * positions + position.
struct Problem {
  int64_t images, classes, positions;
  int64_t reduction, ignore_index;  // reduction: at::Reduction
  double label_smoothing;           // 0 where there are weights
};

struct Result {
  at::Tensor loss;      // of the shape of the targets, or one number
  at::Tensor gradient;  // of the input, for a loss whose gradient is 1; undefined if not wanted
};

/// `input` and `target` (int64) are contiguous; `weight` is of the input's dtype, or undefined.
Result compute(const at::Tensor& input, const at::Tensor& target, const at::Tensor& weight,
               const Problem& problem, bool with_gradient);

}  // namespace alt::kernels::cross_entropy
