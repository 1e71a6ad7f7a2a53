// The gradient of a convolution's weight on the matrix core: a row of the product is a tap of a
// channel of the large image, its columns are channels of the small one, k runs over places.
//
// Loops: panels of the small image's channels (up to four vectors), blocks of places of its images
// (small images come several at once), six rows at a time, and in the registers the places. A
// block's window of the large image is copied as conv_plan.h says; its part of the small image, up
// to 400 places, is transposed into a panel [place][lane] (100 KiB). Sums stay in a table
// [row][lane] for all blocks that one thread adds up. Where the panels are too few for the threads,
// the blocks are cut into slices with a table each, which are added in their order at the end.
// Blocks and slices follow from the sizes alone, so the sums do too.
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <numeric>
#include <type_traits>
#include <vector>

#include "kernels/conv.h"
#include "kernels/conv_block.h"
#include "kernels/conv_pack.h"
#include "kernels/scratch.h"
#include "runtime/thread_pool.h"

namespace alt::kernels::conv {
namespace {

constexpr int64_t kRowsAtOnce = 192;
constexpr int64_t kUnitsWanted = 8;

/// The places of a block, in their order, of up to a panel's width of channels: [place][lane].
template <class S, class T>
void pack_places(const S* small, const Layout& layout, int64_t places, int64_t channels,
                 int64_t width, T* panel) {
  constexpr int64_t side = Vec<T>::size;
  for (int64_t first = 0; first < width; first += side) {
    const auto lanes = static_cast<int>(std::clamp<int64_t>(channels - first, 0, side));
    const S* const from = small + first * layout.channel;
    if (layout.channel == 1) {
      for (int64_t p = 0; p < places; ++p) {
        load_lanes<S>(from + p * layout.place[2], lanes).store(panel + p * width + first);
      }
    } else {
      copy_transposed(from, layout.channel, lanes, places, width, panel + first,
                      [](int64_t p) { return p; });
    }
  }
}

/// What each row, an element of the weight of one channel in the order of memory, sees of a window.
std::vector<int32_t> row_offsets(const Plan& plan, bool taps_first) {
  std::vector<int32_t> result;
  result.reserve(static_cast<size_t>(plan.depth()));
  for (int64_t slow = 0; slow < (taps_first ? plan.source_channels : plan.taps); ++slow) {
    for (int64_t fast = 0; fast < (taps_first ? plan.taps : plan.source_channels); ++fast) {
      const int64_t tap = taps_first ? fast : slow, channel = taps_first ? slow : fast;
      result.push_back(plan.offsets[plan.tap_rows[tap] + channel]);
    }
  }
  return result;
}

}  // namespace

template <class S>
void convolve_to_weight(const Geometry& geometry, const S* large, const Layout& large_layout,
                        const S* small, const Layout& small_layout, S* weight,
                        const WeightLayout& weight_layout) {
  using T = opmath_t<S>;
  const bool copied = !std::is_same_v<S, T> || large_layout.batch > (int64_t{1} << 30);
  const Budget budget = budget_of<T>(1);
  const Plan plan(geometry, false, large_layout, copied, false, budget);
  const Panels<T> panels(plan.target_channels);
  const int64_t depth = plan.depth(), most = plan.most_places();
  const int64_t all_panels = geometry.groups * panels.count;
  const int64_t blocks = volume(plan.blocks);
  const int64_t at_once =
      plan.images_at_once(geometry.batch, budget, divide_up(kUnitsWanted, all_panels));
  const int64_t sets = divide_up(geometry.batch, at_once), pieces = sets * blocks;
  const int64_t slices = std::clamp<int64_t>(divide_up(kUnitsWanted, all_panels), 1, pieces);
  const int64_t table_size = depth * panels.width, stride = all_panels * table_size;
  // A unit that sees everything delivers its rows while they are in the cache.
  const bool at_end = pieces > 1;
  const SharedScratch<T> memory(at_end ? slices * stride : 0);
  T* const tables = at_end ? memory.data() : nullptr;
  const std::vector<int32_t> seen = row_offsets(plan, weight_layout.tap == 1);
  std::vector<int32_t> rows(static_cast<size_t>(depth));
  std::iota(rows.begin(), rows.end(), 0);

  const auto deliver = [&](int64_t panel, const T* table, int64_t begin, int64_t end) {
    const auto part = panels.part(panel);
    deliver_rows<S, T>(
        table, slices, stride, part.width, begin, end, part.channels,
        weight + (part.group * plan.target_channels + part.first) * weight_layout.small,
        weight_layout.small);
  };
  const auto unit = [&](int64_t index) {
    const int64_t slice = index % slices, panel = index / slices;
    const auto part = panels.part(panel);
    const Scratch<T> scratch(at_once * (plan.window_size + most * panels.width) +
                             kRowsAtOnce * panels.width);
    const Scratch<int32_t> lists(2 * at_once * most);
    T* const tile = scratch.data();
    T* const packed = tile + kRowsAtOnce * panels.width;
    T* const copies = packed + at_once * most * panels.width;
    int32_t* const offsets = lists.data();
    const int64_t end = (slice + 1) * pieces / slices;
    for (int64_t piece = slice * pieces / slices, begin = piece; piece < end; ++piece) {
      const int64_t set = piece / blocks, image = set * geometry.batch / sets;
      const int64_t images = (set + 1) * geometry.batch / sets - image;
      const Block block = plan.block(piece % blocks);
      const int64_t places = volume(block.size);
      const S* const from = large + image * large_layout.batch +
                            part.group * plan.source_channels * large_layout.channel;
      const S* small_from = small + image * small_layout.batch +
                            (part.group * plan.target_channels + part.first) * small_layout.channel;
      for (int i = 0; i < 3; ++i) small_from += block.begin[i] * small_layout.place[i];
      const T* const window = copy_windows(plan, block, images, from, large_layout, copies);
      for (int64_t i = 0; i < images; ++i) {
        pack_places<S, T>(small_from + i * small_layout.batch, small_layout, places, part.channels,
                          part.width, packed + i * places * part.width);
      }
      for_each_phase(plan, block, images, offsets, offsets + at_once * most, [](auto&&...) {});
      if (at_end) {
        multiply_rows<T>(part.vectors, depth, images * places, window, seen.data(), offsets, packed,
                         tables + slice * stride + panel * table_size, rows.data(), piece > begin);
        continue;
      }
      for (int64_t row = 0; row < depth; row += kRowsAtOnce) {
        const int64_t count = std::min(kRowsAtOnce, depth - row);
        multiply_rows<T>(part.vectors, count, images * places, window, seen.data() + row, offsets,
                         packed, tile, rows.data(), false);
        deliver(panel, tile - row * part.width, row, row + count);
      }
    }
  };
  const double operations = 2.0 * static_cast<double>(depth * panels.width * most * at_once) *
                            static_cast<double>(pieces) / static_cast<double>(slices);
  for_units(all_panels * slices, operations, unit);
  if (!at_end) return;

  const int64_t ranges = divide_up(depth, kRowsAtOnce);
  parallel_for(0, all_panels * ranges, 16384 / (kRowsAtOnce * panels.width * slices) + 1,
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t panel = i / ranges, row = i % ranges * kRowsAtOnce;
                   deliver(panel, tables + panel * table_size, row,
                           std::min(row + kRowsAtOnce, depth));
                 }
               });
}

template WeightGradient<float> convolve_to_weight<float>;
template WeightGradient<double> convolve_to_weight<double>;
template WeightGradient<at::Half> convolve_to_weight<at::Half>;
template WeightGradient<at::BFloat16> convolve_to_weight<at::BFloat16>;

}  // namespace alt::kernels::conv
