// What convolution copies before it multiplies: windows of the source, the weight in panels, and
// the finished tiles into the target. Half types become float on the way in and are rounded once on
// the way out.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>

#include "kernels/conv_block.h"
#include "kernels/conv_plan.h"
#include "kernels/gemm_panels.h"

namespace alt::kernels::conv {

/// `count` elements, `step` apart, of a row.
template <class S, class T>
void copy_row(const S* from, int64_t step, int64_t count, T* to) {
  if (step == 1) {
    for_lanes<T>(0, count, [&](int64_t i, auto lanes) {
      store_lanes<T>(load_lanes<S>(from + i, lanes), to + i, lanes);
    });
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<T>(from[i * step]);
  }
}

/// The window of a block, with zeros where it reaches out of the source.
template <class S, class T>
void copy_window(const Plan& plan, const Block& block, const S* source, const Layout& layout,
                 T* window) {
  const auto inside_of = [&](int i) {
    const Axis& axis = plan.axes[i];
    const int64_t size = axis.window(block.size[i]);
    return Inside(axis.origin(block.begin[i]), axis.source_step, size, axis.source_size);
  };
  const Inside depths = inside_of(0), heights = inside_of(1), columns = inside_of(2);
  const auto partial = [&](const Inside& inside, int i) {
    return inside.last - inside.first < plan.axes[i].window(block.size[i]);
  };
  if (partial(depths, 0) || partial(heights, 1) || partial(columns, 2)) {
    std::fill_n(window, plan.window_size, T(0));
  }
  Layout from = layout;
  for (int i = 0; i < 3; ++i) {
    source += plan.axes[i].origin(block.begin[i]) * layout.place[i];
    from.place[i] *= plan.axes[i].source_step;
  }
  const Layout& to = plan.window;
  const auto for_each_row = [&](auto&& body) {
    for (int64_t d = depths.first; d < depths.last; ++d) {
      for (int64_t h = heights.first; h < heights.last; ++h) {
        body(source + d * from.place[0] + h * from.place[1] + columns.first * from.place[2],
             window + d * to.place[0] + h * to.place[1] + columns.first * to.place[2]);
      }
    }
  };
  const int64_t count = columns.last - columns.first;
  if (to.channel == 1) {
    for_each_row([&](const S* row, T* target) {
      for (int64_t w = 0; w < count; ++w) {
        copy_row(row + w * from.place[2], from.channel, plan.source_channels,
                 target + w * to.place[2]);
      }
    });
    return;
  }
  for (int64_t c = 0; c < plan.source_channels; ++c) {
    for_each_row([&](const S* row, T* target) {
      copy_row(row + c * from.channel, from.place[2], count, target + c * to.channel);
    });
  }
}

/// Where the windows of a block of some images are: copied to `copies`, or in the source.
template <class S, class T>
const T* copy_windows(const Plan& plan, const Block& block, int64_t images, const S* source,
                      const Layout& layout, T* copies) {
  if constexpr (std::is_same_v<S, T>) {
    if (!plan.copied) {
      for (int i = 0; i < 3; ++i) {
        source += plan.axes[i].origin(block.begin[i]) * layout.place[i];
      }
      return source;
    }
  }
  for (int64_t i = 0; i < images; ++i) {
    copy_window(plan, block, source + i * layout.batch, layout, copies + i * plan.window_size);
  }
  return copies;
}

/// The first `lanes` vectors of a square, of `count` elements each, from rows `lane_stride` apart;
/// the others are zero. Out of line: there are many callers, and it is seldom a whole square.
template <class S, class T>
[[gnu::noinline]] void load_part(const S* from, int64_t lane_stride, int lanes, int count,
                                 Vec<T>* square) {
  for (int lane = 0; lane < lanes; ++lane) {
    square[lane] = load_lanes<S>(from + lane * lane_stride, count);
  }
  std::fill(square + lanes, square + Vec<T>::size, Vec<T>(T(0)));
}

/// Rows of `lanes` (at most a vector) sources `lane_stride` apart, each `count` contiguous
/// elements, as `count` vectors, in order: vector k goes to to + row_of(k) * width. Lanes that do
/// not exist are zero.
template <class S, class T, class RowOf>
void copy_transposed(const S* from, int64_t lane_stride, int lanes, int64_t count, int64_t width,
                     T* to, RowOf&& row_of) {
  constexpr int side = Vec<T>::size;
  for (int64_t k = 0; k < count; k += side) {
    const int rows = static_cast<int>(std::min<int64_t>(count - k, side));
    Vec<T> square[side];
    if (lanes == side && rows == side) {
#pragma GCC unroll 16
      for (int lane = 0; lane < side; ++lane) {
        square[lane] = load_lanes<S>(from + lane * lane_stride + k, Full{});
      }
    } else {
      load_part(from + k, lane_stride, lanes, rows, square);
    }
    transpose<T>(square);
#pragma GCC unroll 16
    for (int i = 0; i < side; ++i) {
      if (i < rows) square[i].store(to + row_of(k + i) * width);
    }
  }
}

constexpr int64_t kRowsPackedAtOnce = 160;

/// How many source channels to pack at once: a copy on the stack goes to the rows of each tap,
/// whole pages one after the other.
inline int64_t channels_at_once(int64_t taps) {
  const int64_t channels = std::max<int64_t>(kRowsPackedAtOnce / taps, 1);
  return channels > 16 ? channels / 16 * 16 : channels;
}

/// A panel of `targets` target channels of the weight, for some source channels, in the plan's
/// order of rows. Strides are those of target channels, source channels and taps.
template <class S, class T>
void pack_weight(const Plan& plan, const S* weight, int64_t lane_stride, int64_t channel_stride,
                 int64_t tap_stride, int64_t targets, int64_t begin, int64_t end, int64_t width,
                 T* to) {
  constexpr int64_t side = Vec<T>::size;
  const int64_t taps = plan.taps, channels = end - begin;
  const int32_t* const rows = plan.tap_rows.data();
  weight += begin * channel_stride;
  to += begin * width;
  // body(first target of a vector, its targets)
  const auto for_vectors = [&](auto&& body) {
    for (int64_t first = 0; first < width; first += side) {
      body(first, static_cast<int>(std::clamp<int64_t>(targets - first, 0, side)));
    }
  };
  if (lane_stride == 1) {
    for (int64_t t = 0; t < taps; ++t) {
      for (int64_t c = 0; c < channels; ++c) {
        const S* const from = weight + c * channel_stride + t * tap_stride;
        for_vectors([&](int64_t first, int lanes) {
          load_lanes<S>(from + first, lanes).store(to + (rows[t] + c) * width + first);
        });
      }
    }
    return;
  }
  if (channel_stride == 1) {
    for_vectors([&](int64_t first, int lanes) {
      for (int64_t t = 0; t < taps; ++t) {
        copy_transposed(weight + first * lane_stride + t * tap_stride, lane_stride, lanes, channels,
                        width, to + first, [&](int64_t c) { return rows[t] + c; });
      }
    });
    return;
  }
  // Channels that follow one another are one run.
  const int64_t runs = channel_stride == taps ? 1 : channels, run = channels * taps / runs;
  alignas(64) std::array<T, kRowsPackedAtOnce * blas::kMostGroups * side> copy;
  const bool copied = channels * taps <= kRowsPackedAtOnce;
  for_vectors([&](int64_t first, int lanes) {
    for (int64_t i = 0; i < runs; ++i) {
      const S* const from = weight + first * lane_stride + i * channel_stride;
      if (copied) {
        copy_transposed(from, lane_stride, lanes, run, width, copy.data() + i * run * width + first,
                        [](int64_t k) { return k; });
      } else {
        copy_transposed(from, lane_stride, lanes, run, width, to + first,
                        [&](int64_t k) { return rows[k % taps] + i + k / taps; });
      }
    }
  });
  for (int64_t t = 0; copied && t < taps; ++t) {
    for (int64_t c = 0; c < channels; ++c) {
      const T* const row = copy.data() + (c * taps + t) * width;
      for (int64_t i = 0; i < width; i += side) {
        Vec<T>::load(row + i).store(to + (rows[t] + c) * width + i);
      }
    }
  }
}

/// The bias of all panels, zero where there is none.
template <class S, class T>
void pack_bias(const Panels<T>& panels, int64_t groups, int64_t targets, const S* bias, T* to) {
  const int64_t lanes = panels.count * panels.width;
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t c = 0; c < lanes; ++c) {
      to[group * lanes + c] =
          bias && c < targets ? static_cast<T>(bias[group * targets + c]) : T(0);
    }
  }
}

/// A tile [places][width] into the channels from `target` on.
template <class S, class T>
void deliver(const T* tile, int64_t places, int64_t width, int64_t channels, const T* bias,
             S* target, const Layout& layout) {
  constexpr int side = Vec<T>::size;
  if (layout.is_channels_last()) {
    for (int64_t p = 0; p < places; ++p) {
      for_lanes<T>(0, channels, [&](int64_t c, auto lanes) {
        store_lanes<S>(Vec<T>::load(tile + p * width + c) + Vec<T>::load(bias + c),
                       target + p * layout.place[2] + c, lanes);
      });
    }
    return;
  }
  for (int64_t c = 0; c < channels; c += side) {
    const Vec<T> addend = Vec<T>::load(bias + c);
    const int64_t count = std::min<int64_t>(channels - c, side);
    for_lanes<T>(0, places, [&](int64_t p, auto lanes) {
      const int64_t last = places - p - 1;
      Vec<T> square[side];
      for (int64_t i = 0; i < side; ++i) {
        square[i] = Vec<T>::load(tile + (p + std::min(i, last)) * width + c) + addend;
      }
      transpose<T>(square);
      for (int64_t i = 0; i < count; ++i) {
        store_lanes<S>(square[i], target + (c + i) * layout.channel + p, lanes);
      }
    });
  }
}

/// Rows [begin, end) of the tables of all slices, added and transposed, to the weight's gradient:
/// of one panel, whose rows in a table begin at `table`, the tables being `stride` apart.
template <class S, class T>
void deliver_rows(const T* table, int64_t slices, int64_t stride, int64_t width, int64_t begin,
                  int64_t end, int64_t channels, S* weight, int64_t channel_stride) {
  constexpr int64_t side = Vec<T>::size;
  for (int64_t first = 0; first < channels; first += side) {
    const int64_t count = std::min(channels - first, side);
    for_lanes<T>(begin, end, [&](int64_t k, auto lanes) {
      Vec<T> square[side];
      for (int64_t i = 0; i < side; ++i) {
        const T* const row = table + std::min(k + i, end - 1) * width + first;
        square[i] = Vec<T>::load(row);
        for (int64_t slice = 1; slice < slices; ++slice) {
          square[i] += Vec<T>::load(row + slice * stride);
        }
      }
      transpose<T>(square);
      for (int64_t i = 0; i < count; ++i) {
        store_lanes<S>(square[i], weight + (first + i) * channel_stride + k, lanes);
      }
    });
  }
}

}  // namespace alt::kernels::conv
