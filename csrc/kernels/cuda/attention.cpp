// altbackend/cuda/kernels/attention.cuh.
#include "kernels/cuda/attention.h"

#include "kernels/cuda/launches.h"
#include "kernels/cuda/tensor_lists.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;

constexpr int64_t kWarps = 4, kWidth = 128;

/// A warp for every row of every head.
void launch_heads(const char* name, const Attention& a, const Tensor& rows,
                  const KernelArgs& arguments) {
  const Grid grid{static_cast<unsigned>(divide_up(rows.size(2), kWarps)),
                  static_cast<unsigned>(rows.size(1)), static_cast<unsigned>(rows.size(0))};
  launch(kernel(name, {a.query.scalar_type()}), grid, {static_cast<unsigned>(32 * kWarps)},
         arguments);
}

}  // namespace

bool attends(const Tensor& query, const Tensor& key) {
  return query.scalar_type() != at::kDouble && query.size(3) <= kWidth &&
         query.size(1) == key.size(1);
}

Tensor attention_bias(const std::optional<Tensor>& mask, const Tensor& query, const Tensor& key) {
  if (!mask.has_value() || !mask->defined() || mask->numel() == 0) return {};
  return mask->to(query.scalar_type())
      .expand({query.size(0), query.size(1), query.size(2), key.size(2)});
}

void attention_forward(const Attention& a, const Tensor& output, const Tensor& logsumexp) {
  if (output.numel() == 0) return;
  launch_heads("attention_forward", a, a.query,
               arguments({tensor_args(output), tensor_args(logsumexp), tensor_args(a.query),
                          tensor_args(a.key), tensor_args(a.value), tensor_args(a.bias)},
                         {a.causal}, {a.scale}));
}

void attention_backward(const Attention& a, const Tensor& output, const Tensor& logsumexp,
                        const Tensor& grad_output, const Tensor& grad_query, const Tensor& grad_key,
                        const Tensor& grad_value) {
  if (output.numel() == 0) return;
  const Tensor log = logsumexp.contiguous();
  const Tensor delta = grad_output.to(at::kFloat).mul(output).sum(-1).contiguous();
  const auto backward = [&](const char* name, const Tensor& rows, const Tensor& first,
                            const Tensor& second) {
    launch_heads(name, a, rows,
                 arguments({tensor_args(first), tensor_args(second), tensor_args(a.query),
                            tensor_args(a.key), tensor_args(a.value), tensor_args(a.bias),
                            tensor_args(grad_output)},
                           {a.causal, address_of(log), address_of(delta)}, {a.scale}));
  };
  backward("attention_backward_query", a.query, grad_query, {});
  backward("attention_backward_key", a.key, grad_key, grad_value);
}

}  // namespace alt::kernels::cuda
