// Convolution over one to three dimensions and its derivatives: implicit matrix products, whose
// unfolded input is never stored. Batch x channels x D x H x W, contiguous; missing dimensions have
// size 1. A block computes a tile of one group: blockIdx.x along the columns, y along the rows.
//
//             rows               columns                 summed over
//   forward   output channels    batch, output places    input channels, taps
//   data      input channels     batch, input places     output channels, taps
//   weight    output channels    input channels, taps    batch, output places
#pragma once

#include "loops/product.cuh"

namespace alt::kernels {

namespace conv {
/// At 3 * k + d for dimension d, then single numbers. Channels are those of a group.
enum Integers { kIn = 0, kOut = 3, kKernel = 6, kStride = 9, kPadding = 12, kDilation = 15 };
enum Counts { kBatch = 18, kGroups = 19, kInChannels = 20, kOutChannels = 21 };

struct Shape {
  const int64_t* g;
  ALT_FN explicit Shape(const KernelArgs& a) : g(a.integers) {}
  ALT_FN int64_t volume(int what) const { return g[what] * g[what + 1] * g[what + 2]; }

  /// A place in a box of D x H x W, and back.
  struct Place {
    int64_t at[3];
  };
  ALT_FN Place place(int64_t i, int what) const {
    return {{i / (g[what + 1] * g[what + 2]), i / g[what + 2] % g[what + 1], i % g[what + 2]}};
  }
  /// The input place that a tap of an output place sees, -1 in the padding.
  ALT_FN int64_t seen(Place output, Place tap) const {
    int64_t flat = 0;
    for (int d = 0; d < 3; ++d) {
      const int64_t i =
          output.at[d] * g[kStride + d] - g[kPadding + d] + tap.at[d] * g[kDilation + d];
      if (i < 0 || i >= g[kIn + d]) return -1;
      flat = flat * g[kIn + d] + i;
    }
    return flat;
  }
  /// The output place whose tap sees an input place, -1 where there is none.
  ALT_FN int64_t seer(Place input, Place tap) const {
    int64_t flat = 0;
    for (int d = 0; d < 3; ++d) {
      const int64_t i = input.at[d] + g[kPadding + d] - tap.at[d] * g[kDilation + d];
      if (i < 0 || i % g[kStride + d] != 0 || i / g[kStride + d] >= g[kOut + d]) return -1;
      flat = flat * g[kOut + d] + i / g[kStride + d];
    }
    return flat;
  }
  /// Where a channel of a group and batch begins.
  ALT_FN int64_t plane(int64_t batch, int64_t group, int64_t channel, int channels,
                       int what) const {
    return ((batch * g[kGroups] + group) * g[channels] + channel) * volume(what);
  }
};
}  // namespace conv

/// tensors: output, input, weight, bias or none.
template <class T>
ALT_FN void conv_forward(const KernelArgs& a) {
  using namespace conv;
  using A = opmath_t<T>;
  const Shape s(a);
  const int64_t group = blockIdx.z, taps = s.volume(kKernel), places = s.volume(kOut);
  const int64_t depth = s.g[kInChannels] * taps;
  const T* input = data_of<T>(a.tensors[1]);
  const T* weight = data_of<T>(a.tensors[2]) + group * s.g[kOutChannels] * depth;
  const T* bias = data_of<T>(a.tensors[3]);
  T* output = data_of<T>(a.tensors[0]);
  tiled_product<A>(
      s.g[kOutChannels], s.g[kBatch] * places, depth, blockIdx.y * int64_t(kTile),
      blockIdx.x * int64_t(kTile),
      [&](int64_t row, int64_t k) { return convert<A>(weight[row * depth + k]); },
      [&](int64_t k, int64_t column) {
        const int64_t at = s.seen(s.place(column % places, kOut), s.place(k % taps, kKernel));
        if (at < 0) return A(0);
        const int64_t plane = s.plane(column / places, group, k / taps, kInChannels, kIn);
        return convert<A>(input[plane + at]);
      },
      [&](int64_t row, int64_t column, A sum) {
        if (bias != nullptr) sum += convert<A>(bias[group * s.g[kOutChannels] + row]);
        const int64_t plane = s.plane(column / places, group, row, kOutChannels, kOut);
        output[plane + column % places] = convert<T>(sum);
      });
}

/// tensors: gradient of the input, gradient of the output, weight.
template <class T>
ALT_FN void conv_backward_input(const KernelArgs& a) {
  using namespace conv;
  using A = opmath_t<T>;
  const Shape s(a);
  const int64_t group = blockIdx.z, taps = s.volume(kKernel), places = s.volume(kIn);
  const int64_t per_output = s.g[kInChannels] * taps;
  const T* gradient = data_of<T>(a.tensors[1]);
  const T* weight = data_of<T>(a.tensors[2]) + group * s.g[kOutChannels] * per_output;
  T* result = data_of<T>(a.tensors[0]);
  tiled_product<A>(
      s.g[kInChannels], s.g[kBatch] * places, s.g[kOutChannels] * taps, blockIdx.y * int64_t(kTile),
      blockIdx.x * int64_t(kTile),
      [&](int64_t row, int64_t k) {
        return convert<A>(weight[k / taps * per_output + row * taps + k % taps]);
      },
      [&](int64_t k, int64_t column) {
        const int64_t at = s.seer(s.place(column % places, kIn), s.place(k % taps, kKernel));
        if (at < 0) return A(0);
        const int64_t plane = s.plane(column / places, group, k / taps, kOutChannels, kOut);
        return convert<A>(gradient[plane + at]);
      },
      [&](int64_t row, int64_t column, A sum) {
        const int64_t plane = s.plane(column / places, group, row, kInChannels, kIn);
        result[plane + column % places] = convert<T>(sum);
      });
}

/// tensors: gradient of the weight, gradient of the output, input.
template <class T>
ALT_FN void conv_backward_weight(const KernelArgs& a) {
  using namespace conv;
  using A = opmath_t<T>;
  const Shape s(a);
  const int64_t group = blockIdx.z, taps = s.volume(kKernel), places = s.volume(kOut);
  const int64_t columns = s.g[kInChannels] * taps;
  const T* gradient = data_of<T>(a.tensors[1]);
  const T* input = data_of<T>(a.tensors[2]);
  T* result = data_of<T>(a.tensors[0]) + group * s.g[kOutChannels] * columns;
  tiled_product<A>(
      s.g[kOutChannels], columns, s.g[kBatch] * places, blockIdx.y * int64_t(kTile),
      blockIdx.x * int64_t(kTile),
      [&](int64_t row, int64_t k) {
        const int64_t plane = s.plane(k / places, group, row, kOutChannels, kOut);
        return convert<A>(gradient[plane + k % places]);
      },
      [&](int64_t k, int64_t column) {
        const int64_t at = s.seen(s.place(k % places, kOut), s.place(column % taps, kKernel));
        if (at < 0) return A(0);
        const int64_t plane = s.plane(k / places, group, column / taps, kInChannels, kIn);
        return convert<A>(input[plane + at]);
      },
      [&](int64_t row, int64_t column, A sum) {
        result[row * columns + column] = convert<T>(sum);
      });
}

}  // namespace alt::kernels
