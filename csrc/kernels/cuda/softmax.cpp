// softmax and log_softmax on the GPU: a row of lanes for each row (altbackend/cuda/kernels/
// softmax.cuh).
#include "kernels/cuda/launches.h"
#include "kernels/operands.h"
#include "kernels/slices.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;

// Lanes run along the row where it is contiguous, across rows otherwise.
void launch_slices(CUfunction function, const Slices& s, KernelArgs arguments) {
  const bool across = s.inner > 1;
  arguments.integers[0] = across;
  launch_rows(function, RowBlocks(s.outer * s.inner, s.dim, across), arguments);
}

TensorArgs slices_args(const Tensor& tensor, const Slices& s) {
  return dense_args(tensor, {s.outer, s.dim, s.inner});
}

void forward(const char* name, const Tensor& self, int64_t dim, const Tensor& out) {
  if (self.numel() == 0) return;
  const Slices s(self, dim);
  const Tensor input = self.contiguous();
  write_dense(out, [&](const Tensor& result) {
    launch_slices(kernel(name, {result.scalar_type(), input.scalar_type()}), s,
                  arguments({slices_args(result, s), slices_args(input, s)}));
  });
}

void backward(const char* name, const Tensor& grad_output, const Tensor& output, int64_t dim,
              const Tensor& grad_input) {
  if (grad_output.numel() == 0) return;
  const Slices s(grad_output, dim);
  const Tensor grad = grad_output.contiguous(), forward_output = output.contiguous();
  write_dense(grad_input, [&](const Tensor& result) {
    launch_slices(
        kernel(name, {result.scalar_type(), grad.scalar_type()}), s,
        arguments({slices_args(result, s), slices_args(grad, s), slices_args(forward_output, s)}));
  });
}

}  // namespace

void softmax(const Tensor& self, int64_t dim, bool /*half_to_float*/, const Tensor& out) {
  forward("softmax_forward", self, dim, out);
}

void log_softmax(const Tensor& self, int64_t dim, bool /*half_to_float*/, const Tensor& out) {
  forward("log_softmax_forward", self, dim, out);
}

void softmax_backward_data(const Tensor& grad_output, const Tensor& output, int64_t dim,
                           at::ScalarType /*input_dtype*/, const Tensor& grad_input) {
  backward("softmax_backward", grad_output, output, dim, grad_input);
}

void log_softmax_backward_data(const Tensor& grad_output, const Tensor& output, int64_t dim,
                               at::ScalarType /*input_dtype*/, const Tensor& grad_input) {
  backward("log_softmax_backward", grad_output, output, dim, grad_input);
}

}  // namespace alt::kernels::cuda
