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

namespace alt::kernels::conv {

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
  /// Whether every window is one element of the large image, in order: then no columns are built.
  bool is_pointwise() const;
};

/// Columns [begin, end) of the matrix of windows, one row for each of `channels` channels and each
/// kernel element: columns[row * (end - begin) + p - begin] = what the kernel element sees at p.
template <class T>
void gather_windows(const Geometry& geometry, const T* large, int64_t channels, int64_t begin,
                    int64_t end, T* columns);

/// The transpose: adds the columns of all windows into `channels` channels of the large image.
template <class T>
void scatter_windows(const Geometry& geometry, const T* columns, int64_t channels, T* large);

/// small = windows of large, times weight, plus bias (may be null).
template <class T>
void to_small(const Geometry& geometry, const T* large, const T* weight, const T* bias, T* small);

/// large = the windows that small times weight spreads out, summed, plus bias (may be null).
template <class T>
void to_large(const Geometry& geometry, const T* small, const T* weight, const T* bias, T* large);

/// weight_gradient = small times the windows of large, summed over the batch, in an order that does
/// not depend on the threads.
template <class T>
void to_weight(const Geometry& geometry, const T* large, const T* small, T* weight_gradient);

/// bias_gradient[c] = sum of channel c of [batch, channels, volume].
template <class T>
void sum_channels(int64_t batch, int64_t channels, int64_t volume, const T* image,
                  T* bias_gradient);

}  // namespace alt::kernels::conv
