// altbackend/cuda/kernels/loss.cuh. What is no probability is found by the kernel, and raised where
// the host waits for the device.
#include "kernels/cuda/loss_binary_cross_entropy.h"

#include "kernels/cuda/launches.h"

namespace alt::kernels::cuda {

using at::Tensor;

void binary_cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight,
                          const Tensor& out) {
  launch_elements(kernel("binary_cross_entropy", {out.scalar_type()}), out.numel(),
                  dense_arguments({out, input, target, weight}, {out.numel()}));
}

void binary_cross_entropy_backward(const Tensor& grad, const Tensor& input, const Tensor& target,
                                   const Tensor& weight, double scale, const Tensor& grad_input) {
  launch_elements(
      kernel("binary_cross_entropy_backward", {input.scalar_type()}), input.numel(),
      dense_arguments({grad_input, grad, input, target, weight}, {input.numel()}, {scale}));
}

}  // namespace alt::kernels::cuda
