// Winograd's gradient of a convolution's weight (conv_winograd.h).
//
// Loops: ranges of large channels (128), panels of small ones (up to four vectors), blocks of tiles
// whose two transformed images stay in the second-level cache, the 16 products, blocks of six large
// channels, and in the registers the tiles of the block. Sums stay in a table
// [product][large channel][lane] for all blocks that one thread adds up. Where ranges and panels
// are too few for the threads, the blocks are cut into slices with a table each, which are added in
// their order at the end. Blocks and slices follow from the sizes alone, so the sums do too.
#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/conv_winograd.h"
#include "kernels/scratch.h"
#include "runtime/thread_pool.h"

namespace alt::kernels::conv {
namespace {

using namespace winograd;

constexpr int64_t kChannelsAtOnce = 128, kMostTiles = 56, kUnitsWanted = 8;
constexpr int64_t kTilesWorthATable = 128;  // to add it up, another core has to read it
constexpr int64_t kChannelsDelivered = 16;

/// A dy A' of rows x columns tiles of a patch, to[tile * pitch] of each product.
template <class T>
void transform_gradient(const T* patch, int64_t rows, int64_t columns, T* to, int64_t stride,
                        int64_t pitch) {
  using V = Vec<T>;
  const int64_t line = columns * kStep * V::size;
  for (int64_t r = 0; r < rows; ++r) {
    const T* from = patch + r * kStep * line;
    for (int64_t c = 0; c < columns; ++c, from += kStep * V::size, to += pitch) {
      V t[kSide][kStep];
#pragma GCC unroll 2
      for (int j = 0; j < kStep; ++j) {
        const V a = V::load(from + j * V::size), b = V::load(from + line + j * V::size);
        t[0][j] = a;
        t[1][j] = a + b;
        t[2][j] = a - b;
        t[3][j] = -b;
      }
#pragma GCC unroll 4
      for (int i = 0; i < kSide; ++i) {
        T* const row = to + i * kSide * stride;
        t[i][0].store(row);
        (t[i][0] + t[i][1]).store(row + stride);
        (t[i][0] - t[i][1]).store(row + 2 * stride);
        (-t[i][1]).store(row + 3 * stride);
      }
    }
  }
}

/// G' u G of the sums of the slices: to[tap * tap_stride + lane].
template <class T>
void transform_sums(const T* table, int64_t slices, int64_t slice_stride, int64_t stride,
                    int64_t width, T* to, int64_t tap_stride) {
  using V = Vec<T>;
  const V half(T(0.5));
  const auto each = [&](const V& a, const V& b, const V& c, const V& d) {
    const V sum = (b + c) * half;
    return std::array<V, 3>{a + sum, (b - c) * half, sum + d};
  };
  for (int64_t lane = 0; lane < width; lane += V::size) {
    const auto sum = [&](int64_t product) {
      V result = V::load(table + product * stride + lane);
      for (int64_t slice = 1; slice < slices; ++slice) {
        result += V::load(table + slice * slice_stride + product * stride + lane);
      }
      return result;
    };
    std::array<V, 3> columns[kSide];
    for (int64_t x = 0; x < kSide; ++x) {
      columns[x] = each(sum(x), sum(kSide + x), sum(2 * kSide + x), sum(3 * kSide + x));
    }
    for (int64_t y = 0; y < 3; ++y) {
      const std::array<V, 3> row = each(columns[0][y], columns[1][y], columns[2][y], columns[3][y]);
      for (int64_t x = 0; x < 3; ++x) row[x].store(to + (y * 3 + x) * tap_stride + lane);
    }
  }
}

/// What is common to the units of a call.
template <class T>
struct Work {
  explicit Work(const Geometry& g)
      : larges(g.large_channels_a_group()),
        smalls(g.small_channels_a_group()),
        panels(smalls),
        range(divide_up(larges, divide_up(larges, kChannelsAtOnce))),
        ranges(divide_up(larges, range)),
        tables(g.groups * panels.count * ranges),
        tiling(g, false, kMostTiles, divide_up(kUnitsWanted, tables)),
        slices(std::clamp<int64_t>(
            std::min(divide_up(kUnitsWanted, tables), tiling.all_tiles() / kTilesWorthATable), 1,
            tiling.count())),
        stride(spread(range * panels.width)),
        slice_stride(tables * kProducts * stride) {}

  /// The table of a range of large channels and a panel of small ones.
  struct Part {
    int64_t channel, channels;
    typename Panels<T>::Part panel;
  };
  Part part(int64_t table) const {
    const int64_t channel = table % ranges * range;
    return {channel, std::min(range, larges - channel), panels.part(table / ranges)};
  }

  int64_t larges, smalls;
  Panels<T> panels;
  int64_t range, ranges, tables;
  Tiling tiling;
  int64_t slices, stride, slice_stride;
};

/// Some large channels of a table, of all slices, to the weight's gradient.
template <class S, class T>
void deliver_sums(const Work<T>& work, int64_t number, int64_t skipped, const T* table, S* weight,
                  const WeightLayout& layout) {
  const auto part = work.part(number);
  const int64_t lanes = part.panel.width;
  const int64_t count = std::min(kChannelsDelivered, part.channels - skipped);
  if (count <= 0) return;
  alignas(64) std::array<T, kTaps * kChannelsDelivered * blas::kMostGroups * Vec<T>::size> taps;
  // In the order of memory: taps of a channel, or channels of a tap.
  const bool taps_first = layout.tap == 1;
  for (int64_t c = 0; c < count; ++c) {
    transform_sums(table + (skipped + c) * lanes, work.slices, work.slice_stride, work.stride,
                   lanes, taps.data() + c * (taps_first ? kTaps : 1) * lanes,
                   (taps_first ? 1 : count) * lanes);
  }
  S* const to = weight + (part.panel.group * work.smalls + part.panel.first) * layout.small +
                (part.channel + skipped) * layout.large;
  const int64_t runs = taps_first ? 1 : kTaps, length = kTaps * count / runs;
  for (int64_t run = 0; run < runs; ++run) {
    deliver_rows<S, T>(taps.data() + run * length * lanes, 1, 0, lanes, 0, length,
                       part.panel.channels, to + run * layout.tap, layout.small);
  }
}

}  // namespace

bool is_winograd_to_weight(const Geometry& g) {
  const int64_t larges = g.large_channels_a_group(), smalls = g.small_channels_a_group();
  if (!is_three_by_three(g) || std::min(larges, smalls) < kFewestChannels) return false;
  // Multiplications for each pair of channels; a panel's width and a range share a transform.
  constexpr double of_weight = 250;
  const Side height(g, 1, false), width(g, 2, false);
  const double tiles = static_cast<double>(g.batch * height.tiles * width.tiles);
  const double own =
      tiles * (kProducts + kOfSource / static_cast<double>(std::min<int64_t>(smalls, 64)) +
               kOfTarget / static_cast<double>(std::min(larges, kChannelsAtOnce))) +
      of_weight;
  return own * kWorth < static_cast<double>(g.batch * g.small_volume() * kTaps);
}

template <class S>
void convolve_to_weight_winograd(const Geometry& g, const S* large, const Layout& large_layout,
                                 const S* small, const Layout& small_layout, S* weight,
                                 const WeightLayout& weight_layout) {
  using T = opmath_t<S>;
  const Work<T> work(g);
  const Tiling& tiling = work.tiling;
  const int64_t lanes = work.panels.width, side = Vec<T>::size;
  // A unit that sees everything delivers its sums itself: another core would wait for them.
  const bool at_end = work.slices > 1;
  const int64_t table_size = kProducts * work.stride;
  const SharedScratch<T> memory(at_end ? work.slices * work.slice_stride : 0);
  T* const tables = memory.data();
  const int64_t pitch = divide_up(work.range, side) * side;
  const int64_t seen_stride = spread(tiling.most_tiles() * pitch),
                gradient_stride = spread(tiling.most_tiles() * lanes),
                patch_size = tiling.most_seen() * side;
  const auto unit = [&](int64_t index) {
    const int64_t slice = index % work.slices, number = index / work.slices;
    const auto part = work.part(number);
    const Scratch<T> scratch(kProducts * (seen_stride + gradient_stride) + patch_size +
                             (at_end ? 0 : table_size));
    Pieces<T> memory_of_unit{scratch.data()};
    T* const seen = memory_of_unit.take(kProducts * seen_stride);
    T* const gradient = memory_of_unit.take(kProducts * gradient_stride);
    T* const patch = memory_of_unit.take(patch_size);
    T* const table =
        at_end ? tables + slice * work.slice_stride + number * table_size : memory_of_unit.next;
    const int64_t first = slice * tiling.count() / work.slices;
    for (int64_t i = first; i < (slice + 1) * tiling.count() / work.slices; ++i) {
      const Tiles tiles = tiling.block(i);
      const int64_t channel = part.panel.group * work.larges + part.channel;
      const int64_t lane = part.panel.group * work.smalls + part.panel.first;
      transform_patches(tiling.source(tiles), tiles,
                        large + tiles.image * large_layout.batch + channel * large_layout.channel,
                        large_layout, part.channels, pitch, patch, seen, [&](const T* from, T* to) {
                          transform_source(from, tiles.rows, tiles.columns, to, seen_stride, pitch);
                        });
      transform_patches(tiling.target(tiles), tiles,
                        small + tiles.image * small_layout.batch + lane * small_layout.channel,
                        small_layout, part.panel.channels, part.panel.width, patch, gradient,
                        [&](const T* from, T* to) {
                          transform_gradient(from, tiles.rows, tiles.columns, to, gradient_stride,
                                             part.panel.width);
                        });
      // Large channels are the rows: they lie side by side, and tiles a pitch apart.
      multiply_products<T>(part.channels, part.panel.vectors, tiles.count(), {seen, 1, pitch},
                           seen_stride, gradient, gradient_stride, i > first, table, work.stride);
    }
    for (int64_t c = 0; !at_end && c < part.channels; c += kChannelsDelivered) {
      deliver_sums(work, number, c, table, weight, weight_layout);
    }
  };
  const double operations = 2.0 * static_cast<double>(tiling.most_tiles() * kProducts) *
                            static_cast<double>(work.range * lanes * tiling.count()) /
                            static_cast<double>(work.slices);
  for_units(work.tables * work.slices, operations, unit);

  if (!at_end) return;
  const int64_t pieces = divide_up(work.range, kChannelsDelivered);
  parallel_for(0, work.tables * pieces, 2, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t number = i / pieces;
      deliver_sums(work, number, i % pieces * kChannelsDelivered, tables + number * table_size,
                   weight, weight_layout);
    }
  });
}

template void convolve_to_weight_winograd<float>(const Geometry&, const float*, const Layout&,
                                                 const float*, const Layout&, float*,
                                                 const WeightLayout&);

}  // namespace alt::kernels::conv
