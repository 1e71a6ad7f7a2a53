// The windows of an image as columns of a matrix, and the columns added back: a thread an element
// of the result. Images and columns are contiguous, and every channel an image of its own.
#pragma once

#include "kernels/conv.cuh"

namespace alt::kernels {

/// tensors: columns (taps x places an image), images.
template <class T>
ALT_FN void im2col(const KernelArgs& a) {
  using namespace conv;
  const Shape s(a);
  const int64_t taps = s.volume(kKernel), places = s.volume(kOut);
  for (int64_t i = first_index(); i < s.g[kBatch] * taps * places; i += grid_step()) {
    const int64_t at = s.seen(s.place(i % places, kOut), s.place(i / places % taps, kKernel));
    const T* image = data_of<T>(a.tensors[1]) + i / (places * taps) * s.volume(kIn);
    data_of<T>(a.tensors[0])[i] = at < 0 ? T() : image[at];
  }
}

/// tensors: images, columns.
template <class T>
ALT_FN void col2im(const KernelArgs& a) {
  using namespace conv;
  const Shape s(a);
  const int64_t taps = s.volume(kKernel), places = s.volume(kOut), size = s.volume(kIn);
  for (int64_t i = first_index(); i < s.g[kBatch] * size; i += grid_step()) {
    const T* columns = data_of<T>(a.tensors[1]) + i / size * taps * places;
    T sum(0);
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t at = s.seer(s.place(i % size, kIn), s.place(tap, kKernel));
      if (at >= 0) sum += columns[tap * places + at];
    }
    data_of<T>(a.tensors[0])[i] = sum;
  }
}

}  // namespace alt::kernels
