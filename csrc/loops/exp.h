// exp(x) for x <= 0, inline: for a softmax, whose largest exponent is 0 and whose cost it is. And
// 1 + exp(x), whose cost a sigmoid's is.
//
// exp(x) = 2^n exp(r) with n = round(x / log 2), so |r| <= log(2) / 2, and exp(r) = 1 + r + r^2
// p(r) with the Chebyshev fit p of degree 4 (relative error 8e-9). float's result is within 1.05
// ULP, and 0 where it would be below the smallest normal number; NaN stays NaN. double's is
// SLEEF's.
#pragma once

#include "loops/math.h"
#include "loops/polynomial.h"
#include "loops/vec.h"

namespace alt::math {

/// exp(x) as power * (1 + fraction): fraction, not 1 + fraction, is what has all digits.
struct Exponential {
  Vec<float> power, fraction;
};

/// Of x + rest between -87 and 87.
ALT_FN Exponential exponential(Vec<float> x, Vec<float> rest) {
  using V = Vec<float>;
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits; 127 more make it the bits
  // of an exponent.
  const V shift(12582912.0F + 127.0F), shifted = fma(x, V(1.44269504F), shift);
  const V n = shifted - shift;
  const V r = fma(n, V(2.12194440e-4F), fma(n, V(-0.693359375F), x) + rest);
  constexpr double kFit[] = {0.5, 0.16666576, 0.041666556, 0.008363179, 0.0013926184};
  return {from_bits<float>(bits_of(shifted) << 23), fma(r * r, polynomial(kFit, r), r)};
}
ALT_FN Exponential exponential(Vec<float> x) {
  return exponential(x, Vec<float>(-0.0F));  // adding -0 changes nothing, and compiles to nothing
}

/// exp(x + rest), where x is a rounded difference and `rest` what the rounding took away: of
/// numbers around 10 that is 8 ULP of the exponential.
inline Vec<float> exp_nonpositive(Vec<float> x, Vec<float> rest) {
  using V = Vec<float>;
  const auto [power, fraction] = exponential(x, rest);
  return select(x < V(-87.3365F), V(0.0F), (fraction + V(1.0F)) * power);
}

inline Vec<float> exp_nonpositive(Vec<float> x) {
  return exp_nonpositive(x, Vec<float>(-0.0F));
}

template <class T>
ALT_FN T exp_nonpositive(T x) {
  return exp(x);
}

/// x in [low, high]; NaN stays.
inline Vec<float> within(Vec<float> x, float low, float high) {
  const Vec<float> least(low), most(high), below = select(x > most, most, x);
  return select(below < least, least, below);
}

/// 1 + exp(x), within 1.3 ULP: what sigmoid and its relatives divide by. Where exp(x) is not
/// representable it is infinite.
inline Vec<float> one_plus_exp(Vec<float> x) {
  using V = Vec<float>;
  const auto [power, fraction] = exponential(within(x, -87.0F, 89.0F));
  // Half of the power, since 2^128 is none. The rest is not 0 from 2^24 on.
  const V half = from_bits<float>(bits_of(power) - (1 << 23));
  const V near = half + V(0.5F), rest = (half - near) + V(0.5F);
  return (fma(half, fraction, near) + rest) * V(2.0F);
}

template <class T>
ALT_FN T one_plus_exp(T x) {
  return T(1) + exp(x);
}

/// exp(x - largest) for x <= largest; float's as if the difference were not rounded.
inline Vec<float> exp_below(Vec<float> x, Vec<float> largest) {
  const Vec<float> difference = x - largest, away = difference - x;
  return exp_nonpositive(difference, (x - (difference - away)) - (largest + away));
}
inline Vec<double> exp_below(Vec<double> x, Vec<double> largest) {
  return exp(x - largest);
}

}  // namespace alt::math
