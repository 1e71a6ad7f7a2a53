// Batch, layer and group normalisation on the GPU: the arithmetic of norm_*.cpp, whose checks and
// allocations serve both engines. Parameters and statistics have the dtype that is computed in;
// undefined weights and biases count as 1 and 0.
#pragma once

#include <ATen/core/Tensor.h>

namespace alt::kernels::cuda {

/// Of a norm's operands: outer x channels x inner, and how means are shared
/// (altbackend/cuda/kernels/norm.cuh has the table).
struct NormShape {
  int64_t outer, channels, inner;
  int64_t stat_outer, stat_channels, stat_channel;

  static NormShape layer(int64_t rows, int64_t width) { return {rows, width, 1, 1, width, 0}; }
  static NormShape group(int64_t batch, int64_t channels, int64_t inner, int64_t groups) {
    return {batch, channels, inner, groups, channels / groups, 1};
  }
  static NormShape batch(int64_t outer, int64_t channels, int64_t inner) {
    return {outer, channels, inner, 0, 1, 1};
  }
  int64_t stats() const { return stat_outer != 0 ? outer * stat_outer : channels; }
};

/// Means and 1 / deviations, or variances where epsilon is NaN, of a contiguous input.
void norm_moments(const NormShape& shape, const at::Tensor& input, double epsilon,
                  const at::Tensor& mean, const at::Tensor& scale);

/// output = (input - mean) * scale * weight + bias.
void norm_apply(const NormShape& shape, const at::Tensor& input, const at::Tensor& mean,
                const at::Tensor& scale, const at::Tensor& weight, const at::Tensor& bias,
                const at::Tensor& output);

/// The gradient of the input; `given`: mean and scale are constants, not the input's.
void norm_backward(const NormShape& shape, const at::Tensor& grad, const at::Tensor& input,
                   const at::Tensor& mean, const at::Tensor& scale, const at::Tensor& weight,
                   bool given, const at::Tensor& grad_input);

/// The gradients of weight and bias; either may be undefined.
void norm_weight_backward(const NormShape& shape, const at::Tensor& grad, const at::Tensor& input,
                          const at::Tensor& mean, const at::Tensor& scale,
                          const at::Tensor& grad_weight, const at::Tensor& grad_bias);

/// scale = 1 / deviation of variances. Where there is a mean, it and the variance go into the
/// running statistics that are defined, as those of `count` elements.
void norm_finish(const at::Tensor& variance, double epsilon, const at::Tensor& scale,
                 const at::Tensor& mean = {}, const at::Tensor& running_mean = {},
                 const at::Tensor& running_var = {}, double momentum = 0, int64_t count = 0);

}  // namespace alt::kernels::cuda
