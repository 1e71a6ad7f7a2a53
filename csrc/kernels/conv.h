// Convolution in terms of two images: the large one, over which the window slides, and the small
// one, with an element for each place of the window.
//
//                          large         small
//   convolution            input         output
//   transposed             output        input
//
// so that convolution, its transpose and their gradients are three loops. A weight is
// [small channels, large channels / groups, kernel] in each of them. Images are [batch, channels,
// depth, height, width], contiguous; absent dimensions have size 1.
#pragma once

#include <cstdint>

#include "kernels/window.h"
#include "runtime/rounding.h"
#include "runtime/thread_pool.h"

namespace alt::kernels::conv {

/// unit(index) for each of `count` units of so many operations, as many in a task as are worth a
/// thread.
template <class Unit>
void for_units(int64_t count, double operations, Unit&& unit) {
  constexpr double worth_a_thread = 1e6;
  const auto grain = static_cast<int64_t>(worth_a_thread / (operations + 1)) + 1;
  parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) unit(index);
  });
}

struct Geometry {
  int64_t batch;
  int64_t groups;
  int64_t large_channels;
  int64_t small_channels;
  Extent large;
  Extent small;
  Extent kernel;
  Extent stride;
  Extent padding;
  Extent dilation;

  int64_t large_volume() const { return volume(large); }
  int64_t small_volume() const { return volume(small); }
  int64_t kernel_volume() const { return volume(kernel); }
  int64_t large_channels_a_group() const { return large_channels / groups; }
  int64_t small_channels_a_group() const { return small_channels / groups; }
  /// Of the image that is read, the large one unless transposed, and of the one that is written.
  int64_t source_channels_a_group(bool transposed) const {
    return transposed ? small_channels_a_group() : large_channels_a_group();
  }
  int64_t target_channels_a_group(bool transposed) const {
    return source_channels_a_group(!transposed);
  }
  /// Whether every window is one element of the large image, in order: then no columns are built.
  bool is_pointwise() const;
};

/// Strides of an image, in elements.
struct Layout {
  int64_t batch, channel;
  Extent place;

  bool is_channels_last() const { return channel == 1; }
};

/// Strides of a weight [small channels, large channels a group, taps].
struct WeightLayout {
  int64_t small, large, tap;
};

/// Rows [row, row + count) of a packed weight.
struct Run {
  int64_t row, count;
};

/// What the convolutions below are, and the gradients of a weight, each of which its file
/// instantiates.
template <class S>
using Convolution = void(const Geometry&, bool transposed, const S* source, const Layout&,
                         const S* weight, const WeightLayout&, const S* bias, S* target,
                         const Layout&);
template <class S>
using WeightGradient = void(const Geometry&, const S* large, const Layout&, const S* small,
                            const Layout&, S* weight, const WeightLayout&);

/// Convolution of a floating or half type on the matrix core (conv_gemm.cpp), or for the transposed
/// direction its transpose: target = source and weight convolved, plus bias (may be null). The
/// source has planes or pixels that are contiguous along one of place[2] and channel; the target is
/// contiguous or channels_last.
template <class S>
void convolve(const Geometry& geometry, bool transposed, const S* source,
              const Layout& source_layout, const S* weight, const WeightLayout& weight_layout,
              const S* bias, S* target, const Layout& target_layout);

/// The gradient of the weight, [small channels, large channels a group, taps]: small times the
/// windows of large, summed over places and batch in an order that threads do not change. The
/// places of small are a range in memory: it is contiguous or channels_last.
template <class S>
void convolve_to_weight(const Geometry& geometry, const S* large, const Layout& large_layout,
                        const S* small, const Layout& small_layout, S* weight,
                        const WeightLayout& weight_layout);

/// Whether they are better done by Winograd's transform (conv_winograd.h).
bool is_winograd(const Geometry& geometry, bool transposed);
bool is_winograd_to_weight(const Geometry& geometry);

/// The same then, of float.
template <class S>
void convolve_winograd(const Geometry& geometry, bool transposed, const S* source,
                       const Layout& source_layout, const S* weight,
                       const WeightLayout& weight_layout, const S* bias, S* target,
                       const Layout& target_layout);

template <class S>
void convolve_to_weight_winograd(const Geometry& geometry, const S* large,
                                 const Layout& large_layout, const S* small,
                                 const Layout& small_layout, S* weight,
                                 const WeightLayout& weight_layout);

/// Whether it is better done with places as lanes (conv_direct.cpp), of which a vector has `lanes`.
bool is_direct(const Geometry& geometry, bool transposed, int64_t lanes);

/// The same then. Images have contiguous rows.
template <class S>
void convolve_direct(const Geometry& geometry, bool transposed, const S* source,
                     const Layout& source_layout, const S* weight,
                     const WeightLayout& weight_layout, const S* bias, S* target,
                     const Layout& target_layout);

template <class S>
void convolve_to_weight_direct(const Geometry& geometry, const S* large, const Layout& large_layout,
                               const S* small, const Layout& small_layout, S* weight,
                               const WeightLayout& weight_layout);

/// Whether it is better done with images as lanes (conv_images.cpp), of which a vector has `lanes`.
bool is_by_images(const Geometry& geometry, bool transposed, int64_t lanes);

/// The same then. Images are contiguous.
template <class S>
void convolve_by_images(const Geometry& geometry, bool transposed, const S* source,
                        const Layout& source_layout, const S* weight,
                        const WeightLayout& weight_layout, const S* bias, S* target,
                        const Layout& target_layout);

/// Whether a transposed convolution is better done with residues of its stride as channels
/// (conv_residues.cpp).
bool is_by_residues(const Geometry& geometry, bool transposed, int64_t lanes);

/// The same then. Images are as `convolve` wants them.
template <class S>
void convolve_by_residues(const Geometry& geometry, bool transposed, const S* source,
                          const Layout& source_layout, const S* weight,
                          const WeightLayout& weight_layout, const S* bias, S* target,
                          const Layout& target_layout);

/// Columns [begin, end) of the matrix of windows, one row for each of `channels` channels and each
/// kernel element: columns[row * (end - begin) + p - begin] = what the kernel element sees at p.
template <class T>
void gather_windows(const Geometry& geometry, const T* large, int64_t channels, int64_t begin,
                    int64_t end, T* columns);

/// The transpose: adds the columns of all windows into `channels` channels of the large image.
template <class T>
void scatter_windows(const Geometry& geometry, const T* columns, int64_t channels, T* large);

/// Of integers: small = windows of large, times weight, plus bias (may be null).
template <class T>
void to_small(const Geometry& geometry, const T* large, const T* weight, const T* bias, T* small);

/// large = the windows that small times weight spreads out, summed, plus bias (may be null).
template <class T>
void to_large(const Geometry& geometry, const T* small, const T* weight, const T* bias, T* large);

/// bias_gradient[c] = sum of channel c of [batch, channels, volume].
template <class T>
void sum_channels(int64_t batch, int64_t channels, int64_t volume, const T* image,
                  T* bias_gradient);

}  // namespace alt::kernels::conv
