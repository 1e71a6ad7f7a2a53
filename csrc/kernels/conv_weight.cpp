// The gradient of a convolution's weight on the matrix core: a row of the product is a tap of a
// channel of the large image, its columns are channels of the small one, k runs over places.
//
// Loops: panels of the small image's channels (up to four vectors), blocks of places of its images,
// six rows at a time, and in the registers the places. A block's window of the large image is
// copied as conv_plan.h says; its part of the small image, up to 400 places, is transposed into
// a panel [place][lane] (100 KiB). Sums stay in a table [row][lane] for all blocks that one thread
// adds up. Where the panels are too few for the threads, the blocks are cut into slices with a
// table each, which are added in their order at the end. Blocks and slices follow from the sizes
// alone, so the sums do too.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
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

constexpr int64_t kWindowBytes = 256 * 1024;
constexpr int64_t kMostPlaces = 400;
constexpr int64_t kUnitsWanted = 8;
constexpr double kOperationsWorthAThread = 1e6;

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

/// Rows of the tables of all slices, added and transposed, to the weight's gradient: of one vector
/// of channels, whose tables' rows are `width` apart, the tables `stride`.
template <class S, class T>
void deliver_weight(const Plan& plan, const T* tables, int64_t slices, int64_t stride,
                    int64_t width, int64_t channels, S* weight, const WeightLayout& layout) {
  constexpr int64_t side = Vec<T>::size;
  // In memory taps run faster than channels, or channels than taps.
  const bool taps_first = layout.tap == 1;
  const int64_t depth = plan.depth();
  int64_t tap = 0, channel = 0;
  for_lanes<T>(0, depth, [&](int64_t k, auto lanes) {
    Vec<T> square[side];
    for (int64_t i = 0; i < side; ++i) {
      square[i] = Vec<T>(T(0));
      if (k + i >= depth) continue;
      const T* const row = tables + (plan.tap_rows[tap] + channel) * width;
      square[i] = Vec<T>::load(row);
      for (int64_t slice = 1; slice < slices; ++slice) {
        square[i] += Vec<T>::load(row + slice * stride);
      }
      int64_t &fast = taps_first ? tap : channel, &slow = taps_first ? channel : tap;
      if (++fast == (taps_first ? plan.taps : plan.source_channels)) {
        fast = 0;
        ++slow;
      }
    }
    blas::transpose<T>(square);
    for (int64_t i = 0; i < channels; ++i) {
      store_lanes<S>(square[i], weight + i * layout.small + k, lanes);
    }
  });
}

}  // namespace

template <class S>
void convolve_to_weight(const Geometry& geometry, const S* large, const Layout& large_layout,
                        const S* small, const Layout& small_layout, S* weight,
                        const WeightLayout& weight_layout) {
  using T = opmath_t<S>;
  const bool copied = !std::is_same_v<S, T> || large_layout.batch > (int64_t{1} << 30);
  const Plan plan(geometry, false, large_layout, copied, false,
                  {.window = kWindowBytes / static_cast<int64_t>(sizeof(T)),
                   .places = kMostPlaces,
                   .blocks = 1});
  const Panels<T> panels(plan.target_channels);
  const int64_t depth = plan.depth(), most = plan.most_places();
  const int64_t blocks = volume(plan.blocks), pieces = geometry.batch * blocks;
  const int64_t all_panels = geometry.groups * panels.count;
  const int64_t slices =
      std::clamp<int64_t>(divide_up(kUnitsWanted, all_panels), 1, std::max<int64_t>(pieces, 1));
  const int64_t table_size = depth * panels.width, stride = all_panels * table_size;
  const at::Tensor memory = at::empty(
      {slices * stride},
      at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value).device(at::kPrivateUse1));
  T* const tables = memory.mutable_data_ptr<T>();
  std::vector<int32_t> rows(static_cast<size_t>(depth));
  std::iota(rows.begin(), rows.end(), 0);

  const auto unit = [&](int64_t index) {
    const int64_t slice = index % slices, panel = index / slices;
    const int64_t group = panel / panels.count, first = panel % panels.count * panels.width;
    const int64_t channels = std::min(panels.width, plan.target_channels - first);
    const Scratch<T> scratch(plan.window_size + most * panels.width);
    const Scratch<int32_t> lists(2 * most);
    T* const packed = scratch.data();
    T* const copy = packed + most * panels.width;
    int32_t* const offsets = lists.data();
    const int64_t end = (slice + 1) * pieces / slices;
    for (int64_t piece = slice * pieces / slices, begin = piece; piece < end; ++piece) {
      const int64_t image = piece / blocks;
      const Block block = plan.block(piece % blocks);
      const int64_t places = volume(block.size);
      const S* const from =
          large + image * large_layout.batch + group * plan.source_channels * large_layout.channel;
      const T* window = copy;
      if (plan.copied) {
        copy_window(plan, block, from, large_layout, copy);
      } else if constexpr (std::is_same_v<S, T>) {
        window = from;
        for (int i = 0; i < 3; ++i) {
          window += plan.axes[i].origin(block.begin[i]) * large_layout.place[i];
        }
      }
      const S* seen = small + image * small_layout.batch +
                      (group * plan.target_channels + first) * small_layout.channel;
      for (int i = 0; i < 3; ++i) seen += block.begin[i] * small_layout.place[i];
      pack_places<S, T>(seen, small_layout, places, channels, panels.width, packed);
      for_each_phase(plan, block, 1, offsets, offsets + most, [](auto&&...) {});
      multiply_rows<T>(panels.groups, depth, places, window, plan.offsets.data(), offsets, packed,
                       tables + slice * stride + panel * table_size, rows.data(), piece > begin);
    }
  };
  const double operations = 2.0 * static_cast<double>(depth * panels.width * most) *
                            static_cast<double>(pieces) / static_cast<double>(slices);
  parallel_for(0, all_panels * slices,
               static_cast<int64_t>(kOperationsWorthAThread / (operations + 1)) + 1,
               [&](int64_t begin, int64_t end) {
                 for (int64_t index = begin; index < end; ++index) unit(index);
               });

  constexpr int64_t size = Vec<T>::size;
  const int64_t vectors = divide_up(plan.target_channels, size);
  const int64_t grain = 16384 / std::max<int64_t>(depth * size * slices, 1) + 1;
  parallel_for(0, geometry.groups * vectors, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t group = i / vectors, first = i % vectors * size;
      const int64_t panel = group * panels.count + first / panels.width;
      deliver_weight<S, T>(plan, tables + panel * table_size + first % panels.width, slices, stride,
                           panels.width, std::min(plan.target_channels - first, size),
                           weight + (group * plan.target_channels + first) * weight_layout.small,
                           weight_layout);
    }
  });
}

#define INSTANTIATE(S)                                                                    \
  template void convolve_to_weight<S>(const Geometry&, const S*, const Layout&, const S*, \
                                      const Layout&, S*, const WeightLayout&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(at::Half)
INSTANTIATE(at::BFloat16)
#undef INSTANTIATE

}  // namespace alt::kernels::conv
