// Max and average pooling over one to three dimensions, and adaptive average pooling.
//
// Planes (batch x channels) of D x H x W, contiguous; missing dimensions have size 1. The
// backward passes walk the windows that hold an element instead of adding by atomics, so that
// they give the same bits on every run. integers: Geometry below.
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace pool {
/// One a dimension, at 3 * k + d: sizes of input and output, and of the windows.
enum Integers { kIn = 0, kOut = 3, kKernel = 6, kStride = 9, kPadding = 12, kDilation = 15 };
enum Flags { kPlanes = 18, kCountPadding = 19, kDivisor = 20 };

struct Geometry {
  const int64_t* g;
  ALT_FN explicit Geometry(const KernelArgs& a) : g(a.integers) {}
  ALT_FN int64_t operator()(int what, int d) const { return g[what + d]; }
  ALT_FN int64_t in_size() const { return g[kIn] * g[kIn + 1] * g[kIn + 2]; }
  ALT_FN int64_t out_size() const { return g[kOut] * g[kOut + 1] * g[kOut + 2]; }
  /// Where window `o` begins in dimension d; it may lie in the padding.
  ALT_FN int64_t begin(int64_t o, int d) const { return o * g[kStride + d] - g[kPadding + d]; }
  /// The first window that reaches element i, and one behind the last.
  ALT_FN int64_t first_window(int64_t i, int d) const {
    const int64_t reach = i + g[kPadding + d] - (g[kKernel + d] - 1) * g[kDilation + d];
    return reach <= 0 ? 0 : (reach + g[kStride + d] - 1) / g[kStride + d];
  }
  ALT_FN int64_t last_window(int64_t i, int d) const {
    const int64_t last = (i + g[kPadding + d]) / g[kStride + d] + 1;
    return last < g[kOut + d] ? last : g[kOut + d];
  }
};

struct Place {
  int64_t plane, z, y, x;
  ALT_FN Place(int64_t i, const int64_t* sizes)
      : plane(i / (sizes[0] * sizes[1] * sizes[2])),
        z(i / (sizes[1] * sizes[2]) % sizes[0]),
        y(i / sizes[2] % sizes[1]),
        x(i % sizes[2]) {}
};

ALT_FN int64_t later(int64_t a, int64_t b) {
  return a > b ? a : b;
}
ALT_FN int64_t earlier(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/// The first tensor at i becomes of(place, i), for all places of the planes of `what`, kIn or kOut.
template <class T, class Of>
ALT_FN void for_places(const KernelArgs& a, int what, Of&& of) {
  const int64_t* sizes = a.integers + what;
  const int64_t n = a.integers[kPlanes] * sizes[0] * sizes[1] * sizes[2];
  for (int64_t i = first_index(); i < n; i += grid_step()) {
    data_of<T>(a.tensors[0])[i] = convert<T>(of(Place(i, sizes), i));
  }
}

/// body(place in the output's plane, z, y, x) for all windows that hold an element.
template <class Body>
ALT_FN void for_windows(const Geometry& g, const Place& p, Body&& body) {
  for (int64_t z = g.first_window(p.z, 0); z < g.last_window(p.z, 0); ++z) {
    for (int64_t y = g.first_window(p.y, 1); y < g.last_window(p.y, 1); ++y) {
      for (int64_t x = g.first_window(p.x, 2); x < g.last_window(p.x, 2); ++x) {
        body((z * g(kOut, 1) + y) * g(kOut, 2) + x, z, y, x);
      }
    }
  }
}
}  // namespace pool

/// tensors: output, places (int64, in the plane), input.
template <class T>
ALT_FN void max_pool(const KernelArgs& a) {
  using namespace pool;
  using A = opmath_t<T>;
  const Geometry g(a);
  for_places<T>(a, kOut, [&](const Place& p, int64_t i) {
    const T* from = data_of<T>(a.tensors[2]) + p.plane * g.in_size();
    A best = -std::numeric_limits<A>::infinity();
    int64_t where = -1;
    for (int64_t dz = 0; dz < g(kKernel, 0); ++dz) {
      const int64_t z = g.begin(p.z, 0) + dz * g(kDilation, 0);
      if (z < 0 || z >= g(kIn, 0)) continue;
      for (int64_t dy = 0; dy < g(kKernel, 1); ++dy) {
        const int64_t y = g.begin(p.y, 1) + dy * g(kDilation, 1);
        if (y < 0 || y >= g(kIn, 1)) continue;
        for (int64_t dx = 0; dx < g(kKernel, 2); ++dx) {
          const int64_t x = g.begin(p.x, 2) + dx * g(kDilation, 2);
          if (x < 0 || x >= g(kIn, 2)) continue;
          const int64_t at = (z * g(kIn, 1) + y) * g(kIn, 2) + x;
          const A value = convert<A>(from[at]);
          if (where < 0 || value > best || is_nan(value)) {
            best = value;
            where = at;
          }
        }
      }
    }
    data_of<int64_t>(a.tensors[1])[i] = where;
    return best;
  });
}

/// tensors: gradient of the input, gradient of the output, places.
template <class T>
ALT_FN void max_pool_backward(const KernelArgs& a) {
  using namespace pool;
  using A = opmath_t<T>;
  const Geometry g(a);
  for_places<T>(a, kIn, [&](const Place& p, int64_t i) {
    const int64_t self = i - p.plane * g.in_size();
    const T* gradient = data_of<T>(a.tensors[1]) + p.plane * g.out_size();
    const int64_t* places = data_of<int64_t>(a.tensors[2]) + p.plane * g.out_size();
    A sum(0);
    for_windows(g, p, [&](int64_t at, int64_t, int64_t, int64_t) {
      if (places[at] == self) sum += convert<A>(gradient[at]);
    });
    return sum;
  });
}

namespace pool {
/// What an average's sum is divided by: kDivisor where it is given, or the window's elements, with
/// those in the padding or without.
ALT_FN int64_t divisor(const Geometry& g, int64_t z, int64_t y, int64_t x) {
  if (g.g[kDivisor] != 0) return g.g[kDivisor];
  const int64_t o[3] = {z, y, x};
  int64_t count = 1;
  for (int d = 0; d < 3; ++d) {
    const int64_t begin = g.begin(o[d], d);
    // The last window may stick out of the padding too.
    const int64_t end = earlier(begin + g(kKernel, d), g(kIn, d) + g(kPadding, d));
    count *= g.g[kCountPadding] != 0 ? end - begin : earlier(end, g(kIn, d)) - later(begin, 0);
  }
  return count;
}
}  // namespace pool

/// tensors: output, input.
template <class T>
ALT_FN void average_pool(const KernelArgs& a) {
  using namespace pool;
  using A = opmath_t<T>;
  const Geometry g(a);
  for_places<T>(a, kOut, [&](const Place& p, int64_t) {
    const T* from = data_of<T>(a.tensors[1]) + p.plane * g.in_size();
    const int64_t z0 = g.begin(p.z, 0), y0 = g.begin(p.y, 1), x0 = g.begin(p.x, 2);
    A sum(0);
    for (int64_t z = later(z0, 0); z < earlier(z0 + g(kKernel, 0), g(kIn, 0)); ++z) {
      for (int64_t y = later(y0, 0); y < earlier(y0 + g(kKernel, 1), g(kIn, 1)); ++y) {
        for (int64_t x = later(x0, 0); x < earlier(x0 + g(kKernel, 2), g(kIn, 2)); ++x) {
          sum += convert<A>(from[(z * g(kIn, 1) + y) * g(kIn, 2) + x]);
        }
      }
    }
    return sum / static_cast<A>(divisor(g, p.z, p.y, p.x));
  });
}

/// tensors: gradient of the input, gradient of the output.
template <class T>
ALT_FN void average_pool_backward(const KernelArgs& a) {
  using namespace pool;
  using A = opmath_t<T>;
  const Geometry g(a);
  for_places<T>(a, kIn, [&](const Place& p, int64_t) {
    const T* gradient = data_of<T>(a.tensors[1]) + p.plane * g.out_size();
    A sum(0);
    for_windows(g, p, [&](int64_t at, int64_t z, int64_t y, int64_t x) {
      sum += convert<A>(gradient[at]) / static_cast<A>(divisor(g, z, y, x));
    });
    return sum;
  });
}

namespace pool {
/// Window `o` of an adaptive pooling: from floor(o in / out) to ceil((o + 1) in / out).
ALT_FN int64_t adaptive_begin(int64_t o, int64_t in, int64_t out) {
  return o * in / out;
}
ALT_FN int64_t adaptive_end(int64_t o, int64_t in, int64_t out) {
  return ((o + 1) * in + out - 1) / out;
}
}  // namespace pool

/// Over the last two dimensions. tensors: output, input.
template <class T>
ALT_FN void adaptive_average_pool(const KernelArgs& a) {
  using namespace pool;
  using A = opmath_t<T>;
  const Geometry g(a);
  for_places<T>(a, kOut, [&](const Place& p, int64_t) {
    const T* from = data_of<T>(a.tensors[1]) + p.plane * g.in_size();
    const int64_t y0 = adaptive_begin(p.y, g(kIn, 1), g(kOut, 1));
    const int64_t y1 = adaptive_end(p.y, g(kIn, 1), g(kOut, 1));
    const int64_t x0 = adaptive_begin(p.x, g(kIn, 2), g(kOut, 2));
    const int64_t x1 = adaptive_end(p.x, g(kIn, 2), g(kOut, 2));
    A sum(0);
    for (int64_t y = y0; y < y1; ++y) {
      for (int64_t x = x0; x < x1; ++x) sum += convert<A>(from[y * g(kIn, 2) + x]);
    }
    return sum / static_cast<A>((y1 - y0) * (x1 - x0));
  });
}

/// tensors: gradient of the input, gradient of the output.
template <class T>
ALT_FN void adaptive_average_pool_backward(const KernelArgs& a) {
  using namespace pool;
  using A = opmath_t<T>;
  const Geometry g(a);
  for_places<T>(a, kIn, [&](const Place& p, int64_t) {
    const T* gradient = data_of<T>(a.tensors[1]) + p.plane * g.out_size();
    const int64_t in_y = g(kIn, 1), in_x = g(kIn, 2), out_y = g(kOut, 1), out_x = g(kOut, 2);
    A sum(0);
    // Windows overlap by less than one: the search begins where the element would be scaled to.
    for (int64_t y = p.y * out_y / in_y; y < out_y && adaptive_begin(y, in_y, out_y) <= p.y; ++y) {
      const int64_t y0 = adaptive_begin(y, in_y, out_y), y1 = adaptive_end(y, in_y, out_y);
      if (y1 <= p.y) continue;
      for (int64_t x = p.x * out_x / in_x; x < out_x && adaptive_begin(x, in_x, out_x) <= p.x;
           ++x) {
        const int64_t x0 = adaptive_begin(x, in_x, out_x), x1 = adaptive_end(x, in_x, out_x);
        if (x1 <= p.x) continue;
        sum += convert<A>(gradient[y * out_x + x]) / static_cast<A>((y1 - y0) * (x1 - x0));
      }
    }
    return sum;
  });
}

}  // namespace alt::kernels
