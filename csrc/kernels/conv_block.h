// The blocks of convolution: a few rows of one operand, each anywhere in memory, times vectors of
// the other. Accumulators stay in registers through all of k, in order, as in gemm_panels.h, so an
// element's bits do not depend on how the work is cut.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "kernels/gemm_panels.h"

namespace alt::kernels::conv {

/// Most rows of a block. Of one vector more would not help: each row's load feeds one
/// multiplication, so it is the loads that it waits for.
constexpr int gathered_rows(int groups) {
  return std::min(blas::kAccumulators / groups, groups == 1 ? 8 : 12);
}

/// How the channels of a group are cut into panels, of which the last may be narrower.
template <class T>
struct Panels {
  explicit Panels(int64_t channels)
      : channels(channels),
        width(blas::neighbours<T>(channels) * Vec<T>::size),
        count(divide_up(channels, width)) {}

  /// Channels [first, first + channels) of a group, in so many vectors, `width` lanes.
  struct Part {
    int64_t group, first, channels, width;
    int vectors;
  };
  /// Of a panel, counted through all groups.
  Part part(int64_t panel) const {
    const int64_t first = panel % count * width, own = std::min(width, channels - first);
    const auto vectors = static_cast<int>(divide_up(own, Vec<T>::size));
    return {panel / count, first, own, vectors * Vec<T>::size, vectors};
  }

  int64_t channels, width, count;
};

/// Row r of the tile (rows `width` = groups vectors long, number[r] of them) = or += the sum over k
/// of source[place[r] + offset[k]] times vectors k of the panel.
template <class T, int groups, int rows>
void multiply_gathered(int64_t depth, const T* source, const int32_t* place, const int32_t* offset,
                       const T* panel, T* tile, const int32_t* number, bool add) {
  using V = Vec<T>;
  constexpr int64_t width = groups * V::size;
  const T* base[rows];
  V sum[rows][groups];
#pragma GCC unroll 24
  for (int r = 0; r < rows; ++r) {
    base[r] = source + place[r];
#pragma GCC unroll 4
    for (int g = 0; g < groups; ++g) {
      sum[r][g] = add ? V::load(tile + number[r] * width + g * V::size) : V(T(0));
    }
  }
  for (int64_t k = 0; k < depth; ++k, panel += width) {
    const int64_t at = offset[k];
    V b[groups];
#pragma GCC unroll 4
    for (int g = 0; g < groups; ++g) b[g] = V::load(panel + g * V::size);
#pragma GCC unroll 24
    for (int r = 0; r < rows; ++r) {
      const V factor(base[r][at]);
#pragma GCC unroll 4
      for (int g = 0; g < groups; ++g) sum[r][g] = fma(factor, b[g], sum[r][g]);
    }
  }
#pragma GCC unroll 24
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int g = 0; g < groups; ++g) sum[r][g].store(tile + number[r] * width + g * V::size);
  }
}

template <class T>
using Gathered = void (*)(int64_t, const T*, const int32_t*, const int32_t*, const T*, T*,
                          const int32_t*, bool);

template <class T, int groups>
inline constexpr auto kGathered = []<int... i>(std::integer_sequence<int, i...>) {
  return std::array<Gathered<T>, sizeof...(i)>{&multiply_gathered<T, groups, i + 1>...};
}(std::make_integer_sequence<int, gathered_rows(groups)>{});

template <class T>
Gathered<T> find_gathered(int groups, int64_t rows) {
  return blas::visit_groups(groups, [rows]<int n>() { return kGathered<T, n>[rows - 1]; });
}

/// Calls find_gathered's block for `count` rows, in blocks of about equal height.
template <class T>
void multiply_rows(int groups, int64_t count, int64_t depth, const T* source, const int32_t* places,
                   const int32_t* offsets, const T* panel, T* tile, const int32_t* numbers,
                   bool add) {
  const int64_t most = gathered_rows(groups), blocks = (count + most - 1) / most;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t begin = i * count / blocks, end = (i + 1) * count / blocks;
    find_gathered<T>(groups, end - begin)(depth, source, places + begin, offsets, panel, tile,
                                          numbers + begin, add);
  }
}

}  // namespace alt::kernels::conv
