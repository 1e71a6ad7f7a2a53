// altbackend/cuda/kernels/loss.cuh. A bad target is found by the kernel, and raised where the host
// waits for the device.
#include "kernels/cuda/loss_nll.h"

#include <ATen/ops/empty.h>

#include "kernels/cuda/launches.h"
#include "kernels/operands.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;

TensorArgs flat(const Tensor& tensor) {
  return dense_args(tensor, {});
}

}  // namespace

void nll_forward(const Tensor& self, const Tensor& target, const Tensor& weight,
                 const NllProblem& p, const Tensor& output, const Tensor& total_weight) {
  const Tensor input = self.contiguous();
  const at::ScalarType dtype = input.scalar_type();
  const int64_t targets = target.numel();
  if (p.elementwise) {
    write_dense(output, [&](const Tensor& out) {
      launch_elements(kernel("nll_each", {dtype}), targets,
                      arguments({flat(out), flat(input), flat(target), flat(weight)},
                                {p.classes, p.positions, p.ignore_index, targets}));
    });
    total_weight.zero_();
    return;
  }
  constexpr int64_t kTargetsPerBlock = 8 * kThreads, kMostBlocks = 1024;
  const int64_t blocks = std::clamp<int64_t>(divide_up(targets, kTargetsPerBlock), 1, kMostBlocks);
  const Tensor parts = at::empty({blocks, 2}, input.options().dtype(at::kDouble));
  const Grid block{static_cast<unsigned>(kThreads)};
  launch(kernel("nll_sum", {dtype}), {static_cast<unsigned>(blocks)}, block,
         arguments({flat(output), flat(total_weight), flat(input), flat(target), flat(weight),
                    flat(parts)},
                   {p.classes, p.positions, p.ignore_index, targets, p.mean}));
  if (blocks == 1) return;
  launch(kernel("nll_join", {dtype}), {1}, block,
         arguments({flat(output), flat(total_weight), flat(parts)},
                   {p.classes, p.positions, p.ignore_index, blocks, p.mean}));
}

void nll_backward(const Tensor& grad_output, const Tensor& target, const Tensor& weight,
                  const NllProblem& p, const Tensor& total_weight, const Tensor& grad_input) {
  const Tensor grad = grad_output.contiguous();
  write_dense(grad_input, [&](const Tensor& result) {
    result.zero_();
    launch_elements(
        kernel("nll_backward", {result.scalar_type()}), target.numel(),
        arguments({flat(result), flat(grad), flat(target), flat(weight), flat(total_weight)},
                  {p.classes, p.positions, p.ignore_index, target.numel(), p.mean && !p.elementwise,
                   p.elementwise}));
  });
}

}  // namespace alt::kernels::cuda
