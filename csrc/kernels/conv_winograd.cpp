// Winograd's convolution (conv_winograd.h), forward and for the input's gradient.
//
// Loops: blocks of tiles (some rows of an image, some images where they are small), whose
// transformed source stays in the second-level cache (448 KiB); panels of target channels (up to
// four vectors); the 16 products, each by blocks of six tiles with all channels in the registers
// (gemm_panels.h). The weight is transformed once a call, or for few tiles by each unit, panel by
// panel and 64 channels at a time. An element's sum runs over channels in one order, whatever the
// blocks and threads.
#include "kernels/conv_winograd.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/scratch.h"
#include "runtime/thread_pool.h"

namespace alt::kernels::conv {
namespace {

using namespace winograd;

constexpr int64_t kSourceBytes = 448 * 1024;
// As many as make up for reading the weight, and no more than the cache has room for products of.
constexpr int64_t kFewestTiles = 16, kMostTiles = 64;
constexpr int64_t kUnitsAThread = 4;
// A weight for fewer tiles is transformed by the thread that needs it, so many channels at a time:
// to read what another core has just written takes longer.
constexpr int64_t kTilesWorthKeeping = 256, kDepth = 64;
constexpr int64_t kChannelsAtOnce = 16;  // of the weight

/// G g G' of taps[channel][tap][lane]: to[channel * pitch + lane] of each product.
template <class T>
void transform_taps(const T* taps, int64_t channels, bool reversed, T* to, int64_t pitch,
                    int64_t stride) {
  using V = Vec<T>;
  const V half(T(0.5));
  const auto each = [&](const V& a, const V& b, const V& c) {
    const V outer = (a + c) * half, inner = b * half;
    return std::array<V, kSide>{a, outer + inner, outer - inner, c};
  };
  for (int64_t channel = 0; channel < channels; ++channel, taps += kTaps * V::size, to += pitch) {
    const auto tap = [&](int64_t index) {
      return V::load(taps + (reversed ? kTaps - 1 - index : index) * V::size);
    };
    std::array<V, kSide> columns[3];
#pragma GCC unroll 3
    for (int64_t x = 0; x < 3; ++x) columns[x] = each(tap(x), tap(3 + x), tap(6 + x));
#pragma GCC unroll 4
    for (int64_t y = 0; y < kSide; ++y) {
      const std::array<V, kSide> row = each(columns[0][y], columns[1][y], columns[2][y]);
#pragma GCC unroll 4
      for (int64_t x = 0; x < kSide; ++x) row[x].store(to + (y * kSide + x) * stride);
    }
  }
}

/// The weight and how it is read: lanes are target channels.
template <class S>
struct Weight {
  const S* data;
  WeightLayout layout;
  bool transposed;
  int64_t sources, targets;  // channels a group

  /// Some source channels of a panel of a group: to[channel][lane] of each product.
  template <class T>
  void transform(int64_t group, int64_t first, int64_t width, int64_t begin, int64_t end, T* to,
                 int64_t stride) const {
    constexpr int64_t side = Vec<T>::size;
    const int64_t lane_stride = transposed ? layout.large : layout.small;
    const int64_t channel_stride = transposed ? layout.small : layout.large;
    const S* const of_group = data + group * layout.small * (transposed ? sources : targets);
    alignas(64) std::array<T, kTaps * kChannelsAtOnce * side> taps;
    for (int64_t lane = 0; lane < width; lane += side) {
      const auto lanes = static_cast<int>(std::clamp<int64_t>(targets - first - lane, 0, side));
      const S* const of_lanes = of_group + std::min(first + lane, targets - 1) * lane_stride;
      for (int64_t channel = begin; channel < end; channel += kChannelsAtOnce) {
        const int64_t channels = std::min(kChannelsAtOnce, end - channel);
        load_taps(of_lanes + channel * channel_stride, lane_stride, lanes, channel_stride, channels,
                  taps.data());
        transform_taps(taps.data(), channels, transposed, to + (channel - begin) * width + lane,
                       width, stride);
      }
    }
  }

  /// to[channel][tap][lane].
  template <class T>
  void load_taps(const S* from, int64_t lane_stride, int lanes, int64_t channel_stride,
                 int64_t channels, T* to) const {
    constexpr int64_t side = Vec<T>::size;
    if (layout.tap == 1) {
      // Channels that follow one another are one run.
      const int64_t runs = channel_stride == kTaps ? 1 : channels, run = channels * kTaps / runs;
      for (int64_t i = 0; i < runs; ++i) {
        copy_transposed(from + i * channel_stride, lane_stride, lanes, run, side,
                        to + i * run * side, [](int64_t k) { return k; });
      }
      return;
    }
    for (int64_t tap = 0; tap < kTaps; ++tap, from += layout.tap) {
      if (lane_stride != 1) {
        copy_transposed(from, lane_stride, lanes, channels, side, to + tap * side,
                        [](int64_t channel) { return channel * kTaps; });
        continue;
      }
      for (int64_t channel = 0; channel < channels; ++channel) {
        load_lanes<S>(from + channel * channel_stride, lanes)
            .store(to + (channel * kTaps + tap) * side);
      }
    }
  }
};

/// A' m A of the tiles of a block, to[image][row][column][lane] of height x width places.
template <class T>
void transform_target(const T* products, int64_t stride, int64_t images, int64_t height,
                      int64_t width, int64_t lanes, T* to) {
  using V = Vec<T>;
  const auto tile = [&](const T* from, T* place, int64_t high, int64_t wide) {
    for (int64_t lane = 0; lane < lanes; lane += V::size) {
      V s[kStep][kSide];
#pragma GCC unroll 4
      for (int j = 0; j < kSide; ++j) {
        const T* const m = from + j * stride + lane;
        const V a = V::load(m), b = V::load(m + kSide * stride),
                c = V::load(m + 2 * kSide * stride), d = V::load(m + 3 * kSide * stride);
        s[0][j] = a + b + c;
        s[1][j] = b - c - d;
      }
#pragma GCC unroll 2
      for (int i = 0; i < kStep; ++i) {
        if (i >= high) break;
        T* const row = place + i * width * lanes + lane;
        (s[i][0] + s[i][1] + s[i][2]).store(row);
        if (wide > 1) (s[i][1] - s[i][2] - s[i][3]).store(row + lanes);
      }
    }
  };
  for (int64_t i = 0; i < images; ++i) {
    for (int64_t h = 0; h < height; h += kStep) {
      for (int64_t w = 0; w < width; w += kStep, products += lanes) {
        tile(products, to + ((i * height + h) * width + w) * lanes, height - h, width - w);
      }
    }
  }
}

}  // namespace

bool is_winograd(const Geometry& g, bool transposed) {
  const int64_t sources = g.source_channels_a_group(transposed);
  const int64_t targets = g.target_channels_a_group(transposed);
  if (!is_three_by_three(g) || std::min(sources, targets) < kFewestChannels) return false;
  // Multiplications for each pair of channels.
  constexpr double of_weight = 100;
  const Side height(g, 1, transposed), width(g, 2, transposed);
  const auto seen = [](const Side& side) {
    int64_t pairs = 0;
    for (int64_t tap = 0; tap < 3; ++tap) {
      const Inside inside(tap - side.padding, 1, side.target, side.source);
      pairs += inside.last - inside.first;
    }
    return pairs;
  };
  const double tiles = static_cast<double>(g.batch * height.tiles * width.tiles);
  const double own = tiles * (kProducts + kOfSource / static_cast<double>(targets) +
                              kOfTarget / static_cast<double>(sources)) +
                     of_weight;
  return own * kWorth < static_cast<double>(g.batch * seen(height) * seen(width));
}

template <class S>
void convolve_winograd(const Geometry& g, bool transposed, const S* source,
                       const Layout& source_layout, const S* weight,
                       const WeightLayout& weight_layout, const S* bias, S* target,
                       const Layout& target_layout) {
  using T = opmath_t<S>;
  const int64_t sources = g.source_channels_a_group(transposed);
  const int64_t targets = g.target_channels_a_group(transposed);
  const Panels<T> panels(targets);
  const int64_t all_panels = g.groups * panels.count;
  const int64_t all_tiles = g.batch * Side(g, 1, transposed).tiles * Side(g, 2, transposed).tiles;
  const bool kept = all_tiles > kTilesWorthKeeping;
  const int64_t depth = kept ? sources : std::min(sources, kDepth);
  const int64_t pitch = divide_up(depth, Vec<T>::size) * Vec<T>::size;
  const int64_t most =
      std::clamp(kSourceBytes / (kProducts * pitch * int64_t{sizeof(T)}), kFewestTiles, kMostTiles);
  const int64_t wanted = kUnitsAThread * num_threads();
  const Tiling tiling(g, transposed, most, divide_up(wanted, all_panels));
  const int64_t blocks = tiling.count() * g.groups;
  const int64_t shares =
      kept ? std::clamp<int64_t>(wanted / blocks, 1, panels.count) : panels.count;

  const Weight<S> weights{weight, weight_layout, transposed, sources, targets};
  const int64_t weight_stride = spread(depth * panels.width);
  const int64_t kept_size = kept ? all_panels * kProducts * weight_stride : 0;
  const SharedScratch<T> memory(kept_size + all_panels * panels.width);
  T* const transformed = memory.data();
  T* const packed_bias = transformed + kept_size;
  pack_bias(panels, g.groups, targets, bias, packed_bias);
  const int64_t pieces = kept ? divide_up(sources, kChannelsAtOnce) : 0;
  parallel_for(0, all_panels * pieces, 2, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t panel = i / pieces, begin = i % pieces * kChannelsAtOnce;
      const auto part = panels.part(panel);
      weights.transform(
          part.group, part.first, part.width, begin, std::min(begin + kChannelsAtOnce, sources),
          transformed + panel * kProducts * weight_stride + begin * part.width, weight_stride);
    }
  });

  const int64_t most_tiles = tiling.most_tiles(), source_stride = spread(most_tiles * pitch),
                product_stride = spread(most_tiles * panels.width),
                patch_size = tiling.most_seen() * Vec<T>::size,
                target_size = most_tiles * kStep * kStep * panels.width;
  const auto unit = [&](int64_t index) {
    const int64_t share = index % shares, group = index / shares % g.groups;
    const Tiles tiles = tiling.block(index / shares / g.groups);
    const Scratch<T> scratch(kProducts * (source_stride + product_stride) + patch_size +
                             target_size + (kept ? 0 : kProducts * weight_stride));
    Pieces<T> memory_of_unit{scratch.data()};
    T* const seen = memory_of_unit.take(kProducts * source_stride);
    T* const products = memory_of_unit.take(kProducts * product_stride);
    T* const patch = memory_of_unit.take(patch_size);
    T* const tile = memory_of_unit.take(target_size);
    T* const own_weight = memory_of_unit.next;
    const S* const from =
        source + tiles.image * source_layout.batch + group * sources * source_layout.channel;
    const Patch places = tiling.target(tiles);
    const int64_t height = places.rows.last, width = places.columns.last;
    // Rows of the target follow one another if they are whole.
    const int64_t lines = width == places.image_width ? 1 : height, length = height * width / lines;
    const int64_t first = share * panels.count / shares, end = (share + 1) * panels.count / shares;
    for (int64_t p = first; p < end; ++p) {
      const int64_t panel = group * panels.count + p;
      const auto part = panels.part(panel);
      for (int64_t channel = 0; channel < sources; channel += depth) {
        const int64_t channels = std::min(depth, sources - channel);
        if (p == first) {
          transform_patches(tiling.source(tiles), tiles, from + channel * source_layout.channel,
                            source_layout, channels, pitch, patch, seen, [&](const T* d, T* to) {
                              transform_source(d, tiles.rows, tiles.columns, to, source_stride,
                                               pitch);
                            });
        }
        const T* of_panel = transformed + panel * kProducts * weight_stride;
        if (!kept) {
          weights.transform(group, part.first, part.width, channel, channel + channels, own_weight,
                            weight_stride);
          of_panel = own_weight;
        }
        multiply_products<T>(tiles.count(), part.vectors, channels, {seen, pitch}, source_stride,
                             of_panel, weight_stride, channel > 0, products, product_stride);
      }
      transform_target(products, product_stride, tiles.images, height, width, part.width, tile);
      S* const to = target + tiles.image * target_layout.batch +
                    (group * targets + part.first) * target_layout.channel +
                    places.top * target_layout.place[1] + places.left * target_layout.place[2];
      for (int64_t i = 0; i < tiles.images * lines; ++i) {
        deliver<S, T>(tile + i * length * part.width, length, part.width, part.channels,
                      packed_bias + panel * panels.width,
                      to + i / lines * target_layout.batch + i % lines * target_layout.place[1],
                      target_layout);
      }
    }
  };
  const double operations = 2.0 * static_cast<double>(most_tiles * kProducts * sources) *
                            static_cast<double>(targets) / static_cast<double>(shares);
  for_units(blocks * shares, operations, unit);
}

template void convolve_winograd<float>(const Geometry&, bool, const float*, const Layout&,
                                       const float*, const WeightLayout&, const float*, float*,
                                       const Layout&);

}  // namespace alt::kernels::conv
