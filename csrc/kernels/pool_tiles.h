// Average pooling by lanes, for the commonest windows: tiles two wide, which lie inside the image,
// side by side, so that each input belongs to one of them at most. Forward, the even and the odd
// columns are shuffled out of memory into a vector each, and summed in registers; backward, each
// quotient is shuffled into place twice.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/norm_lanes.h"
#include "kernels/pool.h"

namespace alt::kernels::pool::tiles {

inline bool are_tiles(const Geometry& g) {
  bool inside = g.kernel[2] == 2;
  for (int i = 0; i < 3; ++i) {
    inside = inside && g.padding[i] == 0 && g.stride[i] == g.kernel[i] &&
             g.output[i] * g.kernel[i] <= g.input[i];
  }
  return inside;
}

/// Lanes first, first + 2, ... of two vectors in a row.
template <class T, size_t... lane>
Vec<T> every_other(Vec<T> low, Vec<T> high, int first, std::index_sequence<lane...>) {
  return first == 0 ? Vec<T>(__builtin_shufflevector(low.native, high.native, (2 * lane)...))
                    : Vec<T>(__builtin_shufflevector(low.native, high.native, (2 * lane + 1)...));
}

/// Each lane twice: the lower half of the lanes, or the upper.
template <class T, size_t... lane>
Vec<T> twice(Vec<T> x, bool upper, std::index_sequence<lane...>) {
  constexpr size_t half = sizeof...(lane) / 2;
  return upper ? Vec<T>(__builtin_shufflevector(x.native, x.native, (half + lane / 2)...))
               : Vec<T>(__builtin_shufflevector(x.native, x.native, (lane / 2)...));
}

/// The vectors that hold 2 * count elements: body(which, lanes) for one or both of them.
template <class T, class Count, class Body>
void for_both(Count count, Body&& body) {
  constexpr int size = Vec<T>::size;
  if constexpr (std::is_same_v<Count, Full>) {
    body(0, Full{});
    body(1, Full{});
  } else {
    body(0, std::min(2 * count, size));
    if (2 * count > size) body(1, 2 * count - size);
  }
}

/// A row of outputs, whose first window begins at `from`.
template <class T>
void average(const T* from, const Geometry& g, T divisor, T* to) {
  using V = Vec<T>;
  constexpr auto lanes = std::make_index_sequence<V::size>{};
  for_lanes<T>(0, g.output[2], [&](int64_t w, auto count) {
    V sum(T(0));
    for (int64_t z = 0; z < g.kernel[0]; ++z) {
      for (int64_t y = 0; y < g.kernel[1]; ++y) {
        const T* const row = from + (z * g.input[1] + y) * g.input[2] + 2 * w;
        V pair[2] = {V(T(0)), V(T(0))};
        for_both<T>(count, [&](int i, auto n) { pair[i] = load_lanes(row + i * V::size, n); });
        sum += every_other<T>(pair[0], pair[1], 0, lanes);
        sum += every_other<T>(pair[0], pair[1], 1, lanes);
      }
    }
    store_lanes<T>(sum / V(divisor), to + w, count);
  });
}

template <class T>
void average_backward(const T* grad, const Geometry& g, T divisor, T* to) {
  using V = Vec<T>;
  constexpr auto lanes = std::make_index_sequence<V::size>{};
  for_lanes<T>(0, g.output[2], [&](int64_t w, auto count) {
    // As it is where gradients are added to zeros, -0 becomes 0.
    const V delta = load_lanes(grad + w, count) / V(divisor) + V(T(0));
    const V pair[2] = {twice<T>(delta, false, lanes), twice<T>(delta, true, lanes)};
    for (int64_t z = 0; z < g.kernel[0]; ++z) {
      for (int64_t y = 0; y < g.kernel[1]; ++y) {
        T* const row = to + (z * g.input[1] + y) * g.input[2] + 2 * w;
        for_both<T>(count, [&](int i, auto n) { store_lanes<T>(pair[i], row + i * V::size, n); });
      }
    }
  });
}

/// The offset in a plane of what the first window of output row (d, h) begins with.
inline int64_t first_of_row(const Geometry& g, int64_t d, int64_t h) {
  return (d * g.stride[0] * g.input[1] + h * g.stride[1]) * g.input[2];
}

}  // namespace alt::kernels::pool::tiles
