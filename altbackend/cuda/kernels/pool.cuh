// Max and average pooling over one to three dimensions, plain and adaptive.
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

/// The first of the largest elements met, or the last of several NaNs, and its place; -1 before.
template <class A>
struct Largest {
  A value = -std::numeric_limits<A>::infinity();
  int64_t place = -1;
  ALT_FN void meet(A met, int64_t at) {
    if (place < 0 || met > value || is_nan(met)) {
      value = met;
      place = at;
    }
  }
};

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
    Largest<A> largest;
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
          largest.meet(convert<A>(from[at]), at);
        }
      }
    }
    data_of<int64_t>(a.tensors[1])[i] = largest.place;
    return largest.value;
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
    const auto over = static_cast<A>(divisor(g, p.z, p.y, p.x));
    return over == A(0) ? A(0) : sum / over;  // a window that only padding is in
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
/// The window of an adaptive pooling's output: from floor(o in / out) to ceil((o + 1) in / out).
struct Window {
  int64_t begin[3], end[3];

  ALT_FN Window(const Geometry& g, int64_t z, int64_t y, int64_t x) {
    const int64_t at[3] = {z, y, x};
    for (int d = 0; d < 3; ++d) {
      const int64_t in = g(kIn, d), out = g(kOut, d);
      begin[d] = at[d] * in / out;
      end[d] = ((at[d] + 1) * in + out - 1) / out;
    }
  }
  ALT_FN int64_t size() const {
    return (end[0] - begin[0]) * (end[1] - begin[1]) * (end[2] - begin[2]);
  }
};

/// body(place in the input's plane) for the elements of a window, in order.
template <class Body>
ALT_FN void for_elements(const Geometry& g, const Window& w, Body&& body) {
  for (int64_t z = w.begin[0]; z < w.end[0]; ++z) {
    for (int64_t y = w.begin[1]; y < w.end[1]; ++y) {
      for (int64_t x = w.begin[2]; x < w.end[2]; ++x) body((z * g(kIn, 1) + y) * g(kIn, 2) + x);
    }
  }
}
}  // namespace pool

/// tensors: output, input.
template <class T>
ALT_FN void adaptive_average_pool(const KernelArgs& a) {
  using namespace pool;
  using A = opmath_t<T>;
  const Geometry g(a);
  for_places<T>(a, kOut, [&](const Place& p, int64_t) {
    const T* from = data_of<T>(a.tensors[1]) + p.plane * g.in_size();
    const Window window(g, p.z, p.y, p.x);
    A sum(0);
    for_elements(g, window, [&](int64_t at) { sum += convert<A>(from[at]); });
    return sum / static_cast<A>(window.size());
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
    const int64_t at[3] = {p.z, p.y, p.x};
    int64_t first[3], last[3];
    // The windows that hold the element: those that end behind it and do not begin behind it.
    for (int d = 0; d < 3; ++d) {
      const int64_t in = g(kIn, d), out = g(kOut, d);
      first[d] = at[d] * out / in;
      last[d] = earlier(((at[d] + 1) * out + in - 1) / in, out);
    }
    A sum(0);
    for (int64_t z = first[0]; z < last[0]; ++z) {
      for (int64_t y = first[1]; y < last[1]; ++y) {
        for (int64_t x = first[2]; x < last[2]; ++x) {
          const Window window(g, z, y, x);
          sum += convert<A>(gradient[(z * g(kOut, 1) + y) * g(kOut, 2) + x]) /
                 static_cast<A>(window.size());
        }
      }
    }
    return sum;
  });
}

/// tensors: output, places (int64, in the plane), input.
template <class T>
ALT_FN void adaptive_max_pool(const KernelArgs& a) {
  using namespace pool;
  using A = opmath_t<T>;
  const Geometry g(a);
  for_places<T>(a, kOut, [&](const Place& p, int64_t i) {
    const T* from = data_of<T>(a.tensors[2]) + p.plane * g.in_size();
    Largest<A> largest;
    for_elements(g, Window(g, p.z, p.y, p.x),
                 [&](int64_t at) { largest.meet(convert<A>(from[at]), at); });
    data_of<int64_t>(a.tensors[1])[i] = largest.place;
    return largest.value;
  });
}

}  // namespace alt::kernels
