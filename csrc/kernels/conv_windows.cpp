// Building the matrix of windows of an image (im2col) and adding one back (col2im).

#include <c10/util/complex.h>

#include <algorithm>
#include <cstring>

#include "kernels/conv.h"

namespace alt::kernels::conv {
namespace {

/// std::copy for the short runs of small images, where a call of memmove costs more than its work.
template <class T>
void copy_short(const T* from, int64_t count, T* to) {
  constexpr int64_t block = 32 / sizeof(T);
  int64_t i = 0;
  for (; i + block <= count; i += block) {
    std::memcpy(to + i, from + i, 32);
  }
  for (; i < count; ++i) {
    to[i] = from[i];
  }
}

/// What a kernel element sees from `count` places of a row, the first at `row`.
template <class T>
void gather_run(const T* row, int64_t stride, int64_t count, Inside inside, T* out) {
  for (int64_t i = 0; i < inside.first; ++i) {
    out[i] = T(0);
  }
  if (stride == 1) {
    copy_short(row + inside.first, inside.last - inside.first, out + inside.first);
  } else {
    for (int64_t i = inside.first; i < inside.last; ++i) {
      out[i] = row[i * stride];
    }
  }
  for (int64_t i = inside.last; i < count; ++i) {
    out[i] = T(0);
  }
}

template <class T>
void scatter_run(const T* in, int64_t stride, Inside inside, T* row) {
  if (stride == 1) {
    for (int64_t i = inside.first; i < inside.last; ++i) {
      row[i] += in[i];
    }
  } else {
    for (int64_t i = inside.first; i < inside.last; ++i) {
      row[i * stride] += in[i];
    }
  }
}

/// Calls body(d, h, w, count) for the runs that make up the small image's elements [begin, end).
template <class Body>
void for_each_run(const Extent& small, int64_t begin, int64_t end, Body&& body) {
  int64_t w = begin % small[2];
  int64_t h = begin / small[2] % small[1];
  int64_t d = begin / (small[2] * small[1]);
  for (int64_t p = begin; p < end;) {
    const int64_t count = std::min(small[2] - w, end - p);
    body(d, h, w, count);
    p += count;
    w = 0;
    if (++h == small[1]) {
      h = 0;
      ++d;
    }
  }
}

/// Calls body(channel, offset) for each channel and kernel element, in the order of rows.
template <class Body>
void for_each_row(const Geometry& geometry, int64_t channels, Body&& body) {
  for (int64_t c = 0; c < channels; ++c) {
    Extent k;
    for (k[0] = 0; k[0] < geometry.kernel[0]; ++k[0]) {
      for (k[1] = 0; k[1] < geometry.kernel[1]; ++k[1]) {
        for (k[2] = 0; k[2] < geometry.kernel[2]; ++k[2]) {
          Extent offset;
          for (int i = 0; i < 3; ++i) {
            offset[i] = k[i] * geometry.dilation[i] - geometry.padding[i];
          }
          body(c, offset);
        }
      }
    }
  }
}

}  // namespace

bool Geometry::is_pointwise() const {
  return kernel_volume() == 1 && large == small && padding == Extent{0, 0, 0};
}

template <class T>
void gather_windows(const Geometry& g, const T* large, int64_t channels, int64_t begin, int64_t end,
                    T* columns) {
  for_each_row(g, channels, [&](int64_t channel, const Extent& offset) {
    const T* plane = large + channel * g.large_volume();
    const Inside row_inside(offset[2], g.stride[2], g.small[2], g.large[2]);
    for_each_run(g.small, begin, end, [&](int64_t d, int64_t h, int64_t w, int64_t count) {
      const int64_t z = d * g.stride[0] + offset[0];
      const int64_t y = h * g.stride[1] + offset[1];
      if (outside(z, g.large[0]) || outside(y, g.large[1])) {
        std::fill(columns, columns + count, T(0));
      } else {
        const T* row = plane + (z * g.large[1] + y) * g.large[2] + w * g.stride[2] + offset[2];
        gather_run(row, g.stride[2], count, row_inside.part(w, count), columns);
      }
      columns += count;
    });
  });
}

template <class T>
void scatter_windows(const Geometry& g, const T* columns, int64_t channels, T* large) {
  for_each_row(g, channels, [&](int64_t channel, const Extent& offset) {
    T* plane = large + channel * g.large_volume();
    const Inside row_inside(offset[2], g.stride[2], g.small[2], g.large[2]);
    for_each_run(g.small, 0, g.small_volume(), [&](int64_t d, int64_t h, int64_t w, int64_t count) {
      const int64_t z = d * g.stride[0] + offset[0];
      const int64_t y = h * g.stride[1] + offset[1];
      if (!outside(z, g.large[0]) && !outside(y, g.large[1])) {
        T* row = plane + (z * g.large[1] + y) * g.large[2] + w * g.stride[2] + offset[2];
        scatter_run(columns, g.stride[2], row_inside.part(w, count), row);
      }
      columns += count;
    });
  });
}

#define INSTANTIATE_GATHER(T) \
  template void gather_windows<T>(const Geometry&, const T*, int64_t, int64_t, int64_t, T*);
#define INSTANTIATE_SCATTER(T) \
  template void scatter_windows<T>(const Geometry&, const T*, int64_t, T*);
#define INSTANTIATE(T)  \
  INSTANTIATE_GATHER(T) \
  INSTANTIATE_SCATTER(T)
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(uint8_t)
INSTANTIATE(int8_t)
INSTANTIATE(int16_t)
INSTANTIATE(int32_t)
INSTANTIATE(int64_t)
INSTANTIATE(c10::complex<double>)
// im2col only moves elements, by their size; col2im adds complex numbers too.
INSTANTIATE_GATHER(uint16_t)
INSTANTIATE_GATHER(uint32_t)
INSTANTIATE_GATHER(uint64_t)
INSTANTIATE_SCATTER(c10::complex<float>)
#undef INSTANTIATE
#undef INSTANTIATE_GATHER
#undef INSTANTIATE_SCATTER

}  // namespace alt::kernels::conv
