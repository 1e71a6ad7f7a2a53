// What the direct kernels of convolution read: a block's window, a row of the target at a time. Its
// columns are sorted by their remainder modulo the stride, so that what a tap shows to neighbouring
// places lies together whatever the stride. A transposed convolution is one over a source with
// zeros between its elements.
#pragma once

#include <c10/util/ArrayRef.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/conv.h"
#include "kernels/gemm_panels.h"
#include "kernels/norm_lanes.h"

namespace alt::kernels::conv {

/// How many target channels a kernel below has in registers.
constexpr int direct_rows(int groups) {
  return std::min(blas::kAccumulators / groups, 6);
}

/// Row r of group g's vector, at data + r * row_stride + offset[g], of which lanes[g] exist =
/// bias[r] + the sum over k of weight[k][r] times the vector at source[g] + offsets[k], k being the
/// rows of the runs.
template <class T>
using Direct = void (*)(c10::ArrayRef<Run>, const T* weight, const T* bias, const T* const* source,
                        const int32_t* offsets, const blas::Target<T>&);

/// Of conv_direct.cpp.
template <class T>
Direct<T> find_direct(int groups, int64_t rows);

/// The weight as those kernels want it, [chunk of target channels][k][target channel] for each
/// group, and the bias, zero if there is none.
template <class T>
class DirectWeight {
 public:
  /// element(k) is the source channel and the tap that row k is of.
  template <class S, class Element>
  DirectWeight(const Geometry& g, bool transposed, const S* weight, const WeightLayout& layout,
               const S* bias, Element&& element)
      : depth_(g.source_channels_a_group(transposed) * g.kernel_volume()),
        targets_(g.groups * g.target_channels_a_group(transposed)),
        packed_(static_cast<size_t>(targets_ * (depth_ + 1))) {
    const int64_t row_stride = transposed ? layout.large : layout.small;
    const int64_t channel_stride = transposed ? layout.small : layout.large;
    const int64_t most = direct_rows(blas::kMostGroups), count = targets_ / g.groups;
    const int64_t group_stride = layout.small * g.small_channels_a_group();
    T* to = packed_.data();
    for (int64_t group = 0; group < g.groups; ++group, weight += group_stride) {
      for (int64_t first = 0; first < count; first += most) {
        for (int64_t k = 0; k < depth_; ++k) {
          const auto [channel, tap] = element(k);
          const S* const from = weight + channel * channel_stride + tap * layout.tap;
          for (int64_t r = first; r < std::min(first + most, count); ++r) {
            *to++ = static_cast<T>(from[r * row_stride]);
          }
        }
      }
    }
    if (bias) std::copy_n(bias, targets_, to);
  }

  /// Of a chunk, whose first target channel this is, counted through all groups.
  const T* rows(int64_t channel) const { return packed_.data() + channel * depth_; }
  const T* bias(int64_t channel) const { return packed_.data() + targets_ * depth_ + channel; }

 private:
  int64_t depth_, targets_;
  std::vector<T> packed_;
};

/// One dimension: place q sees source element x through tap t where q * stride + offset(t) ==
/// x * spacing.
struct DirectAxis {
  DirectAxis(const Geometry& g, int i, bool transposed)
      : source_size(transposed ? g.small[i] : g.large[i]),
        target_size(transposed ? g.large[i] : g.small[i]),
        stride(transposed ? 1 : g.stride[i]),
        spacing(transposed ? g.stride[i] : 1),
        dilation(transposed ? -g.dilation[i] : g.dilation[i]),
        padding(transposed ? -g.padding[i] : g.padding[i]),
        low(std::min<int64_t>(0, (g.kernel[i] - 1) * dilation) - padding),
        reach((g.kernel[i] - 1) * g.dilation[i]) {}

  /// Offset of a tap in the window.
  int64_t offset(int64_t tap) const { return tap * dilation - padding - low; }
  int64_t window(int64_t places) const { return (places - 1) * stride + reach + 1; }

  int64_t source_size, target_size, stride, spacing, dilation, padding, low, reach;
};

/// A convolution in this way: geometry, the window's layout and its taps' offsets.
struct DirectPlan {
  static constexpr int64_t kWindowBytes = 64 * 1024;
  static constexpr int64_t kMostColumns = 1024;

  DirectPlan(const Geometry& g, bool transposed, int64_t element_size)
      : axes{DirectAxis(g, 0, transposed), DirectAxis(g, 1, transposed),
             DirectAxis(g, 2, transposed)},
        source_channels(g.source_channels_a_group(transposed)),
        target_channels(g.target_channels_a_group(transposed)),
        taps(g.kernel_volume()) {
    const auto& [d, h, w] = axes;
    columns = std::min(w.target_size, kMostColumns);
    remainder_length = divide_up(w.window(columns), w.stride);
    pitch = remainder_length * w.stride;
    const int64_t budget = kWindowBytes / element_size;
    for (int64_t cuts = 1; cuts <= h.target_size; ++cuts) {
      rows = divide_up(h.target_size, cuts);
      plane = h.window(rows) * pitch;
      if (source_channels * d.window(1) * plane <= budget) break;
    }
    volume = d.window(1) * plane;
    blocks = {d.target_size, divide_up(h.target_size, rows), divide_up(w.target_size, columns)};
    offsets.reserve(static_cast<size_t>(source_channels * taps));
    for (int64_t c = 0; c < source_channels; ++c) {
      for (int64_t i = 0; i < g.kernel[0]; ++i) {
        for (int64_t j = 0; j < g.kernel[1]; ++j) {
          for (int64_t k = 0; k < g.kernel[2]; ++k) {
            const int64_t x = w.offset(k);
            offsets.push_back(static_cast<int32_t>(c * volume + d.offset(i) * plane +
                                                   h.offset(j) * pitch +
                                                   x % w.stride * remainder_length + x / w.stride));
          }
        }
      }
    }
  }

  /// The first place of a block, and how many rows and columns it has.
  struct Part {
    Extent begin;
    int64_t rows, columns;
  };
  Part block(int64_t index) const {
    Part part;
    part.begin = {index / blocks[2] / blocks[1], index / blocks[2] % blocks[1] * rows,
                  index % blocks[2] * columns};
    part.rows = std::min(rows, axes[1].target_size - part.begin[1]);
    part.columns = std::min(columns, axes[2].target_size - part.begin[2]);
    return part;
  }

  std::array<DirectAxis, 3> axes;
  int64_t source_channels, target_channels, taps;
  int64_t columns, rows;  // places of a block
  int64_t remainder_length, pitch, plane, volume;
  Extent blocks;
  std::vector<int32_t> offsets;
};

/// The window of the block at `begin`: a row at a time, zeros between the elements if need be.
template <class S, class T>
void copy_rows(const DirectPlan& plan, const DirectPlan::Part& part, const S* source,
               const Layout& layout, T* window) {
  const auto& [begin, rows, columns] = part;
  const auto& [d, h, w] = plan.axes;
  const int64_t length = w.window(columns);
  const int64_t left = begin[2] * w.stride + w.low;
  const auto source_of = [](const DirectAxis& axis, int64_t at) {
    return at >= 0 && at % axis.spacing == 0 && at / axis.spacing < axis.source_size
               ? at / axis.spacing
               : int64_t{-1};
  };
  for (int64_t c = 0; c < plan.source_channels; ++c) {
    for (int64_t z = 0; z < d.window(1); ++z) {
      for (int64_t y = 0; y < h.window(rows); ++y) {
        T* const row = window + c * plan.volume + z * plan.plane + y * plan.pitch;
        const int64_t source_z = source_of(d, begin[0] * d.stride + d.low + z);
        const int64_t source_y = source_of(h, begin[1] * h.stride + h.low + y);
        if (source_z < 0 || source_y < 0) {
          std::fill_n(row, plan.pitch, T(0));
          continue;
        }
        const S* const from =
            source + c * layout.channel + source_z * layout.place[0] + source_y * layout.place[1];
        if (w.spacing == 1 && w.stride == 1) {
          const Inside inside(left, 1, length, w.source_size);
          std::fill_n(row, inside.first, T(0));
          for_lanes<T>(inside.first, inside.last, [&](int64_t x, auto lanes) {
            store_lanes<T>(load_lanes<S>(from + left + x, lanes), row + x, lanes);
          });
          std::fill_n(row + inside.last, length - inside.last, T(0));
        } else if (w.spacing == 1) {
          for (int64_t remainder = 0; remainder < w.stride; ++remainder) {
            T* const to = row + remainder * plan.remainder_length;
            const int64_t count = (length - remainder + w.stride - 1) / w.stride;
            const Inside inside(left + remainder, w.stride, count, w.source_size);
            std::fill_n(to, inside.first, T(0));
            const S* const first = from + left + remainder;
            for (int64_t x = inside.first; x < inside.last; ++x) {
              to[x] = static_cast<T>(first[x * w.stride]);
            }
            std::fill_n(to + inside.last, count - inside.last, T(0));
          }
        } else {
          std::fill_n(row, length, T(0));
          for (int64_t x = std::max<int64_t>(divide_up(std::max<int64_t>(left, 0), w.spacing), 0);
               x < w.source_size && x * w.spacing < left + length; ++x) {
            row[x * w.spacing - left] = static_cast<T>(from[x]);
          }
        }
      }
    }
  }
}

}  // namespace alt::kernels::conv
