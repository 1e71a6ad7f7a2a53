// The inference paths of nn.MultiheadAttention and nn.TransformerEncoderLayer, composed of alt's
// own operators: what the modules call outside of autograd. attention_flash.cpp has the attention
// of F.scaled_dot_product_attention.
#include <ATen/core/Tensor.h>
#include <ATen/ops/_masked_softmax.h>
#include <ATen/ops/_native_multi_head_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_softmax.h>
#include <ATen/ops/_softmax_backward_data.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/relu.h>

#include <cmath>
#include <limits>
#include <optional>
#include <tuple>

#include "kernels/operands.h"
#include "loops/dtype.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

// What mask_type says of a mask's shape.
enum MaskType : int64_t { kSource = 0, kSourceKeyPadding = 1, kFull = 2 };

// A mask of each kind in the shape of `scores`, (batch, heads, queries, keys).
Tensor expanded(const Tensor& mask, const Tensor& scores, std::optional<int64_t> mask_type) {
  if (mask_type == kSource) {
    TORCH_CHECK(mask.dim() == 2 && mask.size(0) == scores.size(2) && mask.size(1) == scores.size(2),
                "For mask_type == 0 mask shape should be LxL");
    return mask.view({1, 1, mask.size(0), mask.size(1)}).expand(scores.sizes());
  }
  if (mask_type == kSourceKeyPadding) {
    TORCH_CHECK(mask.dim() == 2 && mask.size(0) == scores.size(0) && mask.size(1) == scores.size(2),
                "For mask_type == 1 mask shape should be BxL");
    return mask.view({mask.size(0), 1, 1, mask.size(1)}).expand(scores.sizes());
  }
  TORCH_CHECK(mask.sizes() == scores.sizes(),
              "For mask_type == 2 mask shape should match input shape");
  return mask;
}

// (batch, tokens, heads * width) as (batch, heads, tokens, width).
Tensor split_heads(const Tensor& t, int64_t heads) {
  return t.view({t.size(0), t.size(1), heads, t.size(2) / heads}).transpose(1, 2);
}

}  // namespace

Tensor masked_softmax(const Tensor& self, const Tensor& mask, std::optional<int64_t> dim,
                      std::optional<int64_t> mask_type) {
  TORCH_CHECK(mask.scalar_type() == at::kBool, "Mask should be a boolean tensor");
  TORCH_CHECK(mask_type.has_value() || mask.sizes() == self.sizes(), "Mask Type should be defined");
  const Tensor scores =
      self.masked_fill(expanded(mask, self, mask_type), -std::numeric_limits<double>::infinity());
  return at::_softmax(scores, dim.value_or(self.dim() - 1), /*half_to_float=*/false);
}

Tensor masked_softmax_backward(const Tensor& grad_output, const Tensor& output, const Tensor& mask,
                               std::optional<int64_t> dim) {
  TORCH_CHECK(mask.scalar_type() == at::kBool && mask.sizes() == grad_output.sizes(),
              "Mask shape should match grad shape");
  const Tensor grad = grad_output.masked_fill(mask, 0), result = output.masked_fill(mask, 0);
  return at::_softmax_backward_data(grad, result, dim.value_or(grad.dim() - 1), grad.scalar_type());
}

std::tuple<Tensor, Tensor> native_multi_head_attention(
    const Tensor& query, const Tensor& key, const Tensor& value, int64_t embed_dim,
    int64_t num_head, const Tensor& qkv_weight, const Tensor& qkv_bias, const Tensor& proj_weight,
    const Tensor& proj_bias, const OptionalTensor& mask, bool need_weights,
    bool average_attn_weights, std::optional<int64_t> mask_type) {
  TORCH_CHECK(query.dim() == 3, "expected 3-D `query`, got ", query.dim(), "-D tensor");
  TORCH_CHECK(key.dim() == 3, "expected 3-D `key`, got ", key.dim(), "-D tensor");
  TORCH_CHECK(value.dim() == 3, "expected 3-D `value`, got ", value.dim(), "-D tensor");
  TORCH_CHECK(query.size(2) == embed_dim, "passed-in embed_dim ", embed_dim,
              " didn't match last dim of query ", query.size(2));
  TORCH_CHECK(query.sizes() == key.sizes() && key.sizes() == value.sizes(),
              "expected `query`/`key`/`value` shapes to match");
  TORCH_CHECK(qkv_weight.dim() == 2 && qkv_weight.size(0) == 3 * embed_dim &&
                  qkv_weight.size(1) == embed_dim,
              "expected `qkv_weight` first dim to be 3x embed_dim and the second to be embed_dim");
  TORCH_CHECK(qkv_bias.dim() == 1 && qkv_bias.size(0) == 3 * embed_dim,
              "expected `qkv_bias` to be 1-D and first dim to be 3x embed_dim");
  TORCH_CHECK(num_head > 0 && embed_dim % num_head == 0,
              "`embed_dim` must divide evenly by `num_heads`");

  const auto project = [&](const Tensor& input, int64_t first, int64_t parts) {
    const int64_t begin = first * embed_dim, length = parts * embed_dim;
    return at::linear(input, qkv_weight.narrow(0, begin, length),
                      qkv_bias.narrow(0, begin, length));
  };
  Tensor q, k, v;
  if (query.is_same(key) && key.is_same(value)) {
    const Tensor qkv = project(query, 0, 3);
    q = qkv.narrow(2, 0, embed_dim);
    k = qkv.narrow(2, embed_dim, embed_dim);
    v = qkv.narrow(2, 2 * embed_dim, embed_dim);
  } else {
    q = project(query, 0, 1);
    k = project(key, 1, 1);
    v = project(value, 2, 1);
  }
  if (!need_weights && !(mask.has_value() && mask->defined())) {
    const Tensor mixed = std::get<0>(at::_scaled_dot_product_flash_attention_for_cpu(
        split_heads(q, num_head), split_heads(k, num_head), split_heads(v, num_head)));
    return {at::linear(mixed.transpose(1, 2).reshape(query.sizes()), proj_weight, proj_bias),
            Tensor()};
  }
  const double scale = 1 / std::sqrt(static_cast<double>(embed_dim / num_head));
  const Tensor heads = split_heads(q.mul(scale).contiguous(), num_head);
  const Tensor scores = at::matmul(heads, split_heads(k.contiguous(), num_head).transpose(2, 3));
  Tensor weights;
  if (mask.has_value() && mask->defined()) {
    weights = at::_masked_softmax(scores, mask->to(at::kBool), 3, mask_type);
  } else {
    weights = at::_softmax(scores, 3, /*half_to_float=*/false);
  }
  const Tensor mixed = at::matmul(weights, split_heads(v.contiguous(), num_head));
  const Tensor joined =
      mixed.transpose(1, 2).contiguous().view({query.size(0), query.size(1), embed_dim});
  Tensor output = at::linear(joined, proj_weight, proj_bias);
  if (!need_weights) return {std::move(output), Tensor()};
  return {std::move(output), average_attn_weights ? weights.mean(1) : weights};
}

std::tuple<Tensor, Tensor, Tensor> transform_bias_rescale_qkv(const Tensor& qkv,
                                                              const Tensor& qkv_bias,
                                                              int64_t num_heads) {
  const int64_t width = qkv_bias.size(0) / 3;
  TORCH_CHECK(width % num_heads == 0, "Expected D % num_head == 0 to be true, but got false.");
  check_type<FloatingAndHalfTypes>(qkv.scalar_type(), "transform_bias_rescale_qkv");
  const auto parts = qkv.add(qkv_bias).chunk(3, -1);
  const auto heads = [&](size_t i) { return split_heads(parts[i].contiguous(), num_heads); };
  const double scale = 1 / std::sqrt(static_cast<double>(width / num_heads));
  return {heads(0).mul(scale).contiguous(), heads(1).contiguous(), heads(2).contiguous()};
}

Tensor transformer_encoder_layer_fwd(const Tensor& src, int64_t embed_dim, int64_t num_heads,
                                     const Tensor& qkv_weight, const Tensor& qkv_bias,
                                     const Tensor& proj_weight, const Tensor& proj_bias,
                                     bool use_gelu, bool norm_first, double eps,
                                     const Tensor& norm_weight_1, const Tensor& norm_bias_1,
                                     const Tensor& norm_weight_2, const Tensor& norm_bias_2,
                                     const Tensor& ffn_weight_1, const Tensor& ffn_bias_1,
                                     const Tensor& ffn_weight_2, const Tensor& ffn_bias_2,
                                     const OptionalTensor& mask, std::optional<int64_t> mask_type) {
  const auto normalize = [&](const Tensor& x, const Tensor& weight, const Tensor& bias) {
    return at::layer_norm(x, embed_dim, weight, bias, eps);
  };
  const auto attend = [&](const Tensor& x) {
    return std::get<0>(at::_native_multi_head_attention(x, x, x, embed_dim, num_heads, qkv_weight,
                                                        qkv_bias, proj_weight, proj_bias, mask,
                                                        /*need_weights=*/false,
                                                        /*average_attn_weights=*/true, mask_type));
  };
  const auto feed_forward = [&](const Tensor& x) {
    const Tensor hidden = at::linear(x, ffn_weight_1, ffn_bias_1);
    return at::linear(use_gelu ? at::gelu(hidden) : at::relu(hidden), ffn_weight_2, ffn_bias_2);
  };
  if (norm_first) {
    const Tensor x = src.add(attend(normalize(src, norm_weight_1, norm_bias_1)));
    return x.add(feed_forward(normalize(x, norm_weight_2, norm_bias_2)));
  }
  const Tensor x = normalize(src.add(attend(src)), norm_weight_1, norm_bias_1);
  return normalize(x.add(feed_forward(x)), norm_weight_2, norm_bias_2);
}

// nn.TransformerEncoder asks this before it makes a nested tensor of a padded batch. alt has no
// nested tensors, and the answer no keeps it on the padded path.
bool nested_tensor_from_mask_left_aligned(const Tensor& /*t*/, const Tensor& /*mask*/) {
  return false;
}

}  // namespace alt::kernels
