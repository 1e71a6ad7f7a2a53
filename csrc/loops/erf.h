// The error function of float lanes, inline.
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
  return select(size < V(1.0F), near, with_sign_of(far, x));
}

/// For gelu, which costs what this costs, and whose 1 + erf(x) hides what it is less exact.
///
/// AVX-512 looks up 16 numbers at once: [0, 4] in 16 parts around n w, with w = 4 / 15.5 and for
/// each the fit of degree 5 to erf(n w + u); erf(u) - u where n = 0, so that it is as exact near
/// zero. Within 1.8 ULP, in half of the time.
template <class T>
ALT_FN T erf_quick(T x) {
  return erf_inline(x);
}

#if defined(__AVX512F__)
template <>
ALT_FN Vec<float> erf_quick(Vec<float> x) {
  using V = Vec<float>;
  alignas(64) static constexpr float kTable[6][16] = {
      {0.0F, 0.284857482F, 0.534558833F, 0.726428568F, 0.855664134F, 0.931967497F, 0.971457601F,
       0.989372313F, 0.996495962F, 0.998978794F, 0.999737322F, 0.999940455F, 0.999988079F,
       0.999997914F, 0.999999702F, 0.99999994F},
      {0.128379166F, 1.0556798F, 0.864497423F, 0.619654417F, 0.388767272F, 0.213493258F,
       0.102620222F, 0.0431753695F, 0.0158998687F, 0.00512513565F, 0.00144601089F, 0.000357101992F,
       7.71911582e-05F, 1.46048633e-05F, 2.4187018e-06F, 3.50608332e-07F},
      {0.0F, -0.272427082F, -0.446184546F, -0.479728729F, -0.401309341F, -0.275478572F,
       -0.158898562F, -0.077995263F, -0.0328254066F, -0.0119030587F, -0.00373125775F,
       -0.00101350795F, -0.000238963476F, -4.89713457e-05F, -8.73179215e-06F, -1.35570986e-06F},
      {-0.376122206F, -0.305019259F, -0.13463892F, 0.0410478227F, 0.146576583F, 0.165803F,
       0.129816085F, 0.079538092F, 0.0398798995F, 0.0167229511F, 0.00593786407F, 0.00179924385F,
       0.000467706908F, 0.000104688726F, 2.02330721e-05F, 3.38350515e-06F},
      {0.0F, 0.129138932F, 0.182247609F, 0.143427834F, 0.0583097599F, -0.0145961912F,
       -0.0470981076F, -0.0456749871F, -0.0302451849F, -0.0155296074F, -0.00647936063F,
       -0.00224807463F, -0.000657354132F, -0.000163382123F, -3.47185378e-05F, -6.33422133e-06F},
      {0.11216905F, 0.0776189491F, 0.00270549767F, -0.0563699454F, -0.0675670654F, -0.0418698043F,
       -0.00966219604F, 0.0090993559F, 0.0129201664F, 0.00933392625F, 0.00486274157F, 0.0019929877F,
       0.000666697917F, 0.000185641402F, 4.35434158e-05F, 8.67170456e-06F},
  };
  const V size = abs(x);
  // Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits.
  const V shift(12582912.0F), shifted = fma(size, V(3.875F), shift), n = shifted - shift;
  const V u = fma(n, V(-0.258064508F), size);
  const auto entry = [&](int degree) -> V {
    return (V::Native)_mm512_maskz_permutexvar_ps(0xffff, (__m512i)bits_of(shifted),
                                                  _mm512_load_ps(kTable[degree]));
  };
  V p = entry(5);
  for (int degree = 4; degree > 0; --degree) p = fma(p, u, entry(degree));
  p = fma(p, u, select(n == V(0.0F), u, entry(0)));
  p = select(size > V(3.92F), V(1.0F), p);
  return with_sign_of(p, x);
}
#endif

}  // namespace alt::math
