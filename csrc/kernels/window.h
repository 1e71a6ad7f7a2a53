// Windows that slide over an image of up to three dimensions, for convolution and pooling.
//
// Loops run over one row of places at a time, along the innermost dimension: what one element of
// the window sees from the places of a row is a run of positions `stride` apart, and those that
// fall into the padding are a prefix and a suffix of it, so the inner loops have no conditions.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace alt::kernels {

/// Depth, height, width; absent dimensions have size 1.
using Extent = std::array<int64_t, 3>;

inline int64_t volume(const Extent& extent) {
  return extent[0] * extent[1] * extent[2];
}

/// The last sizes.size() of three dimensions; the others are `absent`.
template <class Sizes>
Extent extent_of(const Sizes& sizes, int64_t absent) {
  Extent result{absent, absent, absent};
  std::copy(sizes.begin(), sizes.end(), result.end() - static_cast<int64_t>(sizes.size()));
  return result;
}

/// The part [first, last) of `count` positions start + i * stride that lies in [0, size).
struct Inside {
  Inside(int64_t start, int64_t stride, int64_t count, int64_t size) {
    first = start >= 0 ? 0 : std::min(count, (-start + stride - 1) / stride);
    last =
        start >= size ? first : std::max(first, std::min(count, (size - 1 - start) / stride + 1));
  }
  /// The part of `count` of these positions from number `from` on, counted from there.
  Inside part(int64_t from, int64_t count) const {
    Inside result(*this);
    result.first = std::clamp<int64_t>(first - from, 0, count);
    result.last = std::clamp(last - from, result.first, count);
    return result;
  }
  int64_t first;
  int64_t last;
};

inline bool outside(int64_t position, int64_t size) {
  return position < 0 || position >= size;
}

}  // namespace alt::kernels
