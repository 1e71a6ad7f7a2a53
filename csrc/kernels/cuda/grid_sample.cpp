// altbackend/cuda/kernels/grid_sample.cuh. Half types are computed in float, on copies.
#include "kernels/cuda/grid_sample.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "kernels/cuda/launches.h"
#include "loops/dtype.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;

Tensor dense(const Tensor& tensor) {
  return tensor.to(opmath_dtype(tensor.scalar_type())).contiguous();
}

/// Calls body with memory like dense(tensor), whose values the tensor gets.
template <class Body>
void fill_dense(const Tensor& tensor, Body&& body) {
  const auto options = tensor.options().dtype(opmath_dtype(tensor.scalar_type()));
  const Tensor memory = at::zeros(tensor.sizes(), options);
  body(memory);
  tensor.copy_(memory);
}

struct GridLaunch {
  KernelArgs arguments{};
  int64_t points;

  GridLaunch(const Tensor& input, const Tensor& grid, const GridSample& options,
             std::initializer_list<Tensor> tensors) {
    const int64_t dimensions = input.dim() - 2;
    const int64_t each = c10::multiply_integers(grid.sizes().slice(1, dimensions));
    points = input.size(0) * each;
    arguments = dense_arguments(
        tensors, {dimensions, input.size(0), input.size(1), each,
                  dimensions == 3 ? input.size(2) : 1, input.size(-2), input.size(-1),
                  options.interpolation, options.padding, options.align_corners});
  }
};

void launch_grid(const char* name, const Tensor& first, const GridLaunch& launch) {
  launch_elements(kernel(name, {first.scalar_type()}), launch.points, launch.arguments);
}

}  // namespace

void grid_sample(const Tensor& input, const Tensor& grid, const GridSample& options,
                 const Tensor& output) {
  fill_dense(output, [&](const Tensor& to) {
    const Tensor image = dense(input), points = dense(grid);
    launch_grid("grid_sample", to, GridLaunch(input, grid, options, {to, image, points}));
  });
}

void grid_sample_backward(const Tensor& grad_output, const Tensor& input, const Tensor& grid,
                          const GridSample& options, const Tensor& grad_input,
                          const Tensor& grad_grid) {
  const Tensor gradient = dense(grad_output), image = dense(input), points = dense(grid);
  if (grad_input.defined()) {
    fill_dense(grad_input, [&](const Tensor& to) {
      launch_grid("grid_sample_backward_image", to,
                  GridLaunch(input, grid, options, {to, gradient, points}));
    });
  }
  if (grad_grid.defined()) {
    fill_dense(grad_grid, [&](const Tensor& to) {
      launch_grid("grid_sample_backward_points", to,
                  GridLaunch(input, grid, options, {to, gradient, image, points}));
    });
  }
}

}  // namespace alt::kernels::cuda
