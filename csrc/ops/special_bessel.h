// Bessel functions of orders 0 and 1, and Airy's function.
//
// Near the origin a power or Chebyshev series in x^2 (with the logarithm of the singular ones taken
// out and the zeros as factors), far out the asymptotic form with a Chebyshev series for its slowly
// varying factors: Abramowitz & Stegun 9.2.5, 9.7.1, 10.4.59; split as in Moshier, "Methods and
// Programs for Mathematical Functions". special_tables.py makes the series.
// At infinity I, J, Y and Ai are NaN, as they are in stock.
#pragma once

#include "ops/special.h"
#include "ops/special_tables.h"

namespace alt::special {

/// I_0 and I_1 for 0 <= x <= 8: their power series, whose terms are all positive.
template <class T>
ALT_FN T i0_near(T x) {
  const T half = T(0.5) * x;
  return polynomial(tables::i0_series, half * half);
}
template <class T>
ALT_FN T i1_near(T x) {
  const T half = T(0.5) * x;
  return half * polynomial(tables::i1_series, half * half);
}

/// exp(-x) I_0(x) and exp(-x) I_1(x) for x > 8.
template <class T>
ALT_FN T i0_far(T x) {
  return chebyshev(tables::i0_large, T(16.0) / x - T(1.0)) / math::sqrt(x);
}
template <class T>
ALT_FN T i1_far(T x) {
  return chebyshev(tables::i1_large, T(16.0) / x - T(1.0)) / math::sqrt(x);
}

/// value * exp(x) where exp(x) alone may overflow.
template <class T>
ALT_FN T times_exp(T value, T x) {
  const auto large = x > T(700.0);
  const T power = math::exp(select(large, x * T(0.5), x));
  const T result = value * power;
  return select(large, result * power, result);
}

/// exp(x) K_0(x) or K_0(x).
template <bool scaled, class T>
ALT_FN T k0(T x) {
  return branch(
      x <= T(2.0),
      [&] {
        const T value = chebyshev(tables::k0_small, x * x * T(0.5) - T(1.0)) -
                        math::log(x * T(0.5)) * i0_near(x);
        return scaled ? value * math::exp(x) : value;
      },
      [&] {
        const T value = chebyshev(tables::k0_large, T(4.0) / x - T(1.0)) / math::sqrt(x);
        return scaled ? value : value * math::exp(T(0.0) - x);
      });
}

/// exp(x) K_1(x) or K_1(x).
template <bool scaled, class T>
ALT_FN T k1(T x) {
  const T value = branch(
      x <= T(2.0),
      [&] {
        const T result = chebyshev(tables::k1_small, x * x * T(0.5) - T(1.0)) / x +
                         math::log(x * T(0.5)) * i1_near(x);
        return scaled ? result * math::exp(x) : result;
      },
      [&] {
        const T result = chebyshev(tables::k1_large, T(4.0) / x - T(1.0)) / math::sqrt(x);
        return scaled ? result : result * math::exp(T(0.0) - x);
      });
  return select(x == T(0.0), T(kInfinity), value);
}

/// J_0 for |x| <= 8: its two zeros there are factors, so that they are exact.
template <class T>
ALT_FN T j0_near(T x) {
  const T size = math::abs(x);
  const T first = distance(size, tables::j0_zeros[0]) * (size + T(tables::j0_zeros[0][0]));
  const T second = distance(size, tables::j0_zeros[1]) * (size + T(tables::j0_zeros[1][0]));
  const T value = first * second * chebyshev(tables::j0_small, x * x * T(1.0 / 32) - T(1.0));
  return select(size < T(1e-5), T(1.0) - T(0.25) * x * x, value);
}

/// J_1 for |x| <= 8.
template <class T>
ALT_FN T j1_near(T x) {
  const T size = math::abs(x);
  const T first = distance(size, tables::j1_zeros[0]) * (size + T(tables::j1_zeros[0][0]));
  const T second = distance(size, tables::j1_zeros[1]) * (size + T(tables::j1_zeros[1][0]));
  return x * (first * second * chebyshev(tables::j1_small, x * x * T(1.0 / 32) - T(1.0)));
}

/// For x > 8: sqrt(2 / (pi x)) times the amplitudes P and Q times cosine and sine of
/// x - (2 order + 1) pi / 4, which the sum and difference of sin x and cos x give without rounding
/// x.
template <int order, bool second_kind, class T>
ALT_FN T bessel_far(T x) {
  const T sin = math::sin(x);
  const T cos = math::cos(x);
  const T z = T(128.0) / (x * x) - T(1.0);
  T p, q;
  if constexpr (order == 0) {
    p = chebyshev(tables::order0_p, z);
    q = chebyshev(tables::order0_q, z) / x;
  } else {
    p = chebyshev(tables::order1_p, z);
    q = chebyshev(tables::order1_q, z) / x;
  }
  const T phase_cos = order == 0 ? sin + cos : sin - cos;
  const T phase_sin = order == 0 ? sin - cos : T(0.0) - (sin + cos);
  const T wave = second_kind ? p * phase_sin + q * phase_cos : p * phase_cos - q * phase_sin;
  return wave / math::sqrt(x * T(kPi));
}

}  // namespace alt::special

namespace alt::ops {

template <class T>
ALT_FN T i0e(T x) {
  const T size = math::abs(x);
  return special::branch(
      size <= T(8.0), [&] { return special::i0_near(size) * math::exp(T(0.0) - size); },
      [&] { return special::i0_far(size); });
}

template <class T>
ALT_FN T i0(T x) {
  const T size = math::abs(x);
  return special::branch(
      size <= T(8.0), [&] { return special::i0_near(size); },
      [&] { return special::times_exp(special::i0_far(size), size); });
}

template <class T>
ALT_FN T i1e(T x) {
  const T size = math::abs(x);
  const T value = special::branch(
      size <= T(8.0), [&] { return special::i1_near(size) * math::exp(T(0.0) - size); },
      [&] { return special::i1_far(size); });
  return math::copysign(value, x);
}

template <class T>
ALT_FN T i1(T x) {
  const T size = math::abs(x);
  const T value = special::branch(
      size <= T(8.0), [&] { return special::i1_near(size); },
      [&] { return special::times_exp(special::i1_far(size), size); });
  return math::copysign(value, x);
}

template <class T>
ALT_FN T modified_bessel_k0(T x) {
  return special::k0<false>(x);
}

template <class T>
ALT_FN T modified_bessel_k1(T x) {
  return special::k1<false>(x);
}

template <class T>
ALT_FN T scaled_modified_bessel_k0(T x) {
  return special::k0<true>(x);
}

template <class T>
ALT_FN T scaled_modified_bessel_k1(T x) {
  return special::k1<true>(x);
}

template <class T>
ALT_FN T bessel_j0(T x) {
  const T size = math::abs(x);
  return special::branch(
      size <= T(8.0), [&] { return special::j0_near(x); },
      [&] { return special::bessel_far<0, false>(size); });
}

template <class T>
ALT_FN T bessel_j1(T x) {
  const T size = math::abs(x);
  return special::branch(
      size <= T(8.0), [&] { return special::j1_near(x); },
      [&] {
        const T value = special::bessel_far<1, false>(size);
        return select(x < T(0.0), T(0.0) - value, value);
      });
}

template <class T>
ALT_FN T bessel_y0(T x) {
  return special::branch(
      x <= T(8.0),
      [&] {
        return special::chebyshev(special::tables::y0_small, x * x * T(1.0 / 32) - T(1.0)) +
               T(2 / special::kPi) * math::log(x) * special::j0_near(x);
      },
      [&] { return special::bessel_far<0, true>(x); });
}

template <class T>
ALT_FN T bessel_y1(T x) {
  return special::branch(
      x <= T(8.0),
      [&] {
        const T regular =
            x * special::chebyshev(special::tables::y1_small, x * x * T(1.0 / 32) - T(1.0));
        const T singular = math::log(x) * special::j1_near(x) - T(1.0) / x;
        return select(x == T(0.0), T(-special::kInfinity),
                      regular + T(2 / special::kPi) * singular);
      },
      [&] { return special::bessel_far<1, true>(x); });
}

/// sin(x) / x.
template <class T>
ALT_FN T spherical_bessel_j0(T x) {
  const T value = select(math::abs(x) == T(special::kInfinity), T(0.0), math::sin(x) / x);
  return select(x == T(0.0), T(1.0), value);
}

/// Airy's Ai: waves below -3.5, a series up to 1.5, decay beyond.
template <class T>
ALT_FN T airy_ai(T x) {
  using namespace special;
  const T size = math::abs(x);
  const T root = math::sqrt(size);
  const T zeta = T(2.0 / 3) * size * root;
  const auto waves = [&] {
    // (zeta(3.5) / zeta)^2 = (3.5 / x)^3
    const T ratio = T(3.5) / size;
    const T t = T(2.0) * ratio * ratio * ratio - T(1.0);
    const T sin = math::sin(zeta);
    const T cos = math::cos(zeta);
    // From 2^53 on zeta is not known to an eighth of a turn: one more is lost, as stock loses it.
    const T sum = branch(
        zeta > T(9007199254740992.0),
        [&] { return T(1.41421356237309504880) * math::sin(zeta + T(kPi / 4)); },
        [&] { return cos + sin; });
    const T wave =
        chebyshev(tables::airy_p, t) * sum + chebyshev(tables::airy_q, t) / zeta * (sin - cos);
    return wave / math::sqrt(T(2 * kPi) * root);
  };
  const auto middle = [&] {
    return distance(x, tables::airy_zero[0]) *
           chebyshev(tables::airy_middle, (x + T(1.0)) * T(0.4));
  };
  const auto decay = [&] {
    // 2 zeta(1.5) / zeta - 1; zeta(1.5) is sqrt(1.5)
    const T t = T(2.4494897427831780982) / zeta - T(1.0);
    const T value = math::exp(T(0.0) - zeta) * chebyshev(tables::airy_large, t) /
                    (T(2.0) * math::sqrt(T(kPi) * root));
    return select(x == T(kInfinity), T(kNan), value);
  };
  return branch(x < T(-3.5), waves, [&] { return branch(x <= T(1.5), middle, decay); });
}

}  // namespace alt::ops
