// What softmax and the losses made of it share.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/norm_lanes.h"

namespace alt::kernels {

/// Columns that keep their maxima and sums in the first-level cache while `dim` is walked.
inline constexpr int64_t kSoftmaxColumns = 128;

/// The larger number, which need not be NaN where one is: the sum of exponentials will be.
template <class A>
Vec<A> larger(const Vec<A>& a, const Vec<A>& b) {
  return select(a > b, a, b);
}
template <class A>
A largest(const Vec<A>& x) {
  return fold_lanes(x, larger<A>);
}

/// Of n adjacent elements.
template <class T>
opmath_t<T> largest_of_row(const T* x, int64_t n) {
  using A = opmath_t<T>;
  using V = Vec<A>;
  constexpr A lowest = -std::numeric_limits<A>::infinity();
  // Two maxima, as each comparison waits for the one before.
  V even(lowest), odd(lowest);
  int64_t i = 0;
  for (; i + 2 * V::size <= n; i += 2 * V::size) {
    even = larger(load_lanes(x + i, Full{}), even);
    odd = larger(load_lanes(x + i + V::size, Full{}), odd);
  }
  for_lanes<A>(i, n, [&](int64_t at, auto count) {
    even = larger(load_lanes(x + at, count, lowest), even);
  });
  return largest(larger(even, odd));
}

}  // namespace alt::kernels
