// What the forward and backward pass of attention share: operands as pointers, blocks of scores.
//
// A block is kBlockKeys keys by kBlockQueries queries, and lanes run along the queries: the
// softmax over the keys then is elementwise, without sums across lanes, and neither keys nor values
// need packing. Only queries and results are transposed, once for a block of queries.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/attention_lanes.h"
#include "kernels/operands.h"
#include "kernels/scratch.h"
#include "loops/exp.h"
#include "runtime/rounding.h"

namespace alt::kernels {

constexpr int64_t kBlockKeys = 128;
template <class T>
constexpr int64_t kBlockQueries = kTileVectors * Vec<T>::size;

/// Of a chunk of tasks, in multiplications: about 10 us.
constexpr double kOperationsPerChunk = 5e5;

inline int64_t tasks_per_chunk(double operations_per_task) {
  return static_cast<int64_t>(kOperationsPerChunk / std::max(operations_per_task, 1.0)) + 1;
}

/// A (batch, heads, length, width) operand whose width is contiguous.
template <class T>
struct Heads {
  T* data;
  int64_t batch, head, row;

  explicit Heads(const at::Tensor& t)
      : data(static_cast<T*>(t.data_ptr())),
        batch(t.stride(0)),
        head(t.stride(1)),
        row(t.stride(2)) {}
  T* at(int64_t b, int64_t h, int64_t i) const { return data + b * batch + h * head + i * row; }
};

/// The sizes of a call. Several heads of the queries may share a head of keys and values.
struct Extents {
  int64_t batch, heads, key_heads, queries, keys, width;
  bool causal;

  /// Keys that the queries before `query_end` see.
  int64_t visible_keys(int64_t query_end) const {
    return causal ? std::min(query_end, keys) : keys;
  }
  int64_t key_head(int64_t head) const { return head / (heads / key_heads); }
};

/// What is added to the scores, of type T or opmath_t<T>.
struct Bias {
  const void* data = nullptr;
  int64_t batch = 0, head = 0, query = 0, key = 0;
  bool reduced = false;
};

/// A bias as `Bias` for operands of type `dtype`; `held` keeps its memory.
Bias bias_of(const std::optional<at::Tensor>& mask, const Extents& extents, at::ScalarType dtype,
             at::Tensor& held);

/// Checks operands and gives their sizes.
Extents attention_extents(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                          bool causal);

double attention_scale(const at::Tensor& query, std::optional<double> scale);

/// `t`, or a copy if its last dimension is not contiguous.
at::Tensor with_dense_width(const at::Tensor& t);

/// A block of keys or values in the type that is computed in: the memory itself, or a converted
/// copy in `copy`.
template <class T>
Rows<const opmath_t<T>> computed_rows(const T* from, int64_t stride, int64_t rows, int64_t width,
                                      opmath_t<T>* copy) {
  if constexpr (detail::is_reduced<T>) {
    for (int64_t r = 0; r < rows; ++r) {
      for_lanes<opmath_t<T>>(0, width, [&](int64_t i, auto count) {
        store_lanes<opmath_t<T>>(load_lanes(from + r * stride + i, count), copy + r * width + i,
                                 count);
      });
    }
    return {copy, width};
  } else {
    return {from, stride};
  }
}

/// The scores of one block: scores[key][query].
template <class T>
struct Block {
  int64_t first_query, queries;  // of which the last vector may be partial
  int64_t first_key, keys;
  Rows<T> scores;
  bool causal;

  static constexpr int64_t lanes = Vec<T>::size;

  /// Keys that some query of the vector at `query` sees.
  int64_t visible(int64_t query) const {
    if (!causal) return keys;
    return std::clamp<int64_t>(first_query + query + lanes - first_key, 0, keys);
  }

  /// strip(key, keys, query): strips of keys, and the first query of a vector that sees any of
  /// them. One strip, unless the block lies on the diagonal of a causal mask.
  template <class F>
  void for_strips(F&& strip) const {
    if (!causal || first_key + keys <= first_query + 1) return strip(0, keys, 0);
    for (int64_t key = 0; key < keys; key += lanes) {
      const int64_t hidden = std::max<int64_t>(0, first_key + key - first_query);
      strip(key, std::min(lanes, keys - key), hidden / lanes * lanes);
    }
  }

  int64_t vectors_from(int64_t query) const { return divide_up(queries - query, lanes); }
};

/// scores = A q, for the keys that are seen: A holds the block's keys or values, `q` the transposed
/// queries or gradients.
template <class T>
void multiply_into_scores(const Block<T>& block, Rows<const T> a, Rows<T> q, int64_t width,
                          Rows<T> scores) {
  block.for_strips([&](int64_t key, int64_t keys, int64_t query) {
    product<Into::kSet, T>(keys, block.vectors_from(query), width, {a[key], a.stride, 1},
                           {q.data + query, q.stride}, {scores[key] + query, scores.stride});
  });
}

/// to[width][query] = to * factors + the block's `weights` times its keys or values; where the
/// block is the first, `to` is set. Without factors it is added to.
template <class T>
void accumulate_queries(const Block<T>& block, Rows<const T> a, Rows<T> weights, int64_t width,
                        Rows<T> to, const T* factors) {
  block.for_strips([&](int64_t key, int64_t keys, int64_t query) {
    const int64_t vectors = block.vectors_from(query);
    const Broadcast<T> from{a[key], 1, a.stride};
    const Rows<const T> b{weights[key] + query, weights.stride};
    const Rows<T> c{to.data + query, to.stride};
    if (block.first_key == 0 && key == 0) {
      product<Into::kSet, T>(width, vectors, keys, from, b, c);
    } else if (factors && key == 0) {
      product<Into::kScale, T>(width, vectors, keys, from, b, c, factors + query);
    } else {
      product<Into::kAdd, T>(width, vectors, keys, from, b, c);
    }
  });
}

template <class S, class T>
void add_bias_square(const S* from, const Bias& bias, int64_t query, int64_t key,
                     const Block<T>& block) {
  constexpr int lanes = Vec<T>::size;
  const int width = static_cast<int>(std::min<int64_t>(lanes, block.keys - key));
  const int height = static_cast<int>(std::min<int64_t>(lanes, block.queries - query));
  const S* const corner =
      from + (block.first_query + query) * bias.query + (block.first_key + key) * bias.key;
  Vec<T> square[lanes];
  if (bias.key == 0) {
    for (int i = 0; i < lanes; ++i) {
      square[i] = Vec<T>(i < height ? static_cast<T>(corner[i * bias.query]) : T(0));
    }
  } else {
    load_square<T>(square, corner, bias.query, height, width);
  }
  transpose(square);
  for (int i = 0; i < width; ++i) {
    T* const to = block.scores[key + i] + query;
    (Vec<T>::load(to) + square[i]).store(to);
  }
}

/// scores += bias, of T's own type or of the narrower `Narrow`.
template <class Narrow, class T>
void add_bias(const Bias& bias, int64_t batch, int64_t head, const Block<T>& block) {
  if (!bias.data) return;
  const int64_t offset = batch * bias.batch + head * bias.head;
  for (int64_t query = 0; query < block.queries; query += Vec<T>::size) {
    for (int64_t key = 0; key < block.visible(query); key += Vec<T>::size) {
      if (bias.reduced) {
        add_bias_square(static_cast<const Narrow*>(bias.data) + offset, bias, query, key, block);
      } else {
        add_bias_square(static_cast<const T*>(bias.data) + offset, bias, query, key, block);
      }
    }
  }
}

/// Minus infinity where a query comes before the key, of those that `visible` does not leave out.
template <class T>
void hide_later_keys(const Block<T>& block) {
  constexpr int64_t lanes = Vec<T>::size;
  alignas(64) T indices[lanes];
  for (int64_t i = 0; i < lanes; ++i) indices[i] = static_cast<T>(i);
  const Vec<T> lane = Vec<T>::load(indices), hidden(-std::numeric_limits<T>::infinity());
  for (int64_t query = 0; query < block.queries; query += lanes) {
    const int64_t diagonal = block.first_query + query - block.first_key;
    for (int64_t key = std::max<int64_t>(0, diagonal + 1); key < block.visible(query); ++key) {
      T* const at = block.scores[key] + query;
      select(lane < Vec<T>(static_cast<T>(key - diagonal)), hidden, Vec<T>::load(at)).store(at);
    }
  }
}

}  // namespace alt::kernels
