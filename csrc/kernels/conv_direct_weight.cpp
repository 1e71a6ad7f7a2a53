// The gradient of the weight of convolutions with few channels of the small image a group: lanes
// are neighbouring places of one of its rows, and each element of the weight has a vector of sums.
//
// Loops: blocks of rows of the small image, up to six of its channels and up to nine taps of
// channels of the large one, whose sums stay in registers through all vectors of the block. Windows
// as in conv_direct.h. Where groups are too few for the threads, images are cut into slices with
// sums of their own, added in their order at the end; slices follow from the sizes alone.
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

constexpr int64_t kUnitsWanted = 8;
constexpr int64_t kMostChannels = 6;

/// Most taps whose sums and vectors fit the registers.
constexpr int most_taps(int channels) {
  return std::min(blas::kAccumulators / channels, channels < 3 ? 9 : 6);
}

/// Rows of places of the two images of a block.
template <class T>
struct Places {
  const T* large;
  int64_t large_row;
  const T* small;
  int64_t small_row, small_channel;
  int64_t rows, columns;
};

/// sums[c * sums_a_channel + t] += channel c of small times large at offsets[t], lane by lane.
template <class T, int channels, int taps>
void correlate(const Places<T>& places, const int32_t* offsets, Vec<T>* sums,
               int64_t sums_a_channel) {
  Vec<T> sum[channels][taps];
#pragma GCC unroll 6
  for (int c = 0; c < channels; ++c) {
#pragma GCC unroll 9
    for (int t = 0; t < taps; ++t) sum[c][t] = sums[c * sums_a_channel + t];
  }
  const T* large = places.large;
  const T* small = places.small;
  for (int64_t row = 0; row < places.rows; ++row) {
    for_lanes<T>(0, places.columns, [&](int64_t i, auto lanes) {
      Vec<T> seen[taps];
#pragma GCC unroll 9
      for (int t = 0; t < taps; ++t) seen[t] = load_lanes(large + i + offsets[t], lanes);
#pragma GCC unroll 6
      for (int c = 0; c < channels; ++c) {
        const Vec<T> factor = load_lanes(small + c * places.small_channel + i, lanes);
#pragma GCC unroll 9
        for (int t = 0; t < taps; ++t) sum[c][t] = fma(factor, seen[t], sum[c][t]);
      }
    });
    large += places.large_row;
    small += places.small_row;
  }
#pragma GCC unroll 6
  for (int c = 0; c < channels; ++c) {
#pragma GCC unroll 9
    for (int t = 0; t < taps; ++t) sums[c * sums_a_channel + t] = sum[c][t];
  }
}

template <class T>
using Correlate = void (*)(const Places<T>&, const int32_t*, Vec<T>*, int64_t);

template <class T, int channels>
inline constexpr auto kCorrelate = []<int... i>(std::integer_sequence<int, i...>) {
  return std::array<Correlate<T>, sizeof...(i)>{&correlate<T, channels, i + 1>...};
}(std::make_integer_sequence<int, most_taps(channels)>{});

/// Calls body(most taps, blocks by their number of taps) for a number of channels.
template <class T, int channels = 1, class Body>
void with_channels(int64_t count, Body&& body) {
  if (count == channels) {
    body(most_taps(channels), kCorrelate<T, channels>.data());
  } else if constexpr (channels < kMostChannels) {
    with_channels<T, channels + 1>(count, body);
  }
}

}  // namespace

template <class S>
void convolve_to_weight_direct(const Geometry& geometry, const S* large, const Layout& large_layout,
                               const S* small, const Layout& small_layout, S* weight,
                               const WeightLayout& weight_layout) {
  using T = opmath_t<S>;
  const DirectPlan plan(geometry, false, sizeof(T));
  const int64_t depth = plan.source_channels * plan.taps, count = plan.target_channels;
  const int64_t slices = std::clamp<int64_t>(divide_up(kUnitsWanted, geometry.groups), 1,
                                             std::max<int64_t>(geometry.batch, 1));
  const int64_t table = count * depth, blocks = volume(plan.blocks);
  std::vector<T> results(static_cast<size_t>(slices * geometry.groups * table));
  const int64_t window_size = plan.source_channels * plan.volume;
  const int64_t copy_size = std::is_same_v<S, T> ? 0 : count * plan.rows * plan.columns;

  const auto unit = [&](int64_t index) {
    const int64_t slice = index % slices, group = index / slices;
    const Scratch<T> scratch(table * Vec<T>::size + window_size + copy_size);
    auto* const sums = reinterpret_cast<Vec<T>*>(scratch.data());
    T* const window = scratch.data() + table * Vec<T>::size;
    T* const copy = window + window_size;
    std::fill_n(sums, table, Vec<T>(T(0)));
    const int64_t end = (slice + 1) * geometry.batch / slices;
    for (int64_t image = slice * geometry.batch / slices; image < end; ++image) {
      for (int64_t block = 0; block < blocks; ++block) {
        const DirectPlan::Part part = plan.block(block);
        copy_rows(plan, part,
                  large + image * large_layout.batch +
                      group * plan.source_channels * large_layout.channel,
                  large_layout, window);
        const S* const from = small + image * small_layout.batch +
                              group * count * small_layout.channel +
                              part.begin[0] * small_layout.place[0] +
                              part.begin[1] * small_layout.place[1] + part.begin[2];
        Places<T> places{window,      plan.axes[1].stride * plan.pitch, nullptr, 0, 0, part.rows,
                         part.columns};
        if constexpr (std::is_same_v<S, T>) {
          places.small = from;
          places.small_row = small_layout.place[1];
          places.small_channel = small_layout.channel;
        } else {
          for (int64_t c = 0; c < count; ++c) {
            for (int64_t y = 0; y < part.rows; ++y) {
              for_lanes<T>(0, part.columns, [&](int64_t x, auto lanes) {
                store_lanes<T>(
                    load_lanes<S>(from + c * small_layout.channel + y * small_layout.place[1] + x,
                                  lanes),
                    copy + (c * plan.rows + y) * plan.columns + x, lanes);
              });
            }
          }
          places.small = copy;
          places.small_row = plan.columns;
          places.small_channel = plan.rows * plan.columns;
        }
        const T* const first = places.small;
        for (int64_t c = 0; c < count; c += kMostChannels) {
          places.small = first + c * places.small_channel;
          with_channels<T>(std::min(count - c, kMostChannels), [&](int64_t most, auto* block_of) {
            for (int64_t k = 0; k < depth; k += most) {
              block_of[std::min(most, depth - k) - 1](places, plan.offsets.data() + k,
                                                      sums + c * depth + k, depth);
            }
          });
        }
      }
    }
    T* const result = results.data() + (slice * geometry.groups + group) * table;
    for (int64_t i = 0; i < table; ++i) result[i] = reduce_add(sums[i]);
  };
  const double operations = 2.0 * static_cast<double>(volume(geometry.small) * table) *
                            static_cast<double>(geometry.batch) / static_cast<double>(slices);
  for_units(geometry.groups * slices, 8 * operations, unit);

  for (int64_t i = 0; i < geometry.groups * table; ++i) {
    T sum = results[i];
    for (int64_t slice = 1; slice < slices; ++slice) {
      sum += results[slice * geometry.groups * table + i];
    }
    const int64_t row = i / depth, channel = i % depth / plan.taps, tap = i % plan.taps;
    weight[row * weight_layout.small + channel * weight_layout.large + tap * weight_layout.tap] =
        static_cast<S>(sum);
  }
}

template WeightGradient<float> convolve_to_weight_direct<float>;
template WeightGradient<double> convolve_to_weight_direct<double>;
template WeightGradient<at::Half> convolve_to_weight_direct<at::Half>;
template WeightGradient<at::BFloat16> convolve_to_weight_direct<at::BFloat16>;

}  // namespace alt::kernels::conv
