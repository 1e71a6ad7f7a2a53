// altbackend/cuda/kernels/rnn.cuh: a thread a hidden unit of an example.
#include "kernels/cuda/rnn.h"

#include "kernels/cuda/launches.h"
#include "kernels/operands.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;

Tensor plain(const OptionalTensor& tensor) {
  return tensor.has_value() && tensor->defined() ? tensor->contiguous() : Tensor();
}

/// The operands are contiguous; `state` is batch x hidden.
void launch_units(const char* name, const char* operator_name, const Tensor& state,
                  std::initializer_list<Tensor> tensors) {
  check_type<FloatingAndHalfTypes>(state.scalar_type(), operator_name);
  launch_elements(kernel(name, {state.scalar_type()}), state.numel(),
                  dense_arguments(tensors, {state.size(0), state.size(1)}));
}

}  // namespace

void lstm_cell(const Tensor& input_gates, const Tensor& hidden_gates, const Tensor& cx,
               const OptionalTensor& input_bias, const OptionalTensor& hidden_bias,
               const Tensor& hy, const Tensor& cy, const Tensor& workspace) {
  const Tensor from_input = input_gates.contiguous(), from_hidden = hidden_gates.contiguous();
  const Tensor state = cx.contiguous(), b1 = plain(input_bias), b2 = plain(hidden_bias);
  launch_units("lstm_cell", "_thnn_fused_lstm_cell", cy,
               {hy, cy, workspace, from_input, from_hidden, state, b1, b2});
}

void lstm_cell_backward(const OptionalTensor& grad_hy, const OptionalTensor& grad_cy,
                        const Tensor& cx, const Tensor& cy, const Tensor& workspace,
                        const Tensor& grad_gates, const Tensor& grad_cx) {
  const Tensor from_hy = plain(grad_hy), from_cy = plain(grad_cy), before = cx.contiguous();
  const Tensor after = cy.contiguous(), saved = workspace.contiguous();
  launch_units("lstm_cell_backward", "_thnn_fused_lstm_cell_backward", grad_cx,
               {grad_gates, grad_cx, from_hy, from_cy, before, after, saved});
}

void gru_cell(const Tensor& input_gates, const Tensor& hidden_gates, const Tensor& hx,
              const OptionalTensor& input_bias, const OptionalTensor& hidden_bias, const Tensor& hy,
              const Tensor& workspace) {
  const Tensor from_input = input_gates.contiguous(), from_hidden = hidden_gates.contiguous();
  const Tensor state = hx.contiguous(), b1 = plain(input_bias), b2 = plain(hidden_bias);
  launch_units("gru_cell", "_thnn_fused_gru_cell", hy,
               {hy, workspace, from_input, from_hidden, state, b1, b2});
}

void gru_cell_backward(const Tensor& grad_hy, const Tensor& workspace, const Tensor& grad_input,
                       const Tensor& grad_hidden, const Tensor& grad_hx) {
  const Tensor grad = grad_hy.contiguous(), saved = workspace.contiguous();
  launch_units("gru_cell_backward", "_thnn_fused_gru_cell_backward", grad_hx,
               {grad_input, grad_hidden, grad_hx, grad, saved});
}

}  // namespace alt::kernels::cuda
