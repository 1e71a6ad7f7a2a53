// The gates of LSTM and GRU cells on the GPU, as rnn.cpp's operators, which check and allocate.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace alt::kernels::cuda {

using OptionalTensor = std::optional<at::Tensor>;

void lstm_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates, const at::Tensor& cx,
               const OptionalTensor& input_bias, const OptionalTensor& hidden_bias,
               const at::Tensor& hy, const at::Tensor& cy, const at::Tensor& workspace);
void lstm_cell_backward(const OptionalTensor& grad_hy, const OptionalTensor& grad_cy,
                        const at::Tensor& cx, const at::Tensor& cy, const at::Tensor& workspace,
                        const at::Tensor& grad_gates, const at::Tensor& grad_cx);
void gru_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates, const at::Tensor& hx,
              const OptionalTensor& input_bias, const OptionalTensor& hidden_bias,
              const at::Tensor& hy, const at::Tensor& workspace);
void gru_cell_backward(const at::Tensor& grad_hy, const at::Tensor& workspace,
                       const at::Tensor& grad_input, const at::Tensor& grad_hidden,
                       const at::Tensor& grad_hx);

}  // namespace alt::kernels::cuda
