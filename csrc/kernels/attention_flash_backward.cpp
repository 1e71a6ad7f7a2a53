// The gradient of attention, from the logarithm of the sum of exponentials that the forward pass
// kept.
//
// With P = exp(scale Q K^T + mask - logsumexp) and dO the gradient of the result:
//   dV = P^T dO, dP = dO V^T, dS = scale P (dP - sum(dO O)), dQ = dS K, dK = dS^T Q.
// A task is one head of keys and values, so that nothing is added to by two threads. It walks
// blocks of queries, and within them blocks of keys; lanes run along the queries in S, dP and dQ,
// along the width in dV and dK. The scale is put on Q and dO while they are transposed, once for a
// block of queries.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <tuple>

#include "dispatch/host_call.h"
#include "kernels/attention_flash.h"
#include "kernels/cuda/attention.h"
#include "loops/dtype.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

template <class T>
struct Backward {
  using A = opmath_t<T>;
  using V = Vec<A>;

  Extents extents;
  Heads<const T> query, key, value, output, grad_output;
  Heads<const A> logsumexp;  // of width 1
  Heads<T> grad_query, grad_key, grad_value;
  Bias bias;
  A scale;

  static constexpr int64_t block_queries = kBlockQueries<A>;

  /// Of a row that holds the width in whole vectors.
  int64_t padded() const { return divide_up(extents.width, V::size) * V::size; }
  /// Whether rows of T are rows of whole vectors of A.
  bool whole() const { return !detail::is_reduced<T> && extents.width == padded(); }

  int64_t scratch_size() const {
    const int64_t transposed = 3 * extents.width * block_queries;
    const int64_t copies = detail::is_reduced<T> ? 2 * kBlockKeys * extents.width : 0;
    const int64_t rows = whole() ? 0 : 2 * (block_queries + extents.keys) * padded();
    return transposed + 2 * kBlockKeys * block_queries + 2 * block_queries + copies + rows;
  }

  struct Memory {
    Rows<A> q, grad_out, grad_q;   // transposed
    Rows<A> weights, grad_scores;  // a block
    A *logsumexp, *projection;     // of each query
    A* copies;                     // of a block of keys and of values
    A *q_rows, *grad_out_rows;     // in whole vectors, where `whole` does not hold
    Rows<A> grad_key, grad_value;
  };

  Memory carve(Pieces<A> pieces, int64_t b, int64_t kv) const {
    const int64_t width = extents.width;
    const auto block = [&](int64_t rows) {
      return Rows<A>{pieces.take(rows * block_queries), block_queries};
    };
    Memory m{};
    m.q = block(width);
    m.grad_out = block(width);
    m.grad_q = block(width);
    m.weights = block(kBlockKeys);
    m.grad_scores = block(kBlockKeys);
    m.logsumexp = pieces.take(block_queries);
    m.projection = pieces.take(block_queries);
    if constexpr (detail::is_reduced<T>) m.copies = pieces.take(2 * kBlockKeys * width);
    if (whole()) {
      if constexpr (!detail::is_reduced<T>) {
        m.grad_key = {grad_key.at(b, kv, 0), grad_key.row};
        m.grad_value = {grad_value.at(b, kv, 0), grad_value.row};
      }
    } else {
      m.q_rows = pieces.take(block_queries * padded());
      m.grad_out_rows = pieces.take(block_queries * padded());
      m.grad_key = {pieces.take(extents.keys * padded()), padded()};
      m.grad_value = {pieces.take(extents.keys * padded()), padded()};
    }
    return m;
  }

  /// Rows of whole vectors: `from` itself, or a copy that zeros complete.
  Rows<const A> vector_rows(const T* from, int64_t stride, int64_t rows, A* copy) const {
    if constexpr (!detail::is_reduced<T>) {
      if (whole()) return {from, stride};
    }
    for (int64_t r = 0; r < rows; ++r) {
      for_lanes<A>(0, extents.width, [&](int64_t d, auto lanes) {
        load_lanes(from + r * stride + d, lanes).store(copy + r * padded() + d);
      });
    }
    return {copy, padded()};
  }

  /// Transposes the block's queries and gradients. Queries that fill up the last vector get an
  /// infinite sum of exponentials, so that their weights are 0.
  void load_queries(int64_t b, int64_t h, int64_t first, int64_t queries, const Memory& m) const {
    const int64_t width = extents.width;
    transpose_in(query.at(b, h, first), query.row, queries, width, scale, m.q);
    transpose_in(grad_output.at(b, h, first), grad_output.row, queries, width, scale, m.grad_out);
    std::fill_n(m.logsumexp, block_queries, std::numeric_limits<A>::infinity());
    for (int64_t i = 0; i < queries; ++i) m.logsumexp[i] = *logsumexp.at(b, h, first + i);
    for (int64_t i = 0; i < queries; i += V::size) {
      V products[V::size];
      for (int64_t j = 0; j < V::size; ++j) {
        products[j] = V(A(0));
        if (i + j >= queries) continue;
        const T *grad = grad_output.at(b, h, first + i + j),
                *result = output.at(b, h, first + i + j);
        for_lanes<A>(0, width, [&](int64_t d, auto lanes) {
          products[j] =
              fma(load_lanes(grad + d, lanes), load_lanes(result + d, lanes), products[j]);
        });
      }
      (sum_of_each(products) * V(scale)).store(m.projection + i);
    }
  }

  /// weights = exp(scores - logsumexp), grad_scores = weights * (grad_weights - projection), each
  /// in place.
  void differentiate(const Block<A>& block, const Memory& m) const {
    for (int64_t query = 0; query < block.queries; query += V::size) {
      const V normalizer = V::load(m.logsumexp + query), projection = V::load(m.projection + query);
      for (int64_t key = 0; key < block.visible(query); ++key) {
        A *const score = m.weights[key] + query, *const grad = m.grad_scores[key] + query;
        const V weight = math::exp_nonpositive(V::load(score) - normalizer);
        weight.store(score);
        (weight * (V::load(grad) - projection)).store(grad);
      }
    }
  }

  /// For a block that holds all keys: the sum of weights * grad_weights, which the projection is.
  /// In half precision the rounding of the result would be the largest error of the other way.
  void project(const Block<A>& block, const Memory& m) const {
    for (int64_t query = 0; query < block.queries; query += V::size) {
      const V normalizer = V::load(m.logsumexp + query);
      V sum(A(0));
      for (int64_t key = 0; key < block.visible(query); ++key) {
        const V weight = math::exp_nonpositive(V::load(m.weights[key] + query) - normalizer);
        sum = fma(weight, V::load(m.grad_scores[key] + query), sum);
      }
      sum.store(m.projection + query);
    }
  }

  /// to[key] += the sum of weights[key][query] * rows[query].
  void accumulate_keys(const Block<A>& block, Rows<A> weights, Rows<const A> rows, int64_t vectors,
                       Rows<A> to) const {
    block.for_strips([&](int64_t key, int64_t keys, int64_t query) {
      product<Into::kAdd, A>(keys, vectors, block.queries - query,
                             {weights[key] + query, weights.stride, 1}, {rows[query], rows.stride},
                             {to[block.first_key + key], to.stride});
    });
  }

  void head(int64_t b, int64_t h, int64_t kv, const Memory& m) const {
    const int64_t width = extents.width, vectors = padded() / V::size;
    for (int64_t first = 0; first < extents.queries; first += block_queries) {
      const int64_t queries = std::min(block_queries, extents.queries - first);
      load_queries(b, h, first, queries, m);
      const auto q = vector_rows(query.at(b, h, first), query.row, queries, m.q_rows);
      const auto grad_out =
          vector_rows(grad_output.at(b, h, first), grad_output.row, queries, m.grad_out_rows);
      const int64_t visible = extents.visible_keys(first + queries);
      for (int64_t n = 0; n < visible; n += kBlockKeys) {
        const int64_t count = std::min(kBlockKeys, visible - n);
        const Block<A> block{first, queries, n, count, m.weights, extents.causal};
        const auto k = computed_rows(key.at(b, kv, n), key.row, count, width, m.copies);
        const auto v = computed_rows(value.at(b, kv, n), value.row, count, width,
                                     m.copies + kBlockKeys * width);
        multiply_into_scores(block, k, m.q, width, m.weights);
        multiply_into_scores(block, v, m.grad_out, width, m.grad_scores);
        add_bias<T>(bias, b, h, block);
        if (extents.causal) hide_later_keys(block);
        if (detail::is_reduced<T> && visible <= kBlockKeys) project(block, m);
        differentiate(block, m);
        accumulate_keys(block, m.weights, grad_out, vectors, m.grad_value);
        accumulate_keys(block, m.grad_scores, q, vectors, m.grad_key);
        accumulate_queries<A>(block, k, m.grad_scores, width, m.grad_q, nullptr);
      }
      transpose_out<T, A>({m.grad_q.data, m.grad_q.stride}, width, queries, nullptr,
                          grad_query.at(b, h, first), grad_query.row);
    }
  }

  void write_rows(const Rows<A>& from, T* to, int64_t stride) const {
    for (int64_t n = 0; n < extents.keys; ++n) {
      for_lanes<A>(0, extents.width, [&](int64_t d, auto lanes) {
        store_lanes<T>(V::load(from[n] + d), to + n * stride + d, lanes);
      });
    }
  }

  void run() const {
    const int64_t sharing = extents.key_heads ? extents.heads / extents.key_heads : 0;
    const double operations = 5.0 * static_cast<double>(sharing) *
                              static_cast<double>(extents.queries) *
                              static_cast<double>(extents.keys) *
                              static_cast<double>(extents.width) / (extents.causal ? 2 : 1);
    const int64_t tasks = extents.batch * extents.key_heads;
    parallel_for(0, tasks, tasks_per_chunk(operations), [&](int64_t begin, int64_t end) {
      const Scratch<A> scratch(scratch_size());
      for (int64_t task = begin; task < end; ++task) {
        const int64_t b = task / extents.key_heads, kv = task % extents.key_heads;
        const Memory m = carve({scratch.data()}, b, kv);
        for (int64_t n = 0; n < extents.keys; ++n) {
          std::fill_n(m.grad_key[n], padded(), A(0));
          std::fill_n(m.grad_value[n], padded(), A(0));
        }
        for (int64_t h = kv * sharing; h < (kv + 1) * sharing; ++h) head(b, h, kv, m);
        if (!whole()) {
          write_rows(m.grad_key, grad_key.at(b, kv, 0), grad_key.row);
          write_rows(m.grad_value, grad_value.at(b, kv, 0), grad_value.row);
        }
      }
    });
  }
};

// (batch, heads, length, width) in memory of (batch, length, heads, width), as stock's.
Tensor gradient_of(const Tensor& t) {
  return at::empty({t.size(0), t.size(2), t.size(1), t.size(3)}, t.options()).transpose(1, 2);
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor> flash_attention_backward(
    const Tensor& grad_out, const Tensor& query, const Tensor& key, const Tensor& value,
    const Tensor& out, const Tensor& logsumexp, double /*dropout_p*/, bool is_causal,
    const OptionalTensor& mask, std::optional<double> scale) {
  if (!grad_out.defined()) return {};
  if (alt::cuda::on_gpu() && !cuda::attends(query, key)) {
    HostCall host("aten::_scaled_dot_product_flash_attention_for_cpu_backward");
    host.read(std::tie(grad_out, query, key, value, out, logsumexp, mask));
    return host.run([&] {
      return kernels::flash_attention_backward(grad_out, query, key, value, out, logsumexp, 0,
                                               is_causal, mask, scale);
    });
  }
  const Extents extents = attention_extents(query, key, value, is_causal);
  check_dtype(grad_out, query.scalar_type());
  check_dtype(out, query.scalar_type());
  TORCH_CHECK(grad_out.sizes() == query.sizes() && out.sizes() == query.sizes() &&
                  logsumexp.sizes() == query.sizes().slice(0, 3),
              "scaled_dot_product_attention_flash_attention_backward: a gradient ",
              grad_out.sizes(), ", a result ", out.sizes(), " and sums ", logsumexp.sizes(),
              " do not belong to queries ", query.sizes());
  const Tensor grad_query = gradient_of(query), grad_key = gradient_of(key),
               grad_value = gradient_of(value);
  if (extents.keys == 0) grad_query.zero_();
  if (extents.queries == 0) {
    grad_key.zero_();
    grad_value.zero_();
  }
  const Tensor q = with_dense_width(query), k = with_dense_width(key), v = with_dense_width(value),
               o = with_dense_width(out), g = with_dense_width(grad_out);
  if (alt::cuda::on_gpu()) {
    if (extents.keys == 0 || extents.queries == 0) return {grad_query, grad_key, grad_value};
    const Tensor bias = cuda::attention_bias(mask, query, key);
    cuda::attention_backward({q, k, v, bias, is_causal, attention_scale(query, scale)}, o,
                             logsumexp, g, grad_query, grad_key, grad_value);
    return {grad_query, grad_key, grad_value};
  }
  Tensor held;
  const Bias bias = bias_of(mask, extents, query.scalar_type(), held);
  visit<FloatingAndHalfTypes>(query.scalar_type(), "flash_attention_backward", [&]<class T>() {
    using A = opmath_t<T>;
    check_dtype(logsumexp, c10::CppTypeToScalarType<A>::value);
    if (extents.keys == 0 || extents.queries == 0) return;
    Backward<T>{extents,
                Heads<const T>(q),
                Heads<const T>(k),
                Heads<const T>(v),
                Heads<const T>(o),
                Heads<const T>(g),
                Heads<const A>(logsumexp),
                Heads<T>(grad_query),
                Heads<T>(grad_key),
                Heads<T>(grad_value),
                bias,
                static_cast<A>(attention_scale(query, scale))}
        .run();
  });
  return {grad_query, grad_key, grad_value};
}

}  // namespace alt::kernels
