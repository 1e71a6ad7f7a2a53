// The error function of float lanes, inline: gelu costs what it costs.
//
// Below 1, erf(x) = x + x p(x^2) with p the Chebyshev fit of degree 6 to erf(sqrt u) / sqrt u - 1.
// From 1 on, erf(x) = 1 - exp(x q(x)) with q the fit of degree 8 to log(erfc(x)) / x on [1, 4];
// behind 4 it rounds to 1. Within 1.2 ULP. double's is SLEEF's, a scalar's the C++ library's.
#pragma once

#include "loops/exp.h"
#include "loops/math.h"
#include "loops/vec.h"

namespace alt::math {

template <class T>
ALT_FN T erf_inline(T x) {
  return erf(x);
}

template <>
ALT_FN Vec<float> erf_inline(Vec<float> x) {
  using V = Vec<float>;
  const V size = abs(x);
  const V square = x * x;
  V p(7.875875063e-5F);
  p = fma(p, square, V(-0.0008016864287F));
  p = fma(p, square, V(0.005189087423F));
  p = fma(p, square, V(-0.02685421201F));
  p = fma(p, square, V(0.1128359472F));
  p = fma(p, square, V(-0.3761262667F));
  p = fma(p, square, V(0.1283791658F));
  const V near = fma(p, x, x);
  const V bounded = minimum(size, V(4.0F));
  V q(2.166180444e-7F);
  q = fma(q, bounded, V(-3.236754584e-6F));
  q = fma(q, bounded, V(1.584388446e-6F));
  q = fma(q, bounded, V(0.0003316854473F));
  q = fma(q, bounded, V(-0.003835511331F));
  q = fma(q, bounded, V(0.02433230555F));
  q = fma(q, bounded, V(-0.1070225145F));
  q = fma(q, bounded, V(-0.6346172552F));
  q = fma(q, bounded, V(-1.128792814F));
  const V far = V(1.0F) - exp_nonpositive(q * bounded);
  const auto sign = bits_of(x) & std::numeric_limits<int32_t>::min();
  return select(size < V(1.0F), near, from_bits<float>(bits_of(far) | sign));
}

}  // namespace alt::math
