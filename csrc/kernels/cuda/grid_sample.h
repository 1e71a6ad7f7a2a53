// grid_sample and its gradients on the GPU, for csrc/kernels/grid_sample.cpp.
#pragma once

#include <ATen/core/Tensor.h>

namespace alt::kernels::cuda {

/// What the kernels need to know beside tensors.
struct GridSample {
  int64_t interpolation, padding;
  bool align_corners;
};

/// `output` is filled; it has elements.
void grid_sample(const at::Tensor& input, const at::Tensor& grid, const GridSample& options,
                 const at::Tensor& output);

/// Fills those that are defined; that of the grid is not asked for in nearest mode.
void grid_sample_backward(const at::Tensor& grad_output, const at::Tensor& input,
                          const at::Tensor& grid, const GridSample& options,
                          const at::Tensor& grad_input, const at::Tensor& grad_grid);

}  // namespace alt::kernels::cuda
