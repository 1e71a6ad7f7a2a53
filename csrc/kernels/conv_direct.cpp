// Convolution with few target channels a group (depthwise, and the narrow ends of small networks),
// where vectors of channels would stay mostly empty: lanes are neighbours in a row of the target.
//
// Loops: blocks of rows of the target (of an image and group), up to four vectors of places, which
// may lie in several rows, and in the registers source channels and taps, for up to six target
// channels at once. The window of a block is copied with its padding to memory of the thread (64
// KiB: it is read from the first two levels of the cache), as conv_direct.h says.
//
// An element's sum starts with the bias and runs over channels and taps in order.
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/conv_direct.h"
#include "kernels/gemm_panels.h"
#include "kernels/scratch.h"

namespace alt::kernels::conv {
namespace {

template <class T, int groups, int rows>
void multiply_direct(c10::ArrayRef<Run> runs, const T* weight, const T* bias,
                     const T* const* source, const int32_t* offsets,
                     const blas::Target<T>& target) {
  using V = Vec<T>;
  V sum[rows][groups];
#pragma GCC unroll 24
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int g = 0; g < groups; ++g) sum[r][g] = V(bias[r]);
  }
  const T* base[groups];
#pragma GCC unroll 4
  for (int g = 0; g < groups; ++g) base[g] = source[g];
  for (const auto& [first, count] : runs) {
    const T* factors = weight + first * rows;
    for (int64_t k = first; k < first + count; ++k, factors += rows) {
      const int64_t at = offsets[k];
      V b[groups];
#pragma GCC unroll 4
      for (int g = 0; g < groups; ++g) b[g] = V::load(base[g] + at);
#pragma GCC unroll 24
      for (int r = 0; r < rows; ++r) {
        const V factor(factors[r]);
#pragma GCC unroll 4
        for (int g = 0; g < groups; ++g) sum[r][g] = fma(factor, b[g], sum[r][g]);
      }
    }
  }
#pragma GCC unroll 24
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int g = 0; g < groups; ++g) {
      T* const to = target.data + r * target.row_stride + target.offset[g];
      if (target.lanes[g] == V::size) {
        sum[r][g].store(to);
      } else {
        store_lanes<T>(sum[r][g], to, target.lanes[g]);
      }
    }
  }
}

template <class T, int groups>
inline constexpr auto kDirect = []<int... i>(std::integer_sequence<int, i...>) {
  return std::array<Direct<T>, sizeof...(i)>{&multiply_direct<T, groups, i + 1>...};
}(std::make_integer_sequence<int, direct_rows(groups)>{});

}  // namespace

template <class T>
Direct<T> find_direct(int groups, int64_t rows) {
  return blas::visit_groups(groups, [rows]<int n>() { return kDirect<T, n>[rows - 1]; });
}

template Direct<float> find_direct<float>(int, int64_t);
template Direct<double> find_direct<double>(int, int64_t);

bool is_direct(const Geometry& g, bool transposed, int64_t lanes) {
  const int64_t channels = g.target_channels_a_group(transposed);
  const int64_t width = (transposed ? g.large : g.small)[2];
  // Multiplications of vectors for a row of the target. Fewer than two rows of weights wait for
  // the loads of the other operand.
  int64_t direct = std::max<int64_t>(channels, 2) * divide_up(width, lanes);
  if (transposed) direct *= volume(g.stride);
  return direct < divide_up(channels, lanes) * width;
}

template <class S>
void convolve_direct(const Geometry& geometry, bool transposed, const S* source,
                     const Layout& source_layout, const S* weight,
                     const WeightLayout& weight_layout, const S* bias, S* target,
                     const Layout& target_layout) {
  using T = opmath_t<S>;
  constexpr int size = Vec<T>::size;
  const DirectPlan plan(geometry, transposed, sizeof(T));
  const int64_t depth = plan.source_channels * plan.taps, count = plan.target_channels;
  const int64_t most = direct_rows(blas::kMostGroups);
  const DirectWeight<T> packed(geometry, transposed, weight, weight_layout, bias,
                               [&](int64_t k) { return std::pair(k / plan.taps, k % plan.taps); });
  const Run all{0, depth};
  const int64_t blocks = volume(plan.blocks);
  const auto unit = [&](int64_t index) {
    const int64_t group = index / blocks % geometry.groups;
    const int64_t image = index / blocks / geometry.groups;
    const DirectPlan::Part part = plan.block(index % blocks);
    const auto& [begin, rows, columns] = part;
    // The last vectors read beyond their rows.
    const int64_t window_size = plan.source_channels * plan.volume + size;
    const Scratch<T> scratch(window_size + most * blas::kMostGroups * size);
    T* const tile = scratch.data() + window_size;
    copy_rows(
        plan, part,
        source + image * source_layout.batch + group * plan.source_channels * source_layout.channel,
        source_layout, scratch.data());
    S* const to = target + image * target_layout.batch + begin[0] * target_layout.place[0] +
                  begin[1] * target_layout.place[1] + begin[2];

    const int64_t vectors_a_row = divide_up(columns, size), vectors = rows * vectors_a_row;
    for (int64_t first = 0, y = 0, x = 0; first < vectors; first += blas::kMostGroups) {
      const auto groups = static_cast<int>(std::min<int64_t>(vectors - first, blas::kMostGroups));
      std::array<const T*, blas::kMostGroups> from;
      std::array<int64_t, blas::kMostGroups> places;
      blas::Target<T> block{};
      for (int g = 0; g < groups; ++g) {
        from[g] = scratch.data() + y * plan.axes[1].stride * plan.pitch + x;
        places[g] = y * target_layout.place[1] + x;
        block.lanes[g] = static_cast<int>(std::min<int64_t>(columns - x, size));
        x += size;
        if (x >= columns) {
          x = 0;
          ++y;
        }
      }
      for (int64_t r = 0; r < count; r += most) {
        const int64_t channel = group * count + r, some = std::min(most, count - r);
        const auto multiply = find_direct<T>(groups, some);
        const T* const weights = packed.rows(channel);
        S* const channels = to + channel * target_layout.channel;
        if constexpr (std::is_same_v<S, T>) {
          block.data = channels;
          block.row_stride = target_layout.channel;
          block.offset = places;
          multiply(all, weights, packed.bias(channel), from.data(), plan.offsets.data(), block);
        } else {
          blas::Target<T> whole{tile, blas::kMostGroups * size};
          for (int g = 0; g < groups; ++g) {
            whole.offset[g] = g * size;
            whole.lanes[g] = size;
          }
          multiply(all, weights, packed.bias(channel), from.data(), plan.offsets.data(), whole);
          for (int64_t i = 0; i < some; ++i) {
            for (int g = 0; g < groups; ++g) {
              store_lanes<S>(Vec<T>::load(tile + i * whole.row_stride + g * size),
                             channels + i * target_layout.channel + places[g], block.lanes[g]);
            }
          }
        }
      }
    }
  };
  const double operations =
      2.0 * static_cast<double>(plan.rows * plan.columns * depth) * static_cast<double>(count);
  for_units(geometry.batch * geometry.groups * blocks, 8 * operations, unit);
}

template Convolution<float> convolve_direct<float>;
template Convolution<double> convolve_direct<double>;
template Convolution<at::Half> convolve_direct<at::Half>;
template Convolution<at::BFloat16> convolve_direct<at::BFloat16>;

}  // namespace alt::kernels::conv
