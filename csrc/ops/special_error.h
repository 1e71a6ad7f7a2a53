// The error function's relatives and inverses.
#pragma once

#include "ops/special.h"
#include "ops/special_tables.h"

namespace alt::special {

/// Wichura, "The percentage points of the normal distribution", Applied Statistics 37 (1988),
/// algorithm AS 241, PPND16: the rational functions of the middle, the tails and the far tails.
ALT_TABLE double kMiddle[2][8] = {
    {3.3871328727963666080, 1.3314166789178437745e2, 1.9715909503065514427e3,
     1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
     3.3430575583588128105e4, 2.5090809287301226727e3},
    {1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
     5.2264952788528545610e3}};
ALT_TABLE double kTail[2][8] = {
    {1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
     1.27045825245236838258, 2.41780725177450611770e-1, 2.27238449892691845833e-2,
     7.74545014278341407640e-4},
    {1.0, 2.05319162663775882187, 1.67638483018380384940, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
     1.05075007164441684324e-9}};
ALT_TABLE double kFarTail[2][8] = {
    {6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580,
     2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
     2.71155556874348757815e-5, 2.01033439929228813265e-7},
    {1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
     2.04426310338993978564e-15}};

template <class T>
ALT_FN T rational(const double (&c)[2][8], T x) {
  return polynomial(c[0], x) / polynomial(c[1], x);
}

/// The normal distribution's quantile at 1/2 + q, given the probability beyond it in its tail.
template <class T>
ALT_FN T normal_quantile(T q, T tail) {
  return branch(
      math::abs(q) <= T(0.425), [&] { return q * rational(kMiddle, T(0.180625) - q * q); },
      [&] {
        const T r = math::sqrt(T(0.0) - math::log(tail));
        const T size = branch(
            r <= T(5.0), [&] { return rational(kTail, r - T(1.6)); },
            [&] { return rational(kFarTail, r - T(5.0)); });
        const T value = select(tail == T(0.0), T(kInfinity), size);
        return select(q < T(0.0), T(0.0) - value, value);
      });
}

}  // namespace alt::special

namespace alt::ops {

/// Negative and beyond 1 the tail is negative: NaN by its logarithm.
template <class T>
ALT_FN T ndtri(T p) {
  const T other = T(1.0) - p;
  return special::normal_quantile(p - T(0.5), select(p < other, p, other));
}

template <class T>
ALT_FN T erfinv(T x) {
  const T tail = T(0.5) * (T(1.0) - math::abs(x));
  return special::normal_quantile(T(0.5) * x, tail) * T(0.70710678118654752440);
}

/// exp(x^2) erfc(x): Shepherd & Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x
/// in 0 <= x < infinity" (1981), and the reflection 2 exp(x^2) - erfcx(-x).
template <class T>
ALT_FN T erfcx(T x) {
  using namespace special;
  const T size = math::abs(x);
  const T t = select(size == T(kInfinity), T(1.0), (size - T(3.75)) / (size + T(3.75)));
  const T positive = chebyshev(tables::erfcx_folded, t) / (T(1.0) + T(2.0) * size);
  return branch(
      x < T(0.0), [&] { return T(2.0) * exp_square(x) - positive; }, [&] { return positive; });
}

/// log of the normal distribution function: far below, erfcx carries what would underflow.
template <class T>
ALT_FN T log_ndtr(T x) {
  const T scaled = x * T(0.70710678118654752440);
  return special::branch(
      x < T(-1.0), [&] { return math::log(T(0.5) * erfcx(T(0.0) - scaled)) - T(0.5) * x * x; },
      [&] { return math::log1p(T(-0.5) * math::erfc(scaled)); });
}

}  // namespace alt::ops
