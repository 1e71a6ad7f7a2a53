// cumsum of contiguous floats, accumulated in lanes of double.
//
// Along rows a vector is summed up to each of its lanes in log2(lanes) steps, which wait for
// nothing of the vector before; only the carry does, for one addition a vector. So lanes are
// grouped as a tree is, and not one by one as stock has it: doubles, of which a float keeps half
// the digits.
//   Rows that are long and few are cut in segments, kRound at a time, for threads: totals of all,
//   then each from where those before it end. A round stays in the second-level caches between.
// Across columns each lane is a column, in stock's order. kRows rows go together, a line of each
// after the other, so that the sums of a line stay in registers meanwhile and the memory sees some
// streams of whole lines.
// Large results are written past the caches (loops/stream.h).
#include "kernels/scan_lanes.h"

#include <algorithm>
#include <array>
#include <utility>

#include "loops/stream.h"
#include "loops/vec.h"
#include "runtime/rounding.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using V = Vec<double>;

constexpr int64_t kGrain = 8192;            // elements of a task
constexpr int64_t kSegment = 1 << 13;       // elements of a segment
constexpr int64_t kRound = 32;              // segments: 1 MiB of floats
constexpr int64_t kRows = 8;                // of columns, together
constexpr int64_t kWidth = 512;             // columns of a task, at most
constexpr int64_t kTogether = 2 * V::size;  // floats: a line, where vectors are lines

/// Lanes moved up by `by`, with zeros below.
template <int by, size_t... lane>
V moved_up(V x, std::index_sequence<lane...>) {
  constexpr int size = sizeof...(lane);
  return __builtin_shufflevector(V(0.0).native, x.native, (lane + size - by)...);
}
template <int by>
V moved_up(V x) {
  return moved_up<by>(x, std::make_index_sequence<V::size>{});
}

/// The sum of each lane and those below.
template <int by = 1>
V sums_of_lanes(V x) {
  if constexpr (by >= V::size) {
    return x;
  } else {
    return sums_of_lanes<2 * by>(x + moved_up<by>(x));
  }
}

template <size_t... lane>
V last_lane(V x, std::index_sequence<lane...>) {
  return __builtin_shufflevector(x.native, x.native, (lane * 0 + V::size - 1)...);
}

void write_floats(V x, float* to) {
#if defined(__AVX512F__)
  _mm256_storeu_ps(to, _mm512_maskz_cvtpd_ps(0xff, x.native));
#else
  for (int i = 0; i < V::size; ++i) to[i] = static_cast<float>(x[i]);
#endif
}

V last_lane(V x) {
  return last_lane(x, std::make_index_sequence<V::size>{});
}

/// Sums of n adjacent floats from `carry` on, which moves on to their end.
void run(float* to, const float* from, int64_t n, double& carry) {
  V start(carry);
  int64_t i = 0;
  for (; i + V::size <= n; i += V::size) {
    const V sums = sums_of_lanes(read_doubles(from + i));
    write_floats(start + sums, to + i);
    start += last_lane(sums);
  }
  carry = start[0];
  for (; i < n; ++i) to[i] = static_cast<float>(carry += static_cast<double>(from[i]));
}

double total(const float* from, int64_t n) {
  constexpr int64_t kChains = 4;
  std::array<V, kChains> sums;
  sums.fill(V(0.0));
  int64_t i = 0;
  for (; i + kChains * V::size <= n; i += kChains * V::size) {
    for (int64_t k = 0; k < kChains; ++k) sums[k] += read_doubles(from + i + k * V::size);
  }
  double sum = reduce_add((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < n; ++i) sum += static_cast<double>(from[i]);
  return sum;
}

/// As run, past the caches.
void stream_run(float* to, const float* from, int64_t n, double& carry) {
  constexpr int64_t kBlock = kStreamBlock / sizeof(float);
  alignas(kLine) float block[kBlock];
  int64_t count = bytes_before_line(to, kLine) / sizeof(float);
  if (count == 0) count = kBlock;
  for (int64_t i = 0; i < n; i += count, count = kBlock) {
    count = std::min(count, n - i);
    run(block, from + i, count, carry);
    stream_copy(to + i, block, count * sizeof(float));
  }
}

/// A line of each of `rows` rows.
template <bool streaming>
void sum_lines(float* to, const float* from, int64_t stride, int64_t rows, double* sums) {
  V low = V::load(sums), high = V::load(sums + V::size);
  for (int64_t r = 0; r < rows; ++r, to += stride, from += stride) {
    low += read_doubles(from);
    high += read_doubles(from + V::size);
    alignas(kLine) float line[kTogether];
    float* const written = streaming ? line : to;
    write_floats(low, written);
    write_floats(high, written + V::size);
    if constexpr (streaming) stream_copy(to, line, sizeof line);
  }
  low.store(sums);
  high.store(sums + V::size);
}

/// The columns of n rows that are `stride` apart.
template <bool streaming>
void sum_columns(float* to, const float* from, int64_t n, int64_t stride, int64_t width,
                 double* sums) {
  // Rows of 512 bytes to 2 KiB that follow each other in memory are read one after another: several
  // streams so close leave the hardware no direction (loops/reduce_across.h).
  const bool in_order = width == stride && width >= 128 && width <= 512;
  const int64_t together = in_order ? 1 : kRows;
  for (int64_t k = 0; k < n; k += together) {
    const int64_t rows = std::min(together, n - k), at = k * stride;
    int64_t j = 0;
    for (; j + kTogether <= width; j += kTogether) {
      sum_lines<streaming>(to + at + j, from + at + j, stride, rows, sums + j);
    }
    for (; j < width; ++j) {
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t i = at + r * stride + j;
        to[i] = static_cast<float>(sums[j] += static_cast<double>(from[i]));
      }
    }
  }
}

/// What is summed: [outer, n, inner], of which `inner` is 1 for rows.
struct Sums {
  float* to;
  const float* from;
  int64_t outer, n, inner;
  bool streaming;

  Sums(float* to, const float* from, int64_t outer, int64_t n, int64_t inner)
      : to(to), from(from), outer(outer), n(n), inner(inner) {
    const bool whole_lines = bytes_before_line(to, kLine) == 0 && inner % kTogether == 0;
    streaming = worth_streaming(outer * n * inner * sizeof(float)) && (inner == 1 || whole_lines);
  }

  /// `count` rows (elements, where inner is 1) from the at-th element on, of `width` columns.
  void sum(int64_t at, int64_t count, int64_t width, double* carry) const {
    if (inner == 1) {
      streaming ? stream_run(to + at, from + at, count, *carry)
                : run(to + at, from + at, count, *carry);
    } else {
      (streaming ? sum_columns<true> : sum_columns<false>)(to + at, from + at, count, inner, width,
                                                           carry);
    }
  }

  void fence() const {
    if (streaming) stream_fence();
  }
};

/// Rows, or blocks of columns, a thread each.
void sum_lanes_apart(const Sums& sums) {
  const int64_t width = std::min(kWidth, sums.inner), blocks = divide_up(sums.inner, width);
  const int64_t grain = std::max<int64_t>(1, kGrain / (sums.n * width));
  parallel_for(0, sums.outer * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      alignas(kLine) double carry[kWidth];
      const int64_t column = block % blocks * width, columns = std::min(width, sums.inner - column);
      std::fill_n(carry, columns, 0.0);
      sums.sum(block / blocks * sums.n * sums.inner + column, sums.n, columns, carry);
    }
    sums.fence();
  });
}

/// A row of n elements from the at-th on, its length shared by threads.
void sum_segments(const Sums& sums, int64_t at) {
  double carry = 0;
  std::array<double, kRound> starts;
  for (int64_t done = 0; done < sums.n; done += kRound * kSegment) {
    const int64_t left = std::min(sums.n - done, kRound * kSegment);
    const int64_t segments = divide_up(left, kSegment);
    const auto for_segments = [&](auto&& body) {
      parallel_for(0, segments, 1, [&](int64_t begin, int64_t end) {
        for (int64_t s = begin; s < end; ++s) {
          body(s, at + done + s * kSegment, std::min(kSegment, left - s * kSegment));
        }
        sums.fence();
      });
    };
    for_segments([&](int64_t s, int64_t first, int64_t count) {
      starts[s] = total(sums.from + first, count);
    });
    for (int64_t s = 0; s < segments; ++s) carry += std::exchange(starts[s], carry);
    for_segments(
        [&](int64_t s, int64_t first, int64_t count) { sums.sum(first, count, 1, &starts[s]); });
  }
}

}  // namespace

void cumsum_floats(float* to, const float* from, int64_t outer, int64_t n, int64_t inner) {
  const Sums sums(to, from, outer, n, inner);
  if (inner > 1 || n < 2 * kSegment || outer >= 4 * num_threads()) {
    sum_lanes_apart(sums);
  } else {
    for (int64_t row = 0; row < outer; ++row) sum_segments(sums, row * n);
  }
}

}  // namespace alt::kernels
