// Scaled dot product attention, whose scores are never stored.
//
// tensors are batch x heads x length x width, any strides but for a width that is contiguous and at
// most kWidth. A warp has a row: a query forward and for the gradient of the queries, a key for the
// gradients of keys and values. The other side comes in tiles of 32 rows in shared memory that the
// block's warps read together; a lane has one row of the tile while scores are computed, and
// columns of the result while they are used.
//
// Forward keeps the largest score so far and the sum of exponentials under it; backward computes
// the scores again, from their logsumexp.
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace attention {
inline constexpr int kWidth = 128;
inline constexpr int kWarps = 4;
inline constexpr int kColumns = kWidth / 32;  // of a lane
enum Integers { kCausal };
enum Numbers { kScale };

/// Rows of a tensor's one head as floats in shared memory. A row's end is padded, so that the lanes
/// of a warp, a row each, read from different banks.
struct Rows {
  float rows[32][kWidth + 1];
  template <class T>
  ALT_FN void load(const TensorArgs& a, int64_t batch, int64_t head, int64_t first) {
    const T* from = data_of<T>(a) + batch * a.strides[0] + head * a.strides[1];
    const int64_t width = a.sizes[3];
    for (int64_t i = threadIdx.x; i < 32 * width; i += blockDim.x) {
      const int64_t row = i / width, column = i % width;
      const bool inside = first + row < a.sizes[2];
      rows[row][column] =
          inside ? convert<float>(from[(first + row) * a.strides[2] + column]) : 0.0f;
    }
  }
};

template <class T>
ALT_FN const T* row_of(const TensorArgs& a, int64_t batch, int64_t head, int64_t row) {
  return data_of<T>(a) + batch * a.strides[0] + head * a.strides[1] + row * a.strides[2];
}

template <class Combine>
ALT_FN float over_warp(float x, Combine combine) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) x = combine(x, __shfl_xor_sync(~0u, x, mask));
  return x;
}

/// The warp's place: blockIdx.x counts tiles of kWarps rows, y heads, z batches.
struct Place {
  int64_t batch, head, row;
  int lane, warp;
  ALT_FN Place()
      : batch(blockIdx.z),
        head(blockIdx.y),
        row(static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32),
        lane(static_cast<int>(threadIdx.x % 32)),
        warp(static_cast<int>(threadIdx.x / 32)) {}
};

/// What is added to the score of query and key: the bias, or -infinity where they may not meet.
template <class T>
ALT_FN float bias_of(const KernelArgs& a, const TensorArgs& bias, const Place& p, int64_t query,
                     int64_t key) {
  if (a.integers[kCausal] != 0 && key > query) return -std::numeric_limits<float>::infinity();
  if (bias.data == nullptr) return 0.0f;
  return convert<float>(row_of<T>(bias, p.batch, p.head, query)[key * bias.strides[3]]);
}
}  // namespace attention

/// tensors: output, logsumexp (float; batch x heads x queries), query, key, value, bias or none
/// (broadcast by strides of 0). kWarps * 32 threads.
template <class T>
ALT_FN void attention_forward(const KernelArgs& a) {
  using namespace attention;
  __shared__ Rows keys, values;
  __shared__ float queries[kWarps][kWidth];
  const TensorArgs &output = a.tensors[0], &query = a.tensors[2], &key = a.tensors[3];
  const TensorArgs &value = a.tensors[4], &bias = a.tensors[5];
  const Place p;
  const bool exists = p.row < query.sizes[2];
  const int64_t width = query.sizes[3], value_width = value.sizes[3];
  const float scale = static_cast<float>(a.numbers[kScale]);
  for (int64_t c = p.lane; exists && c < width; c += 32) {
    queries[p.warp][c] = convert<float>(row_of<T>(query, p.batch, p.head, p.row)[c]) * scale;
  }
  float largest = -std::numeric_limits<float>::infinity(), sum = 0.0f;
  float result[kColumns] = {};

  const auto larger = [](float x, float y) { return maximum(x, y); };
  const auto add = [](float x, float y) { return x + y; };
  for (int64_t first = 0; first < key.sizes[2]; first += 32) {
    __syncthreads();
    keys.load<T>(key, p.batch, p.head, first);
    values.load<T>(value, p.batch, p.head, first);
    __syncthreads();
    if (!exists) continue;
    float score = -std::numeric_limits<float>::infinity();
    if (first + p.lane < key.sizes[2]) {
      score = 0.0f;
      for (int64_t c = 0; c < width; ++c) {
        score = fma(queries[p.warp][c], keys.rows[p.lane][c], score);
      }
      score += bias_of<T>(a, bias, p, p.row, first + p.lane);
    }
    const float next = maximum(largest, over_warp(score, larger));
    if (next == -std::numeric_limits<float>::infinity()) continue;  // nothing may be seen so far
    const float shrink = math::exp(largest - next);
    const float weight = math::exp(score - next);
    sum = sum * shrink + over_warp(weight, add);
    largest = next;
#pragma unroll
    for (int k = 0; k < kColumns; ++k) result[k] *= shrink;
    for (int row = 0; row < 32; ++row) {
      const float w = __shfl_sync(~0u, weight, row);
#pragma unroll
      for (int k = 0; k < kColumns; ++k) {
        const int64_t c = p.lane + 32 * k;
        if (c < value_width) result[k] = fma(w, values.rows[row][c], result[k]);
      }
    }
  }
  if (!exists) return;
  T* to = data_of<T>(output) + p.batch * output.strides[0] + p.head * output.strides[1] +
          p.row * output.strides[2];
  // A query that may see nothing gives zeros, as stock's does.
  const float scale_back = sum > 0.0f || sum != sum ? 1.0f / sum : 0.0f;
#pragma unroll
  for (int k = 0; k < kColumns; ++k) {
    const int64_t c = p.lane + 32 * k;
    if (c < value_width) to[c * output.strides[3]] = convert<T>(result[k] * scale_back);
  }
  if (p.lane == 0) {
    const TensorArgs& log = a.tensors[1];
    data_of<float>(
        log)[p.batch * log.strides[0] + p.head * log.strides[1] + p.row * log.strides[2]] =
        largest + math::log(sum);
  }
}

namespace attention {
/// One side of the backward pass: the warp's row is `self`, the tiles are `other`.
///
/// weight = exp(score - logsumexp) and slope = weight * (gradient . value - delta), delta being
/// gradient . output of the query. The queries' gradient is the sum of slope * key, the keys' that
/// of slope * query, the values' that of weight * gradient.
template <class T, bool of_keys>
ALT_FN void backward(const KernelArgs& a) {
  const TensorArgs &query = a.tensors[2], &key = a.tensors[3], &value = a.tensors[4];
  const TensorArgs &bias = a.tensors[5], &gradient = a.tensors[6];
  // integers after kCausal: addresses of logsumexp and delta, contiguous floats.
  const float* log = reinterpret_cast<const float*>(a.integers[1]);
  const float* delta = reinterpret_cast<const float*>(a.integers[2]);
  const TensorArgs& self = of_keys ? key : query;
  const TensorArgs& self_other = of_keys ? value : gradient;
  const TensorArgs& tile = of_keys ? query : key;
  const TensorArgs& tile_other = of_keys ? gradient : value;
  __shared__ Rows tiles, others;
  __shared__ float mine[kWarps][kWidth], mine_other[kWarps][kWidth];
  const Place p;
  const bool exists = p.row < self.sizes[2];
  const int64_t width = query.sizes[3], value_width = value.sizes[3];
  const float scale = static_cast<float>(a.numbers[kScale]);
  for (int64_t c = p.lane; exists && c < width; c += 32) {
    mine[p.warp][c] = convert<float>(row_of<T>(self, p.batch, p.head, p.row)[c]);
  }
  for (int64_t c = p.lane; exists && c < value_width; c += 32) {
    mine_other[p.warp][c] = convert<float>(row_of<T>(self_other, p.batch, p.head, p.row)[c]);
  }
  const int64_t base = (p.batch * query.sizes[1] + p.head) * query.sizes[2];
  float result[kColumns] = {}, result_other[kColumns] = {};
  for (int64_t first = 0; first < tile.sizes[2]; first += 32) {
    __syncthreads();
    tiles.load<T>(tile, p.batch, p.head, first);
    others.load<T>(tile_other, p.batch, p.head, first);
    __syncthreads();
    if (!exists) continue;
    float weight = 0.0f, slope = 0.0f;
    if (first + p.lane < tile.sizes[2]) {
      const int64_t q = of_keys ? first + p.lane : p.row, k = of_keys ? p.row : first + p.lane;
      float score = 0.0f, dot = 0.0f;
      for (int64_t c = 0; c < width; ++c) {
        score = fma(mine[p.warp][c], tiles.rows[p.lane][c], score);
      }
      for (int64_t c = 0; c < value_width; ++c) {
        dot = fma(mine_other[p.warp][c], others.rows[p.lane][c], dot);
      }
      const float total = score * scale + bias_of<T>(a, bias, p, q, k);
      // A query that saw nothing has a logsumexp of -infinity, and no weights.
      const bool seen = total > -std::numeric_limits<float>::infinity();
      weight = seen ? math::exp(total - log[base + q]) : 0.0f;
      slope = weight * (dot - delta[base + q]) * scale;
    }
    for (int row = 0; row < 32; ++row) {
      const float s = __shfl_sync(~0u, slope, row), w = __shfl_sync(~0u, weight, row);
#pragma unroll
      for (int k = 0; k < kColumns; ++k) {
        const int64_t c = p.lane + 32 * k;
        if (c < width) result[k] = fma(s, tiles.rows[row][c], result[k]);
        if (of_keys && c < value_width) {
          result_other[k] = fma(w, others.rows[row][c], result_other[k]);
        }
      }
    }
  }
  if (!exists) return;
#pragma unroll
  for (int k = 0; k < kColumns; ++k) {
    const int64_t c = p.lane + 32 * k;
    if (c < width) {
      const_cast<T*>(row_of<T>(a.tensors[0], p.batch, p.head, p.row))[c] = convert<T>(result[k]);
    }
    if (of_keys && c < value_width) {
      const_cast<T*>(row_of<T>(a.tensors[1], p.batch, p.head, p.row))[c] =
          convert<T>(result_other[k]);
    }
  }
}
}  // namespace attention

/// tensors: gradient of the queries, none, query, key, value, bias, gradient of the output.
template <class T>
ALT_FN void attention_backward_query(const KernelArgs& a) {
  attention::backward<T, false>(a);
}
/// tensors: gradients of keys and values, query, key, value, bias, gradient of the output.
template <class T>
ALT_FN void attention_backward_key(const KernelArgs& a) {
  attention::backward<T, true>(a);
}

}  // namespace alt::kernels
