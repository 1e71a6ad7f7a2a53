// log and log1p of float lanes, inline, within 0.97 ULP: SLEEF's are calls and compute in pairs of
// floats.
//
// log(x) = e log 2 + log(1 + f) with 1 + f in [0.75, 1.5), and log(1 + f) = f + f^2 p(f) with a fit
// p of degree 8, whose error is a twelfth of a rounding's. e log 2 is split into 355 / 512, whose
// product is exact, and the rest; what the sum with f rounds off is computed and taken into
// account, and for log1p what 1 + x does. double's are SLEEF's, a scalar's the C++ library's.
#pragma once

#include <limits>

#include "loops/math.h"
#include "loops/polynomial.h"
#include "loops/vec.h"

namespace alt::math {

template <class T>
ALT_FN T log_inline(T x) {
  return log(x);
}

namespace detail {

/// log(2^e (1 + f + rest)) with f in [-0.25, 0.5], and rest below the last digit of f.
inline Vec<float> log_of_parts(Vec<float> e, Vec<float> f, Vec<float> rest) {
  using V = Vec<float>;
  constexpr double kFit[] = {-0.5,      0.3333345,   -0.2500011, 0.19990848,  -0.16646878,
                             0.1447763, -0.13163938, 0.10472558, -0.045152344};
  const V p = polynomial(kFit, f);
  const V product = e * V(0.693359375F), sum = product + f, lost = f - (sum - product);
  return sum + (fma(e, V(-2.12194440e-4F), f * f * p) + (lost + rest));
}

/// The exponent of a normal number, whose other factor is in [0.75, 1.5).
inline auto exponent_of(Vec<float> x) {
  return (bits_of(x) - bits_of(Vec<float>(0.75F))) >> 23;
}

}  // namespace detail

template <>
ALT_FN Vec<float> log_inline(Vec<float> x) {
  using V = Vec<float>;
  const V zero(0.0F), infinity(std::numeric_limits<float>::infinity());
  const auto subnormal = x < V(std::numeric_limits<float>::min());
  const V normal = select(subnormal, x * V(8388608.0F), x);
  const auto exponent = detail::exponent_of(normal);
  const V result =
      detail::log_of_parts(integer_lanes<float>(exponent) - select(subnormal, V(23.0F), zero),
                           from_bits<float>(bits_of(normal) - (exponent << 23)) - V(1.0F),
                           V(-0.0F));  // which compiles to nothing
  return select(x > zero, select(x < infinity, result, x),
                select(x == zero, -infinity, V(std::numeric_limits<float>::quiet_NaN())));
}

template <class T>
ALT_FN T log1p_inline(T x) {
  return log1p(x);
}

template <>
ALT_FN Vec<float> log1p_inline(Vec<float> x) {
  using V = Vec<float>;
  const V zero(0.0F), one(1.0F), infinity(std::numeric_limits<float>::infinity());
  const V u = one + x;
  const auto exponent = detail::exponent_of(u);
  const V head = from_bits<float>(bits_of(u) - (exponent << 23)) - one;
  // What 1 + x rounds off, which is nothing where the power would not be a number.
  const V power = from_bits<float>(bits_of(one) - (exponent << 23));
  const V tail = select(x < V(16777216.0F), (x - (u - one)) * power, zero);
  const V f = head + tail;
  const V result = detail::log_of_parts(integer_lanes<float>(exponent), f, tail - (f - head));
  return select((x > -one) & (x < infinity) & (x != zero), result,
                select(x == -one, -infinity,
                       select(x < -one, V(std::numeric_limits<float>::quiet_NaN()), x)));
}

/// log(1 + x) of x in [0, 1], as x + x^2 p(x); float's is within 1.3 ULP.
template <class T>
ALT_FN T log1p_of_fraction(T x) {
  return log1p(x);
}

template <>
ALT_FN Vec<float> log1p_of_fraction(Vec<float> x) {
  constexpr double kFit[] = {-0.49999931, 0.33330464,  -0.2495802,  0.19692102,   -0.1534488,
                             0.10661128,  -0.05745723, 0.020086242, -0.0032904686};
  return fma(x * x, polynomial(kFit, x), x);
}

}  // namespace alt::math
