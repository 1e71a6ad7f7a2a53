// grid_sample in two and three dimensions, every mode and padding, and its gradients.
//
// As on the host, interpolation is separable: along each dimension a point looks at one, two or
// four places, whose weights' products are the weights of places in the image. A thread has a
// point, finds where it looks, and goes through the channels: neighbours read and write neighbours
// in each. The image's gradient is added to by atomics. Tensors are contiguous: images batch x
// channels x depth x height x width, points batch x points x dimensions, x first; two dimensions
// are three with a depth of 1.
#pragma once

#include "kernels/index.cuh"
#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace grid {
enum Integers { kDimensions, kBatch, kChannels, kPoints, kExtent, kMode = 7, kPadding, kAligned };
enum Modes { kLinear, kNearest, kCubic };
enum Paddings { kZeros, kBorder, kReflection };
constexpr int64_t kOutside = -1;

/// Where a coordinate looks along its dimension: places, weights and the weights' derivatives.
template <class T>
struct Looks {
  int count;
  int64_t place[4];
  T weight[4], slope[4];

  /// `x` is a whole number; NaN looks at the first place, whose weight is then NaN.
  ALT_FN void add(T x, int64_t size, T w, T s) {
    const bool outside = x < T(0) || x > static_cast<T>(size - 1);
    place[count] = outside ? kOutside : is_nan(x) ? 0 : static_cast<int64_t>(x);
    weight[count] = w;
    slope[count] = s;
    ++count;
  }
};

/// A coordinate from [-1, 1] to places, and its derivative.
template <class T>
ALT_FN T scaled(T x, int64_t size, bool aligned, T* slope) {
  if (aligned) {
    *slope = static_cast<T>(size - 1) / T(2);
    return (x + T(1)) / T(2) * static_cast<T>(size - 1);
  }
  *slope = static_cast<T>(size) / T(2);
  return ((x + T(1)) * static_cast<T>(size) - T(1)) / T(2);
}

/// Into the image by reflection at its borders: from them, or half a place beside them.
template <class T>
ALT_FN T reflected(T x, int64_t size, bool aligned, T* slope) {
  const T low = aligned ? T(0) : T(-0.5);
  const T span = static_cast<T>(aligned ? size - 1 : size);
  if (span == T(0)) {
    *slope = T(0);
    return T(0);
  }
  const T away = x - low, distance = math::abs(away);
  const T extra = math::fmod(distance, span);
  const bool back = math::fmod(math::floor(distance / span), T(2)) != T(0);
  *slope = (away < T(0)) != back ? T(-1) : T(1);
  return (back ? span - extra : extra) + low;
}

/// Borders count as outside, so that there is no derivative at them.
template <class T>
ALT_FN T clipped(T x, int64_t size, T* slope) {
  const T last = static_cast<T>(size - 1);
  *slope = x <= T(0) || x >= last ? T(0) : T(1);
  return x <= T(0) ? T(0) : x >= last ? last : x;
}

/// What the padding makes of a coordinate that may be outside.
template <class T>
ALT_FN T padded(T x, int64_t size, int64_t padding, bool aligned, T* slope) {
  T factor(1);
  if (padding == kReflection) {
    x = reflected(x, size, aligned, &factor);
    *slope *= factor;
  }
  if (padding != kZeros) {
    x = clipped(x, size, &factor);
    *slope *= factor;
  }
  return x;
}

/// Keys' cubic convolution with a = -3/4: weights of the four places around, `t` after the second,
/// and their derivatives.
template <class T>
ALT_FN void cubic(T t, T (&weight)[4], T (&slope)[4]) {
  const T a(-0.75);
  for (int i = 0; i < 4; ++i) {
    const T x = math::abs(t + T(1 - i)), sign = t + T(1 - i) < T(0) ? T(-1) : T(1);
    if (i == 1 || i == 2) {
      weight[i] = ((a + T(2)) * x - (a + T(3))) * x * x + T(1);
      slope[i] = sign * (T(3) * (a + T(2)) * x - T(2) * (a + T(3))) * x;
    } else {
      weight[i] = ((a * x - T(5) * a) * x + T(8) * a) * x - T(4) * a;
      slope[i] = sign * ((T(3) * a * x - T(10) * a) * x + T(8) * a);
    }
  }
}

template <class T>
ALT_FN Looks<T> look(T coordinate, int64_t size, const int64_t* g) {
  const bool aligned = g[kAligned] != 0;
  Looks<T> looks;
  looks.count = 0;
  T scale(0);
  T x = scaled(coordinate, size, aligned, &scale);
  if (g[kMode] == kCubic) {
    T weight[4], slope[4], unused(0);
    const T first = math::floor(x) - T(1);
    cubic(x - math::floor(x), weight, slope);
    for (int i = 0; i < 4; ++i) {
      const T place = padded(first + static_cast<T>(i), size, g[kPadding], aligned, &unused);
      looks.add(math::trunc(place), size, weight[i], slope[i] * scale);
    }
    return looks;
  }
  x = padded(x, size, g[kPadding], aligned, &scale);
  if (is_nan(coordinate) && g[kPadding] != kZeros) x = T(0);
  if (g[kMode] == kNearest) {
    looks.add(is_nan(x) ? T(kOutside) : math::rint(x), size, T(1), T(0));
  } else {
    const T below = math::floor(x), above = below + T(1);
    looks.add(below, size, above - x, -scale);
    looks.add(above, size, x - below, scale);
  }
  return looks;
}

/// Where a point looks; dimensions are depth, height and width.
template <class T>
struct Point {
  Looks<T> looks[3];

  ALT_FN Point(const int64_t* g, const T* coordinates) {
    for (int d = 0; d < 3; ++d) {
      if (2 - d < g[kDimensions]) {
        looks[d] = look(coordinates[2 - d], g[kExtent + d], g);
      } else {
        looks[d].count = 0;
        looks[d].add(T(0), 1, T(1), T(0));
      }
    }
  }

  /// body(offset in a plane, weight, derivatives by x, y and z) for each place inside.
  template <class Body>
  ALT_FN void each(const int64_t* g, Body&& body) const {
    const Looks<T>&depth = looks[0], &height = looks[1], &width = looks[2];
    for (int z = 0; z < depth.count; ++z) {
      for (int y = 0; y < height.count; ++y) {
        for (int x = 0; x < width.count; ++x) {
          if (depth.place[z] < 0 || height.place[y] < 0 || width.place[x] < 0) continue;
          const int64_t at =
              (depth.place[z] * g[kExtent + 1] + height.place[y]) * g[kExtent + 2] + width.place[x];
          const T slopes[3] = {depth.weight[z] * height.weight[y] * width.slope[x],
                               depth.weight[z] * height.slope[y] * width.weight[x],
                               depth.slope[z] * height.weight[y] * width.weight[x]};
          body(at, depth.weight[z] * height.weight[y] * width.weight[x], slopes);
        }
      }
    }
  }
};

/// body(point's number, where it looks) for the points of this thread.
template <class T, class Body>
ALT_FN void for_points(const int64_t* g, const TensorArgs& points, Body&& body) {
  for (int64_t i = first_index(); i < g[kBatch] * g[kPoints]; i += grid_step()) {
    body(i, Point<T>(g, data_of<T>(points) + i * g[kDimensions]));
  }
}

/// body(where the channel's plane begins in the image, where the point is in the output) for the
/// channels of a point.
template <class Body>
ALT_FN void for_channels(const int64_t* g, int64_t point, Body&& body) {
  const int64_t plane = g[kExtent] * g[kExtent + 1] * g[kExtent + 2];
  const int64_t points = g[kPoints], first = point / points * g[kChannels];
  for (int64_t c = first; c < first + g[kChannels]; ++c) {
    body(c * plane, c * points + point % points);
  }
}
}  // namespace grid

/// tensors: output (batch x channels x points), image, points.
template <class T>
ALT_FN void grid_sample(const KernelArgs& a) {
  const int64_t* g = a.integers;
  grid::for_points<T>(g, a.tensors[2], [&](int64_t i, const grid::Point<T>& point) {
    grid::for_channels(g, i, [&](int64_t plane, int64_t to) {
      const T* image = data_of<T>(a.tensors[1]) + plane;
      T sum(0);
      point.each(g, [&](int64_t at, T weight, const T*) { sum += image[at] * weight; });
      data_of<T>(a.tensors[0])[to] = sum;
    });
  });
}

/// tensors: gradient of the image (zeroed), of the output, points.
template <class T>
ALT_FN void grid_sample_backward_image(const KernelArgs& a) {
  const int64_t* g = a.integers;
  grid::for_points<T>(g, a.tensors[2], [&](int64_t i, const grid::Point<T>& point) {
    grid::for_channels(g, i, [&](int64_t plane, int64_t from) {
      T* image = data_of<T>(a.tensors[0]) + plane;
      const T gradient = data_of<T>(a.tensors[1])[from];
      point.each(g, [&](int64_t at, T weight, const T*) {
        index::atomic_add(image + at, gradient * weight);
      });
    });
  });
}

/// tensors: gradient of the points, of the output, image, points.
template <class T>
ALT_FN void grid_sample_backward_points(const KernelArgs& a) {
  const int64_t* g = a.integers;
  grid::for_points<T>(g, a.tensors[3], [&](int64_t i, const grid::Point<T>& point) {
    T sum[3] = {T(0), T(0), T(0)};
    grid::for_channels(g, i, [&](int64_t plane, int64_t from) {
      const T* image = data_of<T>(a.tensors[2]) + plane;
      const T gradient = data_of<T>(a.tensors[1])[from];
      point.each(g, [&](int64_t at, T, const T* slopes) {
        for (int d = 0; d < 3; ++d) sum[d] += gradient * image[at] * slopes[d];
      });
    });
    for (int64_t d = 0; d < g[grid::kDimensions]; ++d) {
      data_of<T>(a.tensors[0])[i * g[grid::kDimensions] + d] = sum[d];
    }
  });
}

}  // namespace alt::kernels
