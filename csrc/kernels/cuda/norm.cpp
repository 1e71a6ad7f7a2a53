// altbackend/cuda/kernels/norm.cuh.
#include "kernels/cuda/norm.h"

#include "kernels/cuda/launches.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;

TensorArgs image(const NormShape& s, const Tensor& tensor) {
  return dense_args(tensor, {s.outer, s.channels, s.inner});
}

TensorArgs vector(const Tensor& tensor) {
  return dense_args(tensor, {tensor.defined() ? tensor.numel() : 0});
}

KernelArgs norm_arguments(const NormShape& s, int64_t across,
                          std::initializer_list<TensorArgs> tensors, double epsilon = 0) {
  return arguments(
      tensors,
      {across, s.outer, s.channels, s.inner, s.stat_outer, s.stat_channels, s.stat_channel},
      {epsilon});
}

/// Elements of one mean.
int64_t shared(const NormShape& s) {
  return s.outer * s.channels * s.inner / s.stats();
}

/// Whether neighbours in memory belong to different channels, and so a mean's or a channel's
/// elements lie apart: batch norm of channels_last, and the weights of layer norm.
bool channels_together(const NormShape& s) {
  return s.inner == 1;
}

CUfunction norm_kernel(const char* name, const Tensor& statistic, const Tensor& input) {
  return kernel(name, {statistic.scalar_type(), input.scalar_type()});
}

}  // namespace

void norm_moments(const NormShape& s, const Tensor& input, double epsilon, const Tensor& mean,
                  const Tensor& scale) {
  const bool across = s.stat_outer == 0 && channels_together(s);
  launch_rows(norm_kernel("norm_moments", mean, input), RowBlocks(s.stats(), shared(s), across),
              norm_arguments(s, across, {vector(mean), vector(scale), image(s, input)}, epsilon));
}

void norm_apply(const NormShape& s, const Tensor& input, const Tensor& mean, const Tensor& scale,
                const Tensor& weight, const Tensor& bias, const Tensor& output) {
  launch_elements(norm_kernel("norm_apply", mean, input), s.outer * s.channels * s.inner,
                  norm_arguments(s, 0,
                                 {image(s, output), image(s, input), vector(mean), vector(scale),
                                  vector(weight), vector(bias)}));
}

void norm_backward(const NormShape& s, const Tensor& grad, const Tensor& input, const Tensor& mean,
                   const Tensor& scale, const Tensor& weight, bool given,
                   const Tensor& grad_input) {
  const bool across = !given && s.stat_outer == 0 && channels_together(s);
  launch_rows(norm_kernel("norm_backward", mean, input), RowBlocks(s.stats(), shared(s), across),
              norm_arguments(s, given ? -1 : across,
                             {image(s, grad_input), image(s, grad), image(s, input), vector(mean),
                              vector(scale), vector(weight)}));
}

void norm_weight_backward(const NormShape& s, const Tensor& grad, const Tensor& input,
                          const Tensor& mean, const Tensor& scale, const Tensor& grad_weight,
                          const Tensor& grad_bias) {
  const bool across = channels_together(s);
  launch_rows(norm_kernel("norm_weight_backward", mean, input),
              RowBlocks(s.channels, s.outer * s.inner, across),
              norm_arguments(s, across,
                             {vector(grad_weight), vector(grad_bias), image(s, grad),
                              image(s, input), vector(mean), vector(scale)}));
}

void norm_finish(const Tensor& variance, double epsilon, const Tensor& scale, const Tensor& mean,
                 const Tensor& running_mean, const Tensor& running_var, double momentum,
                 int64_t count) {
  launch_elements(kernel("norm_finish", {variance.scalar_type()}), variance.numel(),
                  arguments({vector(scale), vector(mean), vector(variance), vector(running_mean),
                             vector(running_var)},
                            {variance.numel(), count}, {epsilon, momentum}));
}

}  // namespace alt::kernels::cuda
