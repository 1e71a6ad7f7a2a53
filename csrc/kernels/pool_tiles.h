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

/// The offset in a plane of what the first window of output row (d, h) begins with.
inline int64_t first_of_row(const Geometry& g, int64_t d, int64_t h) {
  return (d * g.stride[0] * g.input[1] + h * g.stride[1]) * g.input[2];
}

/// A row of outputs, whose first window begins at `from`; `rows` and `depths` are a window's, as
/// numbers or as constants.
template <class T, class Depths, class Rows>
void average(const T* from, const Geometry& g, Depths depths, Rows rows, T divisor, T* to) {
  using V = Vec<T>;
  constexpr auto lanes = std::make_index_sequence<V::size>{};
  for_lanes<T>(0, g.output[2], [&](int64_t w, auto count) {
    V sum(T(0));
    for (int64_t z = 0; z < depths; ++z) {
      for (int64_t y = 0; y < rows; ++y) {
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

/// body(depths, rows) of a window: numbers, or of the commonest one constants, for a row of a small
/// image takes as long as a loop of unknown length.
template <class Body>
void with_window(const Geometry& g, Body&& body) {
  if (g.kernel[0] == 1 && g.kernel[1] == 2) {
    body(std::integral_constant<int64_t, 1>{}, std::integral_constant<int64_t, 2>{});
  } else {
    body(g.kernel[0], g.kernel[1]);
  }
}

/// All planes.
template <class T>
void average_planes(const T* from, const Geometry& geometry, T divisor, T* to) {
  const Geometry g = geometry;  // a copy of our own: no store can change it
  with_window(g, [&](auto depths, auto rows) {
    planes::for_each_row(
        g.planes, g.output, g.output[2] * volume(g.kernel),
        [&](int64_t plane, int64_t d, int64_t h) {
          average<T>(from + plane * volume(g.input) + first_of_row(g, d, h), g, depths, rows,
                     divisor, to + ((plane * g.output[0] + d) * g.output[1] + h) * g.output[2]);
        });
  });
}

template <class T, class Depths, class Rows>
void average_backward(const T* grad, const Geometry& g, Depths depths, Rows rows, T divisor,
                      T* to) {
  using V = Vec<T>;
  constexpr auto lanes = std::make_index_sequence<V::size>{};
  for_lanes<T>(0, g.output[2], [&](int64_t w, auto count) {
    // As it is where gradients are added to zeros, -0 becomes 0.
    const V delta = load_lanes(grad + w, count) / V(divisor) + V(T(0));
    const V pair[2] = {twice<T>(delta, false, lanes), twice<T>(delta, true, lanes)};
    for (int64_t z = 0; z < depths; ++z) {
      for (int64_t y = 0; y < rows; ++y) {
        T* const row = to + (z * g.input[1] + y) * g.input[2] + 2 * w;
        for_both<T>(count, [&](int i, auto n) { store_lanes<T>(pair[i], row + i * V::size, n); });
      }
    }
  });
}

/// All planes; an input that no window sees gets 0.
template <class T>
void average_backward_planes(const T* grad, const Geometry& geometry, T divisor, T* to) {
  const Geometry g = geometry;
  const int64_t input = volume(g.input), output = volume(g.output);
  with_window(g, [&](auto depths, auto rows) {
    planes::for_each(g.planes, input + output, [&](int64_t plane) {
      T* const base = to + plane * input;
      if (output * volume(g.kernel) < input) std::fill_n(base, input, T(0));
      const T* row_grad = grad + plane * output;
      for (int64_t d = 0; d < g.output[0]; ++d) {
        for (int64_t h = 0; h < g.output[1]; ++h, row_grad += g.output[2]) {
          average_backward<T>(row_grad, g, depths, rows, divisor, base + first_of_row(g, d, h));
        }
      }
    });
  });
}

}  // namespace alt::kernels::pool::tiles
