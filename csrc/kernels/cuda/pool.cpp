// A thread an output place, or an input place backward (altbackend/cuda/kernels/pool.cuh), over
// contiguous planes: operands that lie otherwise are copied.
#include "kernels/cuda/pool.h"

#include <ATen/ops/empty.h>

#include "kernels/cuda/launches.h"
#include "kernels/operands.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;
using pool::Geometry;

KernelArgs pool_arguments(const Geometry& g, std::initializer_list<Tensor> tensors,
                          const AverageOver& over = {}) {
  KernelArgs result = dense_arguments(tensors);
  int64_t* integer = result.integers;
  for (const Extent& extent : {g.input, g.output, g.kernel, g.stride, g.padding, g.dilation}) {
    integer = std::copy(extent.begin(), extent.end(), integer);
  }
  *integer++ = g.planes;
  *integer++ = over.count_include_pad;
  *integer++ = over.divisor.value_or(0);
  return result;
}

Geometry adaptive_geometry(const Tensor& input, const Tensor& output, int64_t dimensions) {
  Geometry g{};
  g.planes = planes::count(input, dimensions);
  g.input = planes::spatial(input, dimensions);
  g.output = planes::spatial(output, dimensions);
  return g;
}

void launch_places(const char* name, const Tensor& result, const KernelArgs& arguments) {
  launch_elements(kernel(name, {result.scalar_type()}), result.numel(), arguments);
}

void max_pool_into(const char* name, const Tensor& self, const Geometry& g, const Tensor& out,
                   const Tensor& indices) {
  const Tensor input = self.contiguous();
  write_dense(out, [&](const Tensor& maxima) {
    write_dense(indices, [&](const Tensor& places) {
      launch_places(name, maxima, pool_arguments(g, {maxima, places, input}));
    });
  });
}

}  // namespace

void max_pool(const Tensor& self, const Geometry& g, const Tensor& out, const Tensor& indices) {
  max_pool_into("max_pool", self, g, out, indices);
}

void max_pool_backward(const Tensor& grad_output, const Geometry& g, const Tensor& indices,
                       const Tensor& grad_input) {
  const Tensor grad = grad_output.contiguous(), places = indices.contiguous();
  write_dense(grad_input, [&](const Tensor& result) {
    launch_places("max_pool_backward", result, pool_arguments(g, {result, grad, places}));
  });
}

void adaptive_max_pool(const Tensor& self, const Geometry& geometry, const Tensor& out,
                       const Tensor& indices) {
  max_pool_into("adaptive_max_pool", self, geometry, out, indices);
}

void add_at_indices(const Tensor& grad_output, const Tensor& indices, int64_t dimensions,
                    const Tensor& grad_input) {
  const Tensor grad = grad_output.contiguous(), places = indices.contiguous();
  const int64_t planes = planes::count(grad_input, dimensions);
  const int64_t input = volume(planes::spatial(grad_input, dimensions));
  const int64_t output = volume(planes::spatial(grad_output, dimensions));
  write_dense(grad_input, [&](const Tensor& result) {
    result.zero_();
    launch_elements(
        kernel("scatter", {result.scalar_type(), at::kLong}), grad.numel(),
        arguments({dense_args(result, {planes, input}), dense_args(places, {planes, output}),
                   dense_args(grad, {planes, output})},
                  {/*dim=*/1, /*adds=*/1}));
  });
}

void average_pool(const Tensor& self, const Geometry& g, const AverageOver& over,
                  const Tensor& out) {
  const Tensor input = self.contiguous();
  write_dense(out, [&](const Tensor& result) {
    launch_places("average_pool", result, pool_arguments(g, {result, input}, over));
  });
}

void average_pool_backward(const Tensor& grad_output, const Geometry& g, const AverageOver& over,
                           const Tensor& grad_input) {
  const Tensor grad = grad_output.contiguous();
  write_dense(grad_input, [&](const Tensor& result) {
    launch_places("average_pool_backward", result, pool_arguments(g, {result, grad}, over));
  });
}

void adaptive_average_pool(const Tensor& self, int64_t dimensions, const Tensor& out) {
  const Tensor input = self.contiguous();
  const Geometry g = adaptive_geometry(self, out, dimensions);
  write_dense(out, [&](const Tensor& result) {
    launch_places("adaptive_average_pool", result, pool_arguments(g, {result, input}));
  });
}

void adaptive_average_pool_backward(const Tensor& grad_output, int64_t dimensions,
                                    const Tensor& grad_input) {
  const Tensor grad = grad_output.contiguous();
  const Geometry g = adaptive_geometry(grad_input, grad_output, dimensions);
  write_dense(grad_input, [&](const Tensor& result) {
    launch_places("adaptive_average_pool_backward", result, pool_arguments(g, {result, grad}));
  });
}

}  // namespace alt::kernels::cuda
