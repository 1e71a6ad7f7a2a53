// tanh of float lanes, inline, within 0.8 ULP: SLEEF's is a call and computes in pairs of floats.
//
// Up to 0.55 an odd polynomial, whose fit is off by 1e-9 of the result. Beyond, 1 - 2 / d with
// d = exp(2 x) + 1. The quotient is at most a half there, so its error counts half or less; what
// the sum d, the division and the difference round off is computed and taken into account.
// double's tanh is SLEEF's, a scalar's the C++ library's.
#pragma once

#include "loops/exp.h"
#include "loops/math.h"
#include "loops/polynomial.h"
#include "loops/vec.h"

namespace alt::math {

namespace detail {

/// Of x in [0, 0.55].
inline Vec<float> tanh_near_zero(Vec<float> x) {
  using V = Vec<float>;
  const V z = x * x;
  constexpr double kFit[] = {-0.3333332, 0.13332602, -0.05385386, 0.021077754, -0.006282467};
  return fma(x * z, polynomial(kFit, z), x);
}

/// Of x in [0.55, 10].
inline Vec<float> tanh_beyond(Vec<float> x) {
  using V = Vec<float>;
  const V one(1.0F), two(2.0F);
  const auto [power, fraction] = exponential(x + x);
  const V near = power + one, d = fma(power, fraction, near);  // near is exact, d the sum
  const V d_rest = fma(power, fraction, near - d);
  const V q = two / d;
  const V q_rest = fma(-q, d, two) - q * d_rest;  // 2 - q d; divided by d it is what q lacks
  const V difference = one - q, away = (one - difference) - q;
  return difference + fma(q_rest * V(-0.5F), q, away);
}

}  // namespace detail

template <class T>
ALT_FN T tanh_inline(T x) {
  return tanh(x);
}

template <>
ALT_FN Vec<float> tanh_inline(Vec<float> x) {
  using V = Vec<float>;
  const V size = abs(x), bounded = minimum(size, V(10.0F));  // where tanh rounds to 1
  const V result =
      select(size < V(0.55F), detail::tanh_near_zero(size), detail::tanh_beyond(bounded));
  return with_sign_of(result, x);
}

}  // namespace alt::math
