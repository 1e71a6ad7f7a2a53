// Attention without the matrix of scores: softmax(scale Q K^T + mask) V, a block of keys at a time.
//
// A task is a block of queries of one head. It walks the keys in blocks; each query keeps the
// largest score so far and the sum of exponentials below it, and what is accumulated shrinks by a
// factor when a larger score comes. Blocks that a causal mask hides are not visited. Scores are at
// most 32 KiB, beside them stand the transposed queries and results. Where the queries are too few
// to fill lanes, as in decoding with a cache, lanes run along the width instead.
//
// The gradient recomputes the probabilities from the logarithm of the sum of exponentials.
#include "kernels/attention_flash.h"
#include "dispatch/host_call.h"
#include "kernels/cuda/attention.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/_fused_sdp_choice_native.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <limits>
#include <tuple>

#include "loops/dtype.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

/// Lanes along the width cost less up to this many queries: their scores need 5 additions across
/// lanes each, and a block of queries works on whole vectors however few there are.
constexpr int64_t kFewQueries = 6;

template <class T>
constexpr T kLowest = -std::numeric_limits<T>::infinity();

/// Of each query of a block: the largest score, the sum of exp(score - largest), and the factor
/// by which the last block of keys made what was accumulated smaller.
template <class T>
struct Softmax {
  alignas(64) T largest[kBlockQueries<T>], sum[kBlockQueries<T>], factor[kBlockQueries<T>];

  Softmax() {
    std::fill_n(largest, kBlockQueries<T>, kLowest<T>);
    std::fill_n(sum, kBlockQueries<T>, T(0));
  }

  /// scores = exp(scores - largest). A query without a visible key yet is given the largest 0,
  /// so that its exponentials are 0 and not NaN.
  void absorb(const Block<T>& block) {
    using V = Vec<T>;
    for (int64_t query = 0; query < block.queries; query += V::size) {
      const int64_t keys = block.visible(query);
      const V before = V::load(largest + query);
      V now = before;
      for (int64_t key = 0; key < keys; ++key) {
        const V score = V::load(block.scores[key] + query);
        now = select(score > now, score, now);
      }
      now.store(largest + query);
      const V base = select(now == V(kLowest<T>), V(T(0)), now);
      V total(T(0));
      for (int64_t key = 0; key < keys; ++key) {
        T* const at = block.scores[key] + query;
        const V exponential = math::exp_nonpositive(V::load(at) - base);
        exponential.store(at);
        total += exponential;
      }
      const V shrink = math::exp_nonpositive(before - base);
      shrink.store(factor + query);
      fma(V::load(sum + query), shrink, total).store(sum + query);
    }
  }

  /// factor = 1 / sum, or 1 for queries that saw no key; `sum` becomes the logarithm of the sum of
  /// all exponentials.
  void finish(int64_t queries) {
    using V = Vec<T>;
    for (int64_t query = 0; query < queries; query += V::size) {
      const V total = V::load(sum + query), top = V::load(largest + query);
      const V divisor = select(total == V(T(0)), V(T(1)), total);
      (V(T(1)) / divisor).store(factor + query);
      (select(top == V(kLowest<T>), V(T(0)), top) + math::log(divisor)).store(sum + query);
    }
  }
};

template <class T>
struct Forward {
  using A = opmath_t<T>;

  Extents extents;
  Heads<const T> query, key, value;
  Heads<T> output;
  Heads<A> logsumexp;  // of width 1
  Bias bias;
  A scale;

  static constexpr int64_t block_queries = kBlockQueries<A>;

  int64_t scratch_size() const {
    const int64_t copies = detail::is_reduced<T> ? 2 * kBlockKeys * extents.width : 0;
    return (2 * extents.width + kBlockKeys) * block_queries + copies;
  }

  void attend(int64_t b, int64_t h, int64_t first, Pieces<A> scratch) const {
    const int64_t width = extents.width, kv = extents.key_head(h);
    const int64_t queries = std::min(block_queries, extents.queries - first);
    const Rows<A> q{scratch.take(width * block_queries), block_queries};
    const Rows<A> mixed{scratch.take(width * block_queries), block_queries};
    const Rows<A> scores{scratch.take(kBlockKeys * block_queries), block_queries};
    A* const copies = detail::is_reduced<T> ? scratch.take(2 * kBlockKeys * width) : nullptr;
    Softmax<A> softmax;

    transpose_in(query.at(b, h, first), query.row, queries, width, scale, q);
    const int64_t visible = extents.visible_keys(first + queries);
    for (int64_t n = 0; n < visible; n += kBlockKeys) {
      const int64_t count = std::min(kBlockKeys, visible - n);
      const Block<A> block{first, queries, n, count, scores, extents.causal};
      const auto k = computed_rows(key.at(b, kv, n), key.row, count, width, copies);
      const auto v =
          computed_rows(value.at(b, kv, n), value.row, count, width, copies + kBlockKeys * width);
      multiply_into_scores(block, k, q, width, scores);
      add_bias<T>(bias, b, h, block);
      if (extents.causal) hide_later_keys(block);
      softmax.absorb(block);
      accumulate_queries(block, v, scores, width, mixed, softmax.factor);
    }
    softmax.finish(queries);
    transpose_out<T, A>({mixed.data, mixed.stride}, width, queries, softmax.factor,
                        output.at(b, h, first), output.row);
    for (int64_t i = 0; i < queries; ++i) *logsumexp.at(b, h, first + i) = softmax.sum[i];
  }

  int64_t few_scratch_size() const {
    return divide_up(extents.keys, Vec<A>::size) * Vec<A>::size + extents.width;
  }

  /// scores[key] = q k, for as many keys as there are lanes.
  void few_scores(const A* q, const T* keys, int count, A* scores) const {
    Vec<A> products[Vec<A>::size];
    for (int i = 0; i < Vec<A>::size; ++i) {
      products[i] = Vec<A>(A(0));
      if (i >= count) continue;
      for_lanes<A>(0, extents.width, [&](int64_t d, auto lanes) {
        products[i] =
            fma(load_lanes(keys + i * key.row + d, lanes), load_lanes(q + d, lanes), products[i]);
      });
    }
    sum_of_each(products).store(scores);
  }

  template <class S>
  void few_bias(const S* from, int64_t keys, A* scores) const {
    for (int64_t i = 0; i < keys; ++i) scores[i] += static_cast<A>(from[i * bias.key]);
  }

  /// One query, lanes along the keys for the softmax and along the width for the rest.
  void attend_one(int64_t b, int64_t h, int64_t index, Pieces<A> scratch) const {
    using V = Vec<A>;
    const int64_t width = extents.width, kv = extents.key_head(h);
    const int64_t keys = extents.visible_keys(index + 1);
    A* const scores = scratch.take(divide_up(extents.keys, V::size) * V::size);
    A* const q = scratch.take(width);
    for_lanes<A>(0, width, [&](int64_t d, auto lanes) {
      store_lanes<A>(load_lanes(query.at(b, h, index) + d, lanes) * V(scale), q + d, lanes);
    });
    for (int64_t n = 0; n < keys; n += V::size) {
      few_scores(q, key.at(b, kv, n), static_cast<int>(std::min<int64_t>(V::size, keys - n)),
                 scores + n);
    }
    if (bias.data) {
      const int64_t offset = b * bias.batch + h * bias.head + index * bias.query;
      if (bias.reduced) {
        few_bias(static_cast<const T*>(bias.data) + offset, keys, scores);
      } else {
        few_bias(static_cast<const A*>(bias.data) + offset, keys, scores);
      }
    }
    V top(kLowest<A>);
    for_lanes<A>(0, keys, [&](int64_t n, auto lanes) {
      const V score = load_lanes(scores + n, lanes, kLowest<A>);
      top = select(score > top, score, top);
    });
    const A largest = reduce_max(top), base = largest == kLowest<A> ? A(0) : largest;
    const double sum = sum_lanes<A, 1>(keys, [&](int64_t n, auto lanes) {
      const V exponential = math::exp_nonpositive(load_lanes(scores + n, lanes) - V(base));
      store_lanes<A>(exponential, scores + n, lanes);
      return std::array<V, 1>{exponential};
    })[0];
    const A divisor = sum == 0 ? A(1) : static_cast<A>(sum);
    *logsumexp.at(b, h, index) = base + std::log(divisor);
    for_lanes<A>(0, width, [&](int64_t d, auto lanes) {
      const T* const values = value.at(b, kv, 0) + d;
      const auto weighted = [&](int64_t n, const V& sum) {
        return fma(V(scores[n]), load_lanes(values + n * value.row, lanes), sum);
      };
      // Four sums, as each fma waits for the one before.
      V sum0(A(0)), sum1(A(0)), sum2(A(0)), sum3(A(0));
      int64_t n = 0;
      for (; n + 4 <= keys; n += 4) {
        sum0 = weighted(n, sum0);
        sum1 = weighted(n + 1, sum1);
        sum2 = weighted(n + 2, sum2);
        sum3 = weighted(n + 3, sum3);
      }
      for (; n < keys; ++n) sum0 = weighted(n, sum0);
      store_lanes<T>(((sum0 + sum1) + (sum2 + sum3)) / V(divisor), output.at(b, h, index) + d,
                     lanes);
    });
  }

  void run() const {
    const bool few = extents.queries <= kFewQueries;
    const int64_t blocks = few ? extents.queries : divide_up(extents.queries, block_queries);
    const double operations = 2.0 * std::min(block_queries, extents.queries) *
                              static_cast<double>(extents.keys) *
                              static_cast<double>(extents.width) / (extents.causal ? 2 : 1);
    const int64_t tasks = extents.batch * extents.heads * blocks;
    parallel_for(0, tasks, tasks_per_chunk(operations), [&](int64_t begin, int64_t end) {
      const Scratch<A> scratch(few ? few_scratch_size() : scratch_size());
      for (int64_t task = begin; task < end; ++task) {
        const int64_t block = task % blocks, head = task / blocks;
        const int64_t b = head / extents.heads, h = head % extents.heads;
        if (few) {
          attend_one(b, h, block, {scratch.data()});
        } else {
          attend(b, h, block * block_queries, {scratch.data()});
        }
      }
    });
  }
};

void check(const Tensor& query, const Tensor& key, const Tensor& value, double dropout_p,
           const OptionalTensor& mask) {
#define ALT_ATTENTION "scaled_dot_product_attention_flash_attention: "
  const at::ScalarType dtype = query.scalar_type();
  TORCH_CHECK(at::isFloatingType(dtype), ALT_ATTENTION,
              "Expected data type in FP32, FP64, BF16, FP16, but got ", dtype, " instead.");
  TORCH_CHECK(query.dim() == 4 && key.dim() == 4 && value.dim() == 4, ALT_ATTENTION,
              "Accept only 4 dims inputs shape of {B, H, T, K}");
  TORCH_CHECK(dropout_p == 0.0, ALT_ATTENTION, "Currently do not support dropout > 0");
  TORCH_CHECK(query.size(3) == value.size(3) && key.size(3) == value.size(3), ALT_ATTENTION,
              "Q/K/V should have the same head size");
  TORCH_CHECK(!mask || mask->scalar_type() == at::kFloat || mask->scalar_type() == dtype,
              ALT_ATTENTION, "Attention mask is the same data type as query");
  TORCH_CHECK(!mask || mask->dim() == 2 || mask->dim() == 4, ALT_ATTENTION,
              "Attention mask dim in {2, 4}");
#undef ALT_ATTENTION
}

}  // namespace

Extents attention_extents(const Tensor& query, const Tensor& key, const Tensor& value,
                          bool causal) {
  check_dtype(key, query.scalar_type());
  check_dtype(value, query.scalar_type());
  const Extents extents{query.size(0), query.size(1), key.size(1), query.size(2),
                        key.size(2),   query.size(3), causal};
  TORCH_CHECK(
      key.sizes() == value.sizes() && key.size(0) == extents.batch &&
          (extents.heads == 0 || (extents.key_heads > 0 && extents.heads % extents.key_heads == 0)),
      "scaled_dot_product_attention_flash_attention: keys ", key.sizes(), " and values ",
      value.sizes(), " do not belong to queries ", query.sizes());
  return extents;
}

double attention_scale(const Tensor& query, std::optional<double> scale) {
  return scale.value_or(1 / std::sqrt(static_cast<double>(query.size(3))));
}

Bias bias_of(const OptionalTensor& mask, const Extents& extents, at::ScalarType dtype,
             Tensor& held) {
  if (!mask || mask->numel() == 0) return {};
  const auto size = [&](int64_t given, int64_t full) { return given == full ? full : 1; };
  const int64_t batch = mask->dim() == 4 ? size(mask->size(0), extents.batch) : 1;
  const int64_t heads = mask->dim() == 4 ? size(mask->size(1), extents.heads) : 1;
  held = mask->view({batch, heads, mask->size(-2), mask->size(-1)})
             .expand({batch, heads, extents.queries, extents.keys});
  if (dtype == at::kDouble) held = held.to(at::kDouble);
  if (held.stride(3) > 1) held = held.contiguous();
  return {held.const_data_ptr(),
          batch > 1 ? held.stride(0) : 0,
          heads > 1 ? held.stride(1) : 0,
          held.stride(2),
          held.stride(3),
          held.scalar_type() != opmath_dtype(dtype)};
}

Tensor with_dense_width(const Tensor& t) {
  return t.stride(3) == 1 || t.size(3) <= 1 ? t : t.contiguous();
}

int64_t fused_sdp_choice(const Tensor& query, const Tensor& key, const Tensor& value,
                         const OptionalTensor& mask, double dropout_p, bool is_causal,
                         std::optional<double> scale, bool enable_gqa) {
  constexpr int64_t kMath = 0;  // sdp::SDPBackend
  if (alt::cuda::on_gpu() && query.dim() == 4 && key.dim() == 4 && !cuda::attends(query, key)) {
    return kMath;
  }
  return at::native::_fused_sdp_choice_cpp(query, key, value, mask, dropout_p, is_causal, scale,
                                           enable_gqa);
}

std::tuple<Tensor, Tensor> flash_attention(const Tensor& query, const Tensor& key,
                                           const Tensor& value, double dropout_p, bool is_causal,
                                           const OptionalTensor& mask,
                                           std::optional<double> scale) {
  check(query, key, value, dropout_p, mask);
  if (alt::cuda::on_gpu() && !cuda::attends(query, key)) {
    HostCall host("aten::_scaled_dot_product_flash_attention_for_cpu");
    host.read(std::tie(query, key, value, mask));
    return host.run([&] {
      return kernels::flash_attention(query, key, value, dropout_p, is_causal, mask, scale);
    });
  }
  const Extents extents = attention_extents(query, key, value, is_causal);
  const Tensor output = at::empty_like(query);
  const Tensor logsumexp = at::empty({extents.batch, extents.queries, extents.heads},
                                     query.options().dtype(opmath_dtype(query.scalar_type())))
                               .transpose(1, 2);
  if (extents.keys == 0) {
    output.zero_();
    logsumexp.zero_();
    return {output, logsumexp};
  }
  const Tensor q = with_dense_width(query), k = with_dense_width(key), v = with_dense_width(value);
  if (alt::cuda::on_gpu()) {
    const Tensor bias = cuda::attention_bias(mask, query, key);
    cuda::attention_forward({q, k, v, bias, is_causal, attention_scale(query, scale)}, output,
                            logsumexp);
    return {output, logsumexp};
  }
  Tensor held;
  const Bias bias = bias_of(mask, extents, query.scalar_type(), held);
  visit<FloatingAndHalfTypes>(query.scalar_type(), "flash_attention", [&]<class T>() {
    using A = opmath_t<T>;
    Forward<T>{extents,
               Heads<const T>(q),
               Heads<const T>(k),
               Heads<const T>(v),
               Heads<T>(output),
               Heads<A>(logsumexp),
               bias,
               static_cast<A>(attention_scale(query, scale))}
        .run();
  });
  return {output, logsumexp};
}

}  // namespace alt::kernels
