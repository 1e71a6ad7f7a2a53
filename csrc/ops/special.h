// What the special functions share: series, branches on lanes.
//
// The functions of special_*.h are written for lanes of double, or for one double, and computed so
// for every dtype: a float result is then the true one, rounded. Where several formulas share the
// domain, each is run only if some lane needs it.
#pragma once

#include "loops/function.h"
#include "loops/math.h"
#include "loops/polynomial.h"

namespace alt::special {

inline constexpr double kPi = 3.14159265358979323846;
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// c[0] T_0(t) + c[1] T_1(t) + ... by Clenshaw's recurrence.
template <class T, size_t count>
ALT_FN T chebyshev(const double (&c)[count], T t) {
  const T twice = t + t;
  T next(0.0);
  T after(0.0);
  for (size_t i = count - 1; i > 0; --i) {
    const T current = fma(twice, next, T(c[i]) - after);
    after = next;
    next = current;
  }
  return fma(t, next, T(c[0]) - after);
}

/// x - zero, exact to the last place near a zero that is given as a sum of two doubles.
template <class T>
ALT_FN T distance(T x, const double (&zero)[2]) {
  return (x - T(zero[0])) - T(zero[1]);
}

/// `yes()` in the lanes of `condition` and `no()` in the others; neither runs where no lane asks.
template <class Condition, class Yes, class No>
ALT_FN auto branch(Condition condition, Yes yes, No no) {
  using T = decltype(yes());
  T result(0.0);
  if (any(condition)) result = yes();
  if (any(!condition)) result = select(condition, result, no());
  return result;
}

/// exp(x^2): what x * x rounds off is made good.
template <class T>
ALT_FN T exp_square(T x) {
  const T square = x * x;
  const T rest = fma(x, x, T(0.0) - square);
  const T result = math::exp(square);
  return select(square > T(745.0), T(kInfinity), result + result * rest);
}

/// Whether a whole number is even.
template <class T>
ALT_FN auto is_even(T n) {
  return n == T(2.0) * math::trunc(n * T(0.5));
}

}  // namespace alt::special
