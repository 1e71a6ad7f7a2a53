// Orthogonal polynomials of degree n: the three-term recurrences of Abramowitz & Stegun 22.7, and
// on
// [-1, 1] the closed forms of the Chebyshev polynomials (22.3.15 and 16).
//
// The degree is a tensor too, and is cut to a whole number; a negative one, NaN or infinity gives
// 0.
#pragma once

#include "ops/special.h"

namespace alt::special {

/// The degree as stock reads it: through int64, where what does not fit is negative.
template <class T>
ALT_FN T degree(T n) {
  const T whole = math::trunc(n);
  return select((whole >= T(0.0)) & (whole < T(9.2e18)), whole, T(-1.0));
}

/// The n-th of a sequence that begins 1, `second` and goes on by `step(k, two before, before)`,
/// k = 2, 3, ...; 0 for a negative n. It stops where overflow has made NaN of all that is asked
/// for.
template <class T, class Step>
ALT_FN T recurrence(T second, T n, Step step) {
  T before_last(1.0);
  T last = second;
  T result = select(n == T(0.0), T(1.0), select(n < T(0.0), T(0.0), second));
  for (double k = 2.0; any((n >= T(k)) & !is_nan(last)); k += 1.0) {
    const T next = step(T(k), before_last, last);
    before_last = last;
    last = next;
    result = select(n >= T(k), next, result);
  }
  return result;
}

/// A Chebyshev polynomial by its recurrence; for |x| <= 1 and a degree above `most`, by `closed` of
/// acos x, and of what that is 0 / 0 for, `at_one` and `at_minus_one`.
template <class T, class Closed>
ALT_FN T chebyshev_polynomial(T x, T n, T second, double most, T at_one, T at_minus_one,
                              Closed closed) {
  const auto inside = (math::abs(x) <= T(1.0)) & (n > T(most));
  return branch(
      inside,
      [&] {
        const T value = closed(math::acos(x));
        return select(x == T(1.0), at_one, select(x == T(-1.0), at_minus_one, value));
      },
      [&] {
        const T twice = x + x;
        // Lanes that are inside ask for nothing.
        return recurrence(second, select(inside, T(0.0), n),
                          [&](T, T before, T last) { return fma(twice, last, T(0.0) - before); });
      });
}

/// `value` with the sign of (-1)^n.
template <class T>
ALT_FN T alternating(T n, T value) {
  return select(is_even(n), value, T(0.0) - value);
}

}  // namespace alt::special

namespace alt::ops {

template <class T>
ALT_FN T chebyshev_polynomial_t(T x, T n) {
  n = special::degree(n);
  return special::chebyshev_polynomial(x, n, x, 6, T(1.0), special::alternating(n, T(1.0)),
                                       [&](T angle) { return math::cos(n * angle); });
}

template <class T>
ALT_FN T chebyshev_polynomial_u(T x, T n) {
  n = special::degree(n);
  const T next = n + T(1.0);
  return special::chebyshev_polynomial(
      x, n, x + x, 8, next, special::alternating(n, next),
      [&](T angle) { return math::sin(next * angle) / math::sin(angle); });
}

template <class T>
ALT_FN T chebyshev_polynomial_v(T x, T n) {
  n = special::degree(n);
  const T half = n + T(0.5);
  return special::chebyshev_polynomial(
      x, n, x + x - T(1.0), 8, T(1.0), special::alternating(n, half + half),
      [&](T angle) { return math::cos(half * angle) / math::cos(T(0.5) * angle); });
}

template <class T>
ALT_FN T chebyshev_polynomial_w(T x, T n) {
  n = special::degree(n);
  const T half = n + T(0.5);
  return special::chebyshev_polynomial(
      x, n, x + x + T(1.0), 8, half + half, special::alternating(n, T(1.0)),
      [&](T angle) { return math::sin(half * angle) / math::sin(T(0.5) * angle); });
}

template <class T>
ALT_FN T shifted_chebyshev_polynomial_t(T x, T n) {
  return chebyshev_polynomial_t(x + x - T(1.0), n);
}
template <class T>
ALT_FN T shifted_chebyshev_polynomial_u(T x, T n) {
  return chebyshev_polynomial_u(x + x - T(1.0), n);
}
template <class T>
ALT_FN T shifted_chebyshev_polynomial_v(T x, T n) {
  return chebyshev_polynomial_v(x + x - T(1.0), n);
}
template <class T>
ALT_FN T shifted_chebyshev_polynomial_w(T x, T n) {
  return chebyshev_polynomial_w(x + x - T(1.0), n);
}

/// The physicists'.
template <class T>
ALT_FN T hermite_polynomial_h(T x, T n) {
  const T twice = x + x;
  return special::recurrence(twice, special::degree(n), [&](T k, T before, T last) {
    return fma(twice, last, T(2.0) * (T(1.0) - k) * before);
  });
}

/// The probabilists'.
template <class T>
ALT_FN T hermite_polynomial_he(T x, T n) {
  return special::recurrence(x, special::degree(n), [&](T k, T before, T last) {
    return fma(x, last, (T(1.0) - k) * before);
  });
}

template <class T>
ALT_FN T laguerre_polynomial_l(T x, T n) {
  return special::recurrence(T(1.0) - x, special::degree(n), [&](T k, T before, T last) {
    return fma(T(2.0) * k - T(1.0) - x, last, (T(1.0) - k) * before) / k;
  });
}

template <class T>
ALT_FN T legendre_polynomial_p(T x, T n) {
  return special::recurrence(x, special::degree(n), [&](T k, T before, T last) {
    return fma((T(2.0) * k - T(1.0)) * x, last, (T(1.0) - k) * before) / k;
  });
}

}  // namespace alt::ops
