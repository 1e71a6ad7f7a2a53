// Scaled dot product attention on the GPU, as attention_flash.cpp's operators, which check and
// allocate.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace alt::kernels::cuda {

/// Whether the kernels serve a call: float and half types, a head's width up to 128, as many heads
/// of keys as of queries.
bool attends(const at::Tensor& query, const at::Tensor& key);

/// Operands whose width is contiguous. `bias` is undefined, or of the sizes batch x heads x queries
/// x keys, expanded.
struct Attention {
  at::Tensor query, key, value, bias;
  bool causal;
  double scale;
};

void attention_forward(const Attention& attention, const at::Tensor& output,
                       const at::Tensor& logsumexp);
void attention_backward(const Attention& attention, const at::Tensor& output,
                        const at::Tensor& logsumexp, const at::Tensor& grad_output,
                        const at::Tensor& grad_query, const at::Tensor& grad_key,
                        const at::Tensor& grad_value);

/// A mask as `bias`: in the queries' dtype and of all their sizes.
at::Tensor attention_bias(const std::optional<at::Tensor>& mask, const at::Tensor& query,
                          const at::Tensor& key);

}  // namespace alt::kernels::cuda
