// Layouts and helpers of batch normalisation, forward (norm_batch.cpp) and backward
// (norm_batch_backward.cpp).
//
// A tensor is (outer, channels, inner). Two layouts:
//  - inner > 1, channels apart (contiguous NCHW): one task a channel, which finds its sums and
//  normalises at once,
//    so that the later passes over the channel find it in cache (32x64x56x56: 400 KB a channel, 1
//    MB of L2).
//  - inner == 1, channels together (N x C, and channels_last): lanes run across channels, tasks are
//  chunks of rows;
//    each chunk sums its rows, the chunks are then joined in their order, so a result never depends
//    on the threads.
// Parameters and statistics are C numbers only; they are brought to the type of computation first
// and back at the end.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>
#include <vector>

#include "kernels/norm_lanes.h"
#include "kernels/parameters.h"
#include "kernels/row_writer.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

// Elements of a chunk: 64 KB of floats, which both passes over it find in the second-level cache.
inline constexpr int64_t kChunk = 16384;

struct BatchNormExtent {
  int64_t outer, channels, inner;

  explicit BatchNormExtent(const Tensor& t) : channels(t.size(1)) {
    const int64_t positions = t.numel() / std::max<int64_t>(1, channels);
    const bool together = t.dim() > 2 && !t.is_contiguous();  // channels_last or channels_last_3d
    outer = together ? positions : t.size(0);
    inner = together ? 1 : positions / std::max<int64_t>(1, outer);
  }
  int64_t count() const { return outer * inner; }
  int64_t elements() const { return channels * count(); }
  // Outer positions in a chunk of about kChunk elements.
  int64_t chunk() const {
    return inner > 1 ? std::max<int64_t>(1, kChunk / inner)
                     : std::max<int64_t>(16, kChunk / channels);
  }
};

using ThreeTensors = std::tuple<Tensor, Tensor, Tensor>;

inline Tensor dense(const Tensor& t) {
  return t.is_contiguous() ? t : t.contiguous(t.suggest_memory_format());
}

// `reduce(first, last, partial)` sums rows [first, last) into partial[0..terms*channels); returns
// all chunks' partials.
template <class A, class F>
std::vector<A> row_chunks(const BatchNormExtent& extent, int64_t terms, F&& reduce) {
  const int64_t chunk = extent.chunk(), chunks = (extent.outer + chunk - 1) / chunk;
  std::vector<A> partials(chunks * terms * extent.channels, A(0));
  parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      reduce(c * chunk, std::min((c + 1) * chunk, extent.outer),
             partials.data() + c * terms * extent.channels);
    }
  });
  return partials;
}

template <class A>
void add_lanes(A* to, const Vec<A>& value, int64_t i, Full) {
  store_lanes<A>(Vec<A>::load(to + i) + value, to + i, Full{});
}
template <class A>
void add_lanes(A* to, const Vec<A>& value, int64_t i, int count) {
  store_lanes<A>(load_lanes(to + i, count) + value, to + i, count);
}

// What parameter_dtype asks for.
inline Tensor given(const OptionalTensor& parameter) {
  return parameter.value_or(Tensor());
}

}  // namespace alt::kernels
