// Convolution of many small images into few channels: lanes are images of the batch. No vector is
// cut off at the end of a row, and no place multiplies with padding, which is half of what the
// places of a LeNet's input gradient see.
//
// A unit is a vector of images and a group of channels. Its source is transposed to [channel]
// [place][image] in memory of the thread, and its target back from there, squares of a vector's
// side in registers. Loops: rows of the target, up to four neighbours in one that meet the same
// taps, up to six target channels, and in the registers taps and source channels.
//
// An element's sum starts with the bias and runs over taps and channels in order.
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "kernels/conv_direct.h"
#include "kernels/gemm_panels.h"
#include "kernels/scratch.h"

namespace alt::kernels::conv {
namespace {

constexpr int64_t kMostBytes = 256 * 1024;  // of source and target each: half of a second level

/// One dimension. A transposed convolution, of stride 1, is one with its taps in reverse order.
struct ImageAxis {
  ImageAxis(const Geometry& g, int i, bool transposed)
      : source_size(transposed ? g.small[i] : g.large[i]),
        target_size(transposed ? g.large[i] : g.small[i]),
        kernel(g.kernel[i]),
        stride(transposed ? 1 : g.stride[i]),
        dilation(g.dilation[i]),
        padding(transposed ? (kernel - 1) * dilation - g.padding[i] : g.padding[i]) {}

  /// Where the first tap of a place is in the source, or outside of it.
  int64_t origin(int64_t place) const { return place * stride - padding; }
  /// The taps through which a place sees the source.
  Inside taps(int64_t place) const { return {origin(place), dilation, kernel, source_size}; }

  int64_t source_size, target_size, kernel, stride, dilation, padding;
};

struct ImagePlan {
  ImagePlan(const Geometry& g, bool transposed)
      : axes{ImageAxis(g, 0, transposed), ImageAxis(g, 1, transposed), ImageAxis(g, 2, transposed)},
        source_channels(g.source_channels_a_group(transposed)),
        target_channels(g.target_channels_a_group(transposed)),
        source_places(transposed ? g.small_volume() : g.large_volume()),
        target_places(transposed ? g.large_volume() : g.small_volume()),
        taps(g.kernel_volume()) {}

  int64_t source_size() const { return source_channels * source_places; }
  int64_t target_size() const { return target_channels * target_places; }
  /// An element of a channel of the source, or before its begin by as much as padding reaches.
  int64_t place_in_source(int64_t z, int64_t y, int64_t x) const {
    return (z * axes[1].source_size + y) * axes[2].source_size + x;
  }
  int64_t reach() const {
    return place_in_source(std::max<int64_t>(axes[0].padding, 0),
                           std::max<int64_t>(axes[1].padding, 0),
                           std::max<int64_t>(axes[2].padding, 0));
  }

  std::array<ImageAxis, 3> axes;
  int64_t source_channels, target_channels;  // a group
  int64_t source_places, target_places, taps;
};

/// What a row of the packed weight, [tap][source channel], is multiplied by, from a place's origin.
std::vector<int32_t> offsets_of(const ImagePlan& plan, int64_t lanes) {
  const auto& [d, h, w] = plan.axes;
  std::vector<int32_t> offsets;
  offsets.reserve(static_cast<size_t>(plan.taps * plan.source_channels));
  for (int64_t z = 0; z < d.kernel; ++z) {
    for (int64_t y = 0; y < h.kernel; ++y) {
      for (int64_t x = 0; x < w.kernel; ++x) {
        const int64_t tap = plan.place_in_source(z * d.dilation, y * h.dilation, x * w.dilation);
        for (int64_t c = 0; c < plan.source_channels; ++c) {
          offsets.push_back(static_cast<int32_t>((c * plan.source_places + tap) * lanes));
        }
      }
    }
  }
  return offsets;
}

/// to[i][image] = from[image][i], of a vector of images of which `count` exist.
template <class S, class T>
void interleave_images(const S* from, int64_t stride, int count, int64_t length, T* to) {
  constexpr int side = Vec<T>::size;
  for_lanes<T>(0, length, [&](int64_t i, auto lanes) {
    Vec<T> square[side];
    for (int image = 0; image < side; ++image) {
      square[image] =
          image < count ? load_lanes<S>(from + image * stride + i, lanes) : Vec<T>(T(0));
    }
    transpose<T>(square);
    for (int64_t row = 0; row < std::min<int64_t>(side, length - i); ++row) {
      square[row].store(to + (i + row) * side);
    }
  });
}

/// to[image][i] = from[i][image].
template <class S, class T>
void separate_images(const T* from, int64_t length, S* to, int64_t stride, int count) {
  constexpr int side = Vec<T>::size;
  for_lanes<T>(0, length, [&](int64_t i, auto lanes) {
    Vec<T> square[side];
    for (int64_t row = 0; row < side; ++row) {
      square[row] = i + row < length ? Vec<T>::load(from + (i + row) * side) : Vec<T>(T(0));
    }
    transpose<T>(square);
    for (int image = 0; image < count; ++image) {
      store_lanes<S>(square[image], to + image * stride + i, lanes);
    }
  });
}

using Runs = c10::SmallVector<Run, 8>;

/// The rows of the packed weight that a place meets, by its taps in each dimension.
Runs runs_of(const ImagePlan& plan, const Inside& z, const Inside& y, const Inside& x) {
  Runs runs;
  for (int64_t i = z.first; i < z.last; ++i) {
    for (int64_t j = y.first; j < y.last; ++j) {
      const int64_t tap = (i * plan.axes[1].kernel + j) * plan.axes[2].kernel + x.first;
      const Run run{tap * plan.source_channels, (x.last - x.first) * plan.source_channels};
      if (!runs.empty() && runs.back().row + runs.back().count == run.row) {
        runs.back().count += run.count;
      } else {
        runs.push_back(run);
      }
    }
  }
  return runs;
}

/// A vector of images: target[channel][place][image], of all channels of a group, the first of
/// which is `first` among those of all groups.
template <class T>
void convolve_vector(const ImagePlan& plan, const T* source, const DirectWeight<T>& weight,
                     int64_t first, const int32_t* offsets, T* target) {
  constexpr int64_t lanes = Vec<T>::size;
  const auto& [d, h, w] = plan.axes;
  const int64_t most = direct_rows(blas::kMostGroups), row_stride = plan.target_places * lanes;
  const auto neighbours = [&](int64_t z, int64_t y, int64_t x, int groups, const Runs& runs) {
    std::array<const T*, blas::kMostGroups> from;
    blas::Target<T> block{target, row_stride};
    for (int g = 0; g < groups; ++g) {
      from[g] = source + plan.place_in_source(d.origin(z), h.origin(y), w.origin(x + g)) * lanes;
      block.offset[g] = ((z * h.target_size + y) * w.target_size + x + g) * lanes;
      block.lanes[g] = lanes;
    }
    for (int64_t r = 0; r < plan.target_channels; r += most) {
      block.data = target + r * row_stride;
      find_direct<T>(groups, std::min(most, plan.target_channels - r))(
          runs, weight.rows(first + r), weight.bias(first + r), from.data(), offsets, block);
    }
  };
  for (int64_t z = 0; z < d.target_size; ++z) {
    for (int64_t y = 0; y < h.target_size; ++y) {
      for (int64_t x = 0; x < w.target_size;) {
        const Inside taps = w.taps(x);
        const auto meets_them = [&](int64_t place) {
          const Inside others = w.taps(place);
          return others.first == taps.first && others.last == taps.last;
        };
        int groups = 1;
        while (groups < blas::kMostGroups && x + groups < w.target_size && meets_them(x + groups)) {
          ++groups;
        }
        neighbours(z, y, x, groups, runs_of(plan, d.taps(z), h.taps(y), taps));
        x += groups;
      }
    }
  }
}

/// How often a place sees a source element, through whatever tap.
int64_t pairs_of(const ImageAxis& axis) {
  int64_t pairs = 0;
  for (int64_t place = 0; place < axis.target_size; ++place) {
    const Inside taps = axis.taps(place);
    pairs += taps.last - taps.first;
  }
  return pairs;
}

}  // namespace

bool is_by_images(const Geometry& g, bool transposed, int64_t lanes) {
  // Vectors of images that are worth sharing out; and multiplications that take as long as bringing
  // a vector's worth of elements there and back, and how much better this must seem.
  constexpr int64_t fewest_units = 4;
  constexpr double of_an_element = 8, worth = 1.1;
  const int64_t vectors = divide_up(g.batch, lanes);
  if ((transposed && volume(g.stride) != 1) || vectors * g.groups < fewest_units) return false;
  const ImagePlan plan(g, transposed);
  const int64_t most_elements = kMostBytes / static_cast<int64_t>(sizeof(float)) / lanes;
  if (std::max(plan.source_size(), plan.target_size()) > most_elements) return false;
  const auto& [d, h, w] = plan.axes;
  const auto pairs = static_cast<double>(pairs_of(d) * pairs_of(h) * pairs_of(w));
  const auto channels = static_cast<double>(plan.source_channels);
  const double ours =
      static_cast<double>(vectors) *
      (pairs * channels * static_cast<double>(plan.target_channels) +
       of_an_element * static_cast<double>(plan.source_size() + plan.target_size()));
  const double others =
      static_cast<double>(g.batch) * channels *
      (is_direct(g, transposed, lanes)
           ? static_cast<double>(plan.taps * plan.target_channels * d.target_size * h.target_size *
                                 divide_up(w.target_size, lanes))
           : pairs * static_cast<double>(divide_up(plan.target_channels, lanes)));
  return worth * ours < others;
}

template <class S>
void convolve_by_images(const Geometry& geometry, bool transposed, const S* source,
                        const Layout& source_layout, const S* weight,
                        const WeightLayout& weight_layout, const S* bias, S* target,
                        const Layout& target_layout) {
  using T = opmath_t<S>;
  constexpr int64_t lanes = Vec<T>::size;
  const ImagePlan plan(geometry, transposed);
  const DirectWeight<T> packed(geometry, transposed, weight, weight_layout, bias, [&](int64_t k) {
    const int64_t tap = k / plan.source_channels;
    return std::pair(k % plan.source_channels, transposed ? plan.taps - 1 - tap : tap);
  });
  const std::vector<int32_t> offsets = offsets_of(plan, lanes);

  const auto unit = [&](int64_t index) {
    const int64_t group = index % geometry.groups, image = index / geometry.groups * lanes;
    const auto count = static_cast<int>(std::min<int64_t>(lanes, geometry.batch - image));
    const int64_t reach = plan.reach() * lanes, window = plan.source_size() * lanes;
    const Scratch<T> scratch(reach + window + plan.target_size() * lanes);
    T* const images = scratch.data() + reach;
    T* const results = images + window;
    interleave_images(
        source + image * source_layout.batch + group * plan.source_channels * source_layout.channel,
        source_layout.batch, count, plan.source_size(), images);
    convolve_vector(plan, images, packed, group * plan.target_channels, offsets.data(), results);
    separate_images(
        results, plan.target_size(),
        target + image * target_layout.batch + group * plan.target_channels * target_layout.channel,
        target_layout.batch, count);
  };
  const double operations =
      2.0 * static_cast<double>(plan.target_size() * plan.taps * plan.source_channels * lanes);
  for_units(divide_up(geometry.batch, lanes) * geometry.groups, operations, unit);
}

template Convolution<float> convolve_by_images<float>;
template Convolution<double> convolve_by_images<double>;
template Convolution<at::Half> convolve_by_images<at::Half>;
template Convolution<at::BFloat16> convolve_by_images<at::BFloat16>;

}  // namespace alt::kernels::conv
