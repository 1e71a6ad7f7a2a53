// Negative log likelihood on the GPU, as loss_nll.cpp's forward and backward.
#pragma once

#include <ATen/core/Tensor.h>

namespace alt::kernels {

/// Element (n, class, p) of the input is at (n * classes + class) * positions + p.
struct NllProblem {
  int64_t classes, positions, ignore_index;
  bool mean, elementwise;  // elementwise: a loss for each target; otherwise one number

  /// body(i, at) for the targets from `begin` to `end`: class c of i's input is at(c).
  template <class Body>
  void for_each(int64_t begin, int64_t end, Body&& body) const {
    int64_t image = begin / positions, position = begin % positions;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = image * classes * positions + position;
      body(i, [&](int64_t target) { return first + target * positions; });
      if (++position == positions) {
        position = 0;
        ++image;
      }
    }
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
