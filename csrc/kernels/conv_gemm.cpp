// Convolution by implicit gemm: a row of the product is a place of the target, its columns are the
// target's channels, k runs over source channels and taps.
//
// Loops: blocks of places (of an image and group), panels of target channels (up to four vectors),
// ranges of k of some 512 rows of the panel, six places at a time, and in the registers k again.
// What is used over and over stays in the second-level cache of 1 MiB: the window of a block (256
// KiB at most, and so many places that halos cost little), the range of the panel (128 KiB) and the
// tile of results (places x panel, 100 KiB), which at the end is transposed into the target, where
// its channels are planes, while bias is added. The weight is packed into panels once a call, which
// costs as much as some four places.
//
// An element's sum runs over k in one order, whatever the blocks and threads.
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "kernels/conv.h"
#include "kernels/conv_block.h"
#include "kernels/conv_pack.h"
#include "kernels/scratch.h"
#include "runtime/thread_pool.h"

namespace alt::kernels::conv {
namespace {

constexpr int64_t kDepth = 640;
constexpr int64_t kUnitsAThread = 4;
constexpr int64_t kOwnPanelBytes = 2 * 1024 * 1024;

/// Panels [begin_panel, end_panel) of the weight, of all groups' one after the other:
/// [panel][k][lane].
template <class S, class T>
void pack_weights(const Plan& plan, const Panels<T>& panels, bool transposed, const S* weight,
                  const WeightLayout& layout, int64_t begin_panel, int64_t end_panel, T* packed) {
  const int64_t lane_stride = transposed ? layout.large : layout.small;
  const int64_t channel_stride = transposed ? layout.small : layout.large;
  const int64_t group_stride =
      layout.small * (transposed ? plan.source_channels : plan.target_channels);
  const int64_t at_once = std::min(channels_at_once(plan.taps), plan.source_channels);
  const int64_t pieces = divide_up(plan.source_channels, std::max<int64_t>(at_once, 1));
  const int64_t grain = 16384 / std::max<int64_t>(at_once * plan.taps * panels.width, 1) + 1;
  parallel_for(begin_panel * pieces, end_panel * pieces, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = i / pieces, first_channel = i % pieces * at_once;
      const int64_t last_channel = std::min(first_channel + at_once, plan.source_channels);
      const auto part = panels.part(panel);
      pack_weight(plan, weight + part.group * group_stride + part.first * lane_stride, lane_stride,
                  channel_stride, layout.tap, part.channels, first_channel, last_channel,
                  part.width, packed + (panel - begin_panel) * plan.depth() * panels.width);
    }
  });
}

/// A convolution of one element each has no rows: its image is a line, if its memory is.
std::pair<Geometry, Layout> flat(Geometry geometry, Layout source) {
  const Extent& size = geometry.large;
  Extent& place = source.place;
  if (!geometry.is_pointwise() || (size[1] > 1 && place[1] != size[2] * place[2]) ||
      (size[0] > 1 && place[0] != size[1] * size[2] * place[2])) {
    return {geometry, source};
  }
  geometry.large = geometry.small = {1, 1, volume(size)};
  return {geometry, source};
}

/// The rows of a tile that belong to a phase: its runs, in ranges that the cache holds.
template <class T>
void multiply_phase(const Plan& plan, const Phase& phase, int vectors, int64_t count,
                    const T* window, const int32_t* places, const T* panel, T* tile,
                    const int32_t* numbers) {
  bool add = false;
  const auto multiply = [&](int64_t row, int64_t depth) {
    multiply_rows<T>(vectors, count, depth, window, places, plan.offsets.data() + row,
                     panel + row * vectors * Vec<T>::size, tile, numbers, add);
    add = true;
  };
  if (phase.runs.empty()) multiply(0, 0);
  for (const auto [row, length] : phase.runs) {
    const int64_t ranges = divide_up(length, kDepth);
    for (int64_t i = 0; i < ranges; ++i) {
      const int64_t begin = i * length / ranges;
      multiply(row + begin, (i + 1) * length / ranges - begin);
    }
  }
}

}  // namespace

template <class S>
void convolve(const Geometry& original, bool transposed, const S* source,
              const Layout& original_layout, const S* weight, const WeightLayout& weight_layout,
              const S* bias, S* target, const Layout& target_layout) {
  using T = opmath_t<S>;
  const auto [geometry, source_layout] = flat(original, original_layout);
  // Few channels of a plane are read where they are; many lie pages apart.
  const bool copied =
      !std::is_same_v<S, T> || source_layout.batch > (int64_t{1} << 30) ||
      !(source_layout.is_channels_last() || geometry.source_channels_a_group(transposed) <= 8);
  const int64_t wanted = kUnitsAThread * num_threads();
  const Budget budget = budget_of<T>(divide_up(wanted, geometry.batch * geometry.groups));
  const Plan plan(geometry, transposed, source_layout, copied, true, budget);
  const Panels<T> panels(plan.target_channels);
  const int64_t depth = plan.depth(), panel_size = depth * panels.width;
  // Small images come several at once, for what their panels cost; where blocks are too few for the
  // threads, their panels are shared out too.
  const int64_t blocks = volume(plan.blocks), most = plan.most_places();
  const int64_t at_once = plan.images_at_once(geometry.batch, budget,
                                              divide_up(wanted, geometry.groups * panels.count));
  const int64_t sets = divide_up(geometry.batch, at_once), pieces = sets * geometry.groups * blocks;
  const int64_t shares = std::clamp<int64_t>(wanted / pieces, 1, panels.count);
  // A panel that one unit alone needs is packed by it: to read what another core has just written
  // takes longer than to pack it.
  const int64_t all_panels = geometry.groups * panels.count;
  const bool shared =
      sets * blocks > 1 || panel_size * static_cast<int64_t>(sizeof(T)) > kOwnPanelBytes;
  const int64_t packed_size = shared ? all_panels * panel_size : 0;
  const SharedScratch<T> memory(packed_size + all_panels * panels.width);
  T* const packed = memory.data();
  T* const packed_bias = packed + packed_size;
  if (shared) {
    pack_weights(plan, panels, transposed, weight, weight_layout, 0, all_panels, packed);
  }
  pack_bias(panels, geometry.groups, plan.target_channels, bias, packed_bias);

  const auto unit = [&](int64_t index) {
    const int64_t share = index % shares;
    const int64_t group = index / shares / blocks % geometry.groups;
    const int64_t set = index / shares / blocks / geometry.groups;
    const int64_t image = set * geometry.batch / sets;
    const int64_t images = (set + 1) * geometry.batch / sets - image;
    const Block block = plan.block(index / shares % blocks);
    const int64_t places = volume(block.size);
    const Scratch<T> scratch(at_once * (plan.window_size + most * panels.width) +
                             (shared ? 0 : panel_size));
    const Scratch<int32_t> lists(2 * at_once * most);
    Pieces<T> memory_of_unit{scratch.data()};
    T* const tile = memory_of_unit.take(at_once * most * panels.width);
    T* const own_panel = memory_of_unit.take(shared ? 0 : panel_size);
    T* const copies = memory_of_unit.next;
    int32_t* const offsets = lists.data();
    int32_t* const numbers = offsets + at_once * most;

    const S* const from =
        source + image * source_layout.batch + group * plan.source_channels * source_layout.channel;
    const T* const window = copy_windows(plan, block, images, from, source_layout, copies);
    S* to = target + image * target_layout.batch;
    for (int i = 0; i < 3; ++i) to += block.begin[i] * target_layout.place[i];
    const int64_t end = (share + 1) * panels.count / shares;
    for (int64_t p = share * panels.count / shares; p < end; ++p) {
      const int64_t panel = group * panels.count + p;
      const auto part = panels.part(panel);
      const T* const weights = shared ? packed + panel * panel_size : own_panel;
      if (!shared) {
        pack_weights(plan, panels, transposed, weight, weight_layout, panel, panel + 1, own_panel);
      }
      for_each_phase(plan, block, images, offsets, numbers,
                     [&](const Phase& phase, int64_t begin, int64_t stop) {
                       multiply_phase(plan, phase, part.vectors, stop - begin, window,
                                      offsets + begin, weights, tile, numbers + begin);
                     });
      const int64_t channel = group * plan.target_channels + part.first;
      for (int64_t i = 0; i < images; ++i) {
        deliver<S, T>(tile + i * places * part.width, places, part.width, part.channels,
                      packed_bias + panel * panels.width,
                      to + i * target_layout.batch + channel * target_layout.channel,
                      target_layout);
      }
    }
  };
  const double operations = 2.0 * static_cast<double>(at_once * most * depth * panels.width) *
                            static_cast<double>(panels.count) / static_cast<double>(shares);
  for_units(pieces * shares, operations, unit);
}

template Convolution<float> convolve<float>;
template Convolution<double> convolve<double>;
template Convolution<at::Half> convolve<at::Half>;
template Convolution<at::BFloat16> convolve<at::BFloat16>;

}  // namespace alt::kernels::conv
