// What normalisations of rows share: layer norm and RMS norm.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/norm_lanes.h"

namespace alt::kernels {

inline constexpr int64_t kElementsPerTask = 16384;

inline int64_t rows_per_task(int64_t width) {
  return std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, width));
}

/// A weight's lanes, or one.
template <class A, class Count>
Vec<A> weight_lanes(const A* weight, int64_t i, Count lanes) {
  return weight ? load_lanes(weight + i, lanes) : Vec<A>(A(1));
}

/// The chunks' sums, one after the other, in double: to[i] = the sum of partials[c * stride + i].
template <class A>
void join_chunks(const A* partials, int64_t chunks, int64_t stride, int64_t width, A* to) {
  std::vector<double> totals(width, 0.0);
  for (int64_t c = 0; c < chunks; ++c) {
    for (int64_t i = 0; i < width; ++i) totals[i] += static_cast<double>(partials[c * stride + i]);
  }
  for (int64_t i = 0; i < width; ++i) to[i] = static_cast<A>(totals[i]);
}

}  // namespace alt::kernels
