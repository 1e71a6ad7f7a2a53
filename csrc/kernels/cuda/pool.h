// Pooling on the GPU, as the functions of these names in pool_max.cpp and pool_average.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "kernels/pool.h"

namespace alt::kernels::cuda {

void max_pool(const at::Tensor& self, const pool::Geometry& geometry, const at::Tensor& out,
              const at::Tensor& indices);

/// Every element gathers from the windows that hold it: the same bits on every run.
void max_pool_backward(const at::Tensor& grad_output, const pool::Geometry& geometry,
                       const at::Tensor& indices, const at::Tensor& grad_input);

void adaptive_max_pool(const at::Tensor& self, const pool::Geometry& geometry,
                       const at::Tensor& out, const at::Tensor& indices);

/// Adds each gradient at its index, by atomics.
void add_at_indices(const at::Tensor& grad_output, const at::Tensor& indices, int64_t dimensions,
                    const at::Tensor& grad_input);

/// What the sums of an average are divided by: `divisor`, where there is one, or the elements.
struct AverageOver {
  bool count_include_pad;
  std::optional<int64_t> divisor;
};

void average_pool(const at::Tensor& self, const pool::Geometry& geometry, const AverageOver& over,
                  const at::Tensor& out);
void average_pool_backward(const at::Tensor& grad_output, const pool::Geometry& geometry,
                           const AverageOver& over, const at::Tensor& grad_input);

void adaptive_average_pool(const at::Tensor& self, int64_t dimensions, const at::Tensor& out);
void adaptive_average_pool_backward(const at::Tensor& grad_output, int64_t dimensions,
                                    const at::Tensor& grad_input);

}  // namespace alt::kernels::cuda
