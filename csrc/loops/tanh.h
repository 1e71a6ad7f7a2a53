// tanh of float lanes, inline: in double and rounded once, so within 0.51 ULP, and in half of the
// time of SLEEF's, which is a call and computes in pairs of floats.
//
// tanh(x) = m / (m + 2) with m = exp(2 x) - 1, which near 0 must not lose what exp rounds off: with
// 2 x = n log 2 + r, |r| <= log(2) / 2, it is 2^n p + (2^n - 1) with p = exp(r) - 1 = r q(r), where
// q is fitted for the least relative error (2e-10). double's tanh is SLEEF's, a scalar's the C++
// library's.
#pragma once

#include <cstring>

#include "loops/math.h"
#include "loops/vec.h"

namespace alt::math {

namespace detail {

/// Of x in [0, 10].
inline Vec<double> tanh_in_double(Vec<double> x) {
  using V = Vec<double>;
  // Adding 1.5 * 2^52 rounds to an integer and leaves it in the low bits; 1023 more make it the
  // bits of an exponent.
  const V shift(6755399441055744.0 + 1023.0), shifted = fma(x, V(2.8853900817779268), shift);
  const V n = shifted - shift, power = from_bits<double>(bits_of(shifted) << 52);
  const V r = fma(n, V(-0.6931471805599453), x + x);
  V q(0.00019841234182827532);
  q = fma(q, r, V(0.0013941056981860464));
  q = fma(q, r, V(0.008333403068261505));
  q = fma(q, r, V(0.04166635382646661));
  q = fma(q, r, V(0.16666666248233225));
  q = fma(q, r, V(0.5000000046791678));
  q = fma(q, r, V(1.0000000000313312));
  const V m = fma(power, q * r, power - V(1.0));
  return m / (m + V(2.0));
}

}  // namespace detail

template <class T>
ALT_FN T tanh_inline(T x) {
  return tanh(x);
}

template <>
ALT_FN Vec<float> tanh_inline(Vec<float> x) {
  using V = Vec<float>;
  typedef float Half __attribute__((vector_size(kVectorBytes / 2)));
  const V bounded = minimum(abs(x), V(10.0F));  // where tanh rounds to 1
  Half halves[2];
  std::memcpy(halves, &bounded.native, sizeof(halves));
  for (Half& half : halves) {
    const Vec<double> wide = __builtin_convertvector(half, Vec<double>::Native);
    half = __builtin_convertvector(detail::tanh_in_double(wide).native, Half);
  }
  V result;
  std::memcpy(&result.native, halves, sizeof(halves));
  return with_sign_of(result, x);
}

}  // namespace alt::math
