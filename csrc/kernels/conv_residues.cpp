// Transposed convolution with a stride and few target channels, such as the gradient of an image of
// three colours, or a picture that is painted from features. Vectors of channels would stay mostly
// empty, and vectors of places would multiply with the zeros that the stride puts between elements.
//
// Target places of one residue modulo the stride see the source through the same taps, and places
// that differ in their residue alone see nearly the same part of it. So the residues become
// channels: of stride 2 in both dimensions and three channels, twelve of an image of a quarter of
// the places, which is a convolution of stride 1 of the source. Its kernel has an element for each
// offset that a residue sees the source at, zero where this residue has no tap: of 7x7 and stride
// 2, 4x4 elements a residue for 12.25 taps. The result's channels are put in turns into the target.
//
// Where the source is infinite, a zero of the kernel makes a NaN of an element that the tap before
// or after it would have left alone.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <array>

#include "kernels/conv.h"
#include "loops/dtype.h"

namespace alt::kernels::conv {
namespace {

/// One dimension: place stride * q + residue sees source element q + offset through tap residue +
/// padding - stride * offset, for offsets from `low` on.
struct ResidueAxis {
  ResidueAxis(const Geometry& g, int i)
      : stride(g.stride[i]), padding(g.padding[i]), taps(g.kernel[i]) {
    const int64_t before = taps - 1 - padding;
    low = before >= 0 ? -(before / stride) : divide_up(-before, stride);
    count = (stride - 1 + padding) / stride - low + 1;
  }

  /// The tap of a residue at the index-th offset; none where it is no index of the kernel.
  int64_t tap(int64_t residue, int64_t index) const {
    return residue + padding - stride * (low + index);
  }

  int64_t stride, padding, taps, low, count;
};

struct ResiduePlan {
  explicit ResiduePlan(const Geometry& g)
      : axes{ResidueAxis(g, 0), ResidueAxis(g, 1), ResidueAxis(g, 2)},
        channels(g.large_channels),
        residues(volume(g.stride)),
        inner{.batch = g.batch,
              .groups = 1,
              .large_channels = g.small_channels,
              .small_channels = channels * residues,
              .large = g.small,
              .small = {},
              .kernel = {},
              .stride = {1, 1, 1},
              .padding = {},
              .dilation = {1, 1, 1}} {
    for (int i = 0; i < 3; ++i) {
      inner.small[i] = divide_up(g.large[i], g.stride[i]);
      inner.kernel[i] = axes[i].count;
      inner.padding[i] = -axes[i].low;
    }
  }

  /// Residues of the three dimensions by their number.
  Extent residue(int64_t number) const {
    return {number / axes[2].stride / axes[1].stride, number / axes[2].stride % axes[1].stride,
            number % axes[2].stride};
  }

  std::array<ResidueAxis, 3> axes;
  int64_t channels, residues;
  Geometry inner;  // of the convolution whose channels are [residue][channel]
};

/// The weight of the inner convolution, [residue][channel][source channel][offset].
template <class S>
void spread_weight(const ResiduePlan& plan, const S* weight, const WeightLayout& layout, S* to) {
  const auto& [d, h, w] = plan.axes;
  for (int64_t number = 0; number < plan.residues; ++number) {
    const Extent residue = plan.residue(number);
    for (int64_t channel = 0; channel < plan.channels; ++channel) {
      for (int64_t source = 0; source < plan.inner.large_channels; ++source) {
        const S* const from = weight + source * layout.small + channel * layout.large;
        for (int64_t i = 0; i < d.count; ++i) {
          for (int64_t j = 0; j < h.count; ++j) {
            for (int64_t k = 0; k < w.count; ++k) {
              const int64_t z = d.tap(residue[0], i), y = h.tap(residue[1], j),
                            x = w.tap(residue[2], k);
              const bool exists =
                  z >= 0 && z < d.taps && y >= 0 && y < h.taps && x >= 0 && x < w.taps;
              *to++ = exists ? from[((z * h.taps + y) * w.taps + x) * layout.tap] : S(0);
            }
          }
        }
      }
    }
  }
}

/// The target's rows, each from the rows of its residues.
template <class S>
void interleave(const ResiduePlan& plan, const Geometry& geometry, const S* image, S* target,
                const Layout& layout) {
  const Extent& size = plan.inner.small;
  const int64_t depth = geometry.large[0], height = geometry.large[1], width = geometry.large[2];
  const int64_t stride = plan.axes[2].stride;
  constexpr int64_t elements_worth_a_thread = 32768;
  parallel_for(
      0, geometry.batch * plan.channels * depth * height, elements_worth_a_thread / width + 1,
      [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
          const int64_t y = row % height, z = row / height % depth;
          const int64_t channel = row / height / depth % plan.channels;
          const int64_t batch = row / height / depth / plan.channels;
          const int64_t number =
              (z % plan.axes[0].stride * plan.axes[1].stride + y % plan.axes[1].stride) * stride;
          S* const to = target + batch * layout.batch + channel * layout.channel +
                        z * layout.place[0] + y * layout.place[1];
          for (int64_t residue = 0; residue < std::min(stride, width); ++residue) {
            const int64_t plane =
                (batch * plan.residues + number + residue) * plan.channels + channel;
            const S* const from = image + ((plane * size[0] + z / plan.axes[0].stride) * size[1] +
                                           y / plan.axes[1].stride) *
                                              size[2];
            S* place = to + residue * layout.place[2];
            const int64_t count = divide_up(width - residue, stride);
            for (int64_t x = 0; x < count; ++x, place += stride * layout.place[2]) *place = from[x];
          }
        }
      });
}

}  // namespace

bool is_by_residues(const Geometry& g, bool transposed, int64_t lanes) {
  constexpr double fewest_operations = 1e6;
  if (!transposed || g.groups > 1 || volume(g.stride) == 1 || volume(g.dilation) > 1) return false;
  const ResiduePlan plan(g);
  // Multiplications for a place of the source and a source channel, in all lanes.
  const int64_t own =
      divide_up(plan.inner.small_channels, lanes) * lanes * volume(plan.inner.kernel);
  const int64_t gathered = divide_up(plan.channels, lanes) * lanes * g.kernel_volume();
  const int64_t direct = std::max<int64_t>(plan.channels, 2) * plan.residues * g.kernel_volume();
  return static_cast<double>(own * g.small_channels) *
                 static_cast<double>(g.batch * g.small_volume()) >=
             fewest_operations &&
         5 * own < 4 * std::min(gathered, direct);
}

template <class S>
void convolve_by_residues(const Geometry& geometry, bool, const S* source,
                          const Layout& source_layout, const S* weight,
                          const WeightLayout& weight_layout, const S* bias, S* target,
                          const Layout& target_layout) {
  const ResiduePlan plan(geometry);
  const Geometry& inner = plan.inner;
  const int64_t channels = inner.small_channels, taps = inner.kernel_volume();
  const int64_t places = inner.small_volume(), weights = channels * inner.large_channels * taps;
  const at::Tensor memory = at::empty(
      {weights + channels + geometry.batch * channels * places},
      at::TensorOptions().dtype(c10::CppTypeToScalarType<S>::value).device(at::kPrivateUse1));
  S* const spread = memory.mutable_data_ptr<S>();
  S* const biases = spread + weights;
  S* const image = biases + channels;
  spread_weight(plan, weight, weight_layout, spread);
  for (int64_t i = 0; bias && i < channels; ++i) biases[i] = bias[i % plan.channels];
  convolve<S>(inner, /*transposed=*/false, source, source_layout, spread,
              {inner.large_channels * taps, taps, 1}, bias ? biases : nullptr, image,
              {channels * places, places, {inner.small[1] * inner.small[2], inner.small[2], 1}});
  interleave(plan, geometry, image, target, target_layout);
}

template Convolution<float> convolve_by_residues<float>;
template Convolution<double> convolve_by_residues<double>;
template Convolution<at::Half> convolve_by_residues<at::Half>;
template Convolution<at::BFloat16> convolve_by_residues<at::BFloat16>;

}  // namespace alt::kernels::conv
