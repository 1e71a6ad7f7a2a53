// Derivatives of log gamma, Hurwitz's zeta function and the incomplete gamma functions.
#pragma once

#include "ops/special.h"
#include "ops/special_tables.h"

namespace alt::special {

/// B_2k / (2k)!: Euler and Maclaurin's formula.
ALT_TABLE double kEulerMaclaurin[] = {1.0 / 12,
                                      -1.0 / 720,
                                      1.0 / 30240,
                                      -1.0 / 1209600,
                                      1.0 / 47900160,
                                      -691.0 / 1307674368000,
                                      1.0 / 74724249600,
                                      -3617.0 / 10670622842880000,
                                      43867.0 / 5109094217170944000,
                                      -174611.0 / 802857662698291200000.0};
/// B_2k / (2k), B_2k and B_2k / (2k (2k - 1)): the asymptotic series of digamma, trigamma, log
/// gamma.
ALT_TABLE double kDigammaSeries[] = {1.0 / 12,  -1.0 / 120,     1.0 / 252, -1.0 / 240,
                                     1.0 / 132, -691.0 / 32760, 1.0 / 12.0};
ALT_TABLE double kTrigammaSeries[] = {1.0 / 6,  -1.0 / 30,     1.0 / 42,  -1.0 / 30,
                                      5.0 / 66, -691.0 / 2730, 7.0 / 6.0, -3617.0 / 510};
ALT_TABLE double kLogGammaSeries[] = {1.0 / 12, -1.0 / 360, 1.0 / 1260, -1.0 / 1680, 1.0 / 1188};
/// 1 / (2k + 3): what atanh has beyond its first term.
ALT_TABLE double kAtanhRest[] = {1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11, 1.0 / 13,
                                 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23};

/// digamma for x >= 0. On [1, 2], around its zero, a series with the zero as a factor, which the
/// recurrence reaches from [0, 1]; elsewhere the recurrence up to 10 and Abramowitz &
/// Stegun 6.3.18.
template <class T>
ALT_FN T digamma_positive(T x) {
  return branch(
      x <= T(2.0),
      [&] {
        const auto below = x < T(1.0);
        const T y = select(below, x + T(1.0), x);
        const T value = distance(y, tables::digamma_zero[0]) *
                        chebyshev(tables::digamma_middle, y + y - T(3.0));
        return select(below, value - T(1.0) / x, value);
      },
      [&] {
        T y = x;
        T sum(0.0);
        for (int i = 0; i < 8; ++i) {
          const auto below = y < T(10.0);
          sum += select(below, T(1.0) / y, T(0.0));
          y += select(below, T(1.0), T(0.0));
        }
        const T z = T(1.0) / (y * y);
        return math::log(y) - T(0.5) / y - z * polynomial(kDigammaSeries, z) - sum;
      });
}

/// zeta(x, q) for q > 0 and x > 1: ten terms, and Euler and Maclaurin's formula for the others
/// unless they are too small to count (where its terms need not fall).
template <class T>
ALT_FN T zeta_positive(T x, T q) {
  const T power = T(0.0) - x;
  T sum(0.0);
  T a = q;
  for (int i = 0; i < 10; ++i) {
    sum += math::pow(a, power);
    a += T(1.0);
  }
  const T last = math::pow(a, power);
  T rest = last * (a / (x - T(1.0)) + T(0.5));
  T factor = last * x / a;
  T k = x;
  for (const double c : kEulerMaclaurin) {
    rest += T(c) * factor;
    factor *= (k + T(1.0)) * (k + T(2.0)) / (a * a);
    k += T(2.0);
  }
  return select(last <= sum * T(0x1p-60), sum, sum + rest);
}

/// mu - log(1 + mu) for |mu| <= 0.3, without cancellation: log(1 + mu) is 2 atanh(mu / (2 + mu)).
template <class T>
ALT_FN T log1p_defect_near(T mu) {
  const T s = mu / (T(2.0) + mu);
  const T square = s * s;
  return s * (mu - T(2.0) * square * polynomial(kAtanhRest, square));
}

/// What the methods below have in common: a > 0, x > 0 and x / a - 1.
template <class T>
struct IncompleteGamma {
  T a, x, mu;

  ALT_FN T log1p_defect() const {
    return select(math::abs(mu) < T(0.3), log1p_defect_near(mu), mu - math::log(x / a));
  }

  /// x^a exp(-x) / gamma(a + 1); for large a by Stirling's series, whose factors do not overflow.
  ALT_FN T front() const {
    return branch(
        a < T(20.0),
        [&] {
          const T value = math::pow(x, a) * math::exp(T(0.0) - x) / math::tgamma(a + T(1.0));
          return select(x > T(1000.0), T(0.0), value);
        },
        [&] {
          const T inverse = T(1.0) / a;
          const T correction = inverse * polynomial(kLogGammaSeries, inverse * inverse);
          return math::exp(T(0.0) - a * log1p_defect() - correction) / math::sqrt(T(2.0 * kPi) * a);
        });
  }

  // A lane that has converged stands still: what a number gives must not depend on its neighbours.

  /// P by DLMF 8.11.4, x^n / ((a + 1) ... (a + n)).
  template <class Active>
  ALT_FN T lower_series(Active active) const {
    T term(1.0), sum(1.0), k = a;
    for (int i = 0; i < 2000; ++i) {
      active = active & (term > sum * T(0x1p-54));
      if (!any(active)) break;
      k += T(1.0);
      term *= x / k;
      sum += select(active, term, T(0.0));
    }
    return front() * sum;
  }

  /// Q by the continued fraction DLMF 8.9.2, evaluated forwards (Lentz's method).
  template <class Active>
  ALT_FN T upper_fraction(Active active) const {
    T b = x + T(1.0) - a;
    T d = T(1.0) / b;
    T c(0x1p+1000);
    T value = d;
    T change(0.0);
    for (int i = 1; i < 2000; ++i) {
      active = active & (math::abs(change - T(1.0)) > T(0x1p-53));
      if (!any(active)) break;
      const T numerator = T(static_cast<double>(i)) * (a - T(static_cast<double>(i)));
      b += T(2.0);
      d = T(1.0) / (numerator * d + b);
      c = b + numerator / c;
      change = c * d;
      value *= select(active, change, T(1.0));
    }
    return front() * a * value;
  }

  /// Q for small x and a, where 1 - P would cancel: DLMF 8.7.1 without its first term, which with
  /// the 1 makes -expm1.
  ALT_FN T upper_small() const {
    T term(1.0), sum(0.0);
    for (int n = 1; n < 24; ++n) {
      term *= T(0.0) - x / T(static_cast<double>(n));
      sum += term / (a + T(static_cast<double>(n)));
    }
    const T lgamma1p = a * chebyshev(tables::lgamma1p_small, a * T(1.6) - T(1.0));
    const T power = a * math::log(x) - lgamma1p;
    return T(0.0) - math::expm1(power) - math::exp(power) * a * sum;
  }

  /// P or Q for large a and x near it: Temme's uniform expansion, DLMF 8.12.3 and 8.12.4.
  template <bool upper>
  ALT_FN T uniform() const {
    const T defect = log1p_defect_near(mu);
    const T eta = math::copysign(math::sqrt(T(2.0) * defect), mu);
    const T inverse = T(1.0) / a;
    T sum(0.0);
    for (int k = sizeof(tables::temme) / sizeof(tables::temme[0]) - 1; k >= 0; --k) {
      sum = fma(sum, inverse, polynomial(tables::temme[k], eta));
    }
    const T rest = math::exp(T(0.0) - a * defect) / math::sqrt(T(2.0 * kPi) * a) * sum;
    const T root = math::copysign(math::sqrt(a * defect), mu);
    return upper ? T(0.5) * math::erfc(root) + rest : T(0.5) * math::erfc(T(0.0) - root) - rest;
  }
};

/// P(a, x), or Q(a, x) = 1 - P where `upper`, by the method that computes the smaller of the two
/// (the domains are those of Gautschi, "A computational procedure for incomplete gamma functions",
/// 1979, and Temme's).
template <bool upper, class T>
ALT_FN T incomplete_gamma(T a, T x) {
  const IncompleteGamma<T> at{a, x, (x - a) / a};
  const auto finite = (a > T(0.0)) & (x > T(0.0)) & (a < T(kInfinity)) & (x < T(kInfinity));
  const auto uniform = finite & (a > T(20.0)) & (math::abs(at.mu) < T(0.3));
  const auto fraction = finite & !uniform & (x > T(1.1)) & (x > a);
  const T largest = select(x <= T(0.5), T(-0.4) / math::log(x), T(1.1) * x);
  const auto small = finite & !uniform & (x <= T(1.1)) & (a < largest);
  const auto series = finite & !uniform & !fraction & !small;

  T value(kNan);
  if (any(uniform)) value = select(uniform, at.template uniform<upper>(), value);
  if (any(fraction)) {
    const T q = at.upper_fraction(fraction);
    value = select(fraction, upper ? q : T(1.0) - q, value);
  }
  if (any(small)) {
    const T q = at.upper_small();
    value = select(small, upper ? q : T(1.0) - q, value);
  }
  if (any(series)) {
    const T p = at.lower_series(series);
    value = select(series, upper ? T(1.0) - p : p, value);
  }
  // The borders: all of the mass is above x at x = 0 and below it at x = infinity or a = 0.
  const T none(upper ? 1.0 : 0.0);
  const T all(upper ? 0.0 : 1.0);
  value = select((x == T(kInfinity)) & !(a < T(0.0)), all, value);
  value =
      select((a == T(kInfinity)) & !(x < T(0.0)), select(x == T(kInfinity), T(kNan), none), value);
  value = select((a == T(0.0)) & (x > T(0.0)), all, value);
  return select((x == T(0.0)) & !(a <= T(0.0)), none, value);
}

}  // namespace alt::special

namespace alt::ops {

/// Reflected for negative x (Abramowitz & Stegun 6.3.7), where whole numbers are poles of no sign.
template <class T>
ALT_FN T digamma(T x) {
  const auto negative = x < T(0.0);
  const T value = special::digamma_positive(select(negative, T(1.0) - x, x));
  return special::branch(
      negative,
      [&] {
        const T rest = x - math::rint(x);
        const T cotangent = T(special::kPi) / math::tan(T(special::kPi) * rest);
        return select(rest == T(0.0), T(special::kNan), value - cotangent);
      },
      [&] { return value; });
}

/// Abramowitz & Stegun 6.4: reflection below 1/2, recurrence up to 10, asymptotic series.
template <class T>
ALT_FN T trigamma(T x) {
  const auto reflected = x < T(0.5);
  T y = select(reflected, T(1.0) - x, x);
  T sum(0.0);
  for (int i = 0; i < 10; ++i) {
    const auto below = y < T(10.0);
    sum += select(below, T(1.0) / (y * y), T(0.0));
    y += select(below, T(1.0), T(0.0));
  }
  const T z = T(1.0) / (y * y);
  const T series = z * polynomial(special::kTrigammaSeries, z);
  const T value = sum + (T(1.0) + T(0.5) / y + series) / y;
  const T sine = T(special::kPi) / math::sin(T(special::kPi) * (x - math::rint(x)));
  return select(reflected, sine * sine - value, value);
}

/// Hurwitz's zeta function, the sum over k >= 0 of (q + k)^-x. Of a negative q the terms below 0
/// are, but for their sign, those of |q|'s fraction up to |q|.
template <class T>
ALT_FN T zeta(T x, T q) {
  using namespace special;
  const T size = math::abs(q);
  const T whole = math::floor(size);
  const T fraction = size - whole;
  const auto negative = q < T(0.0);
  const T positive = zeta_positive(x, select(negative, T(1.0) - fraction, q));
  T value = branch(
      negative,
      [&] {
        const T below = zeta_positive(x, fraction) - zeta_positive(x, size + T(1.0));
        return select(x == math::floor(x), positive + select(is_even(x), below, T(0.0) - below),
                      T(kNan));
      },
      [&] { return positive; });
  value = select((q <= T(0.0)) & (q == math::floor(q)), T(kInfinity), value);
  // As stock, whose formula is 0 / 0 there.
  const auto vanishing = (q == T(kInfinity)) | ((x == T(kInfinity)) & (q > T(1.0)));
  value = select(vanishing, T(kNan), value);
  return select(x == T(1.0), T(kInfinity), select(x < T(1.0), T(kNan), value));
}

/// The n-th derivative of digamma, (-1)^(n + 1) n! zeta(n + 1, x).
template <class T>
ALT_FN T polygamma(T x, int64_t n) {
  if (n == 0) return digamma(x);
  if (n == 1) return trigamma(x);  // which ends in 0 at infinity, where stock's zeta is NaN
  double factorial = n % 2 == 0 ? -1.0 : 1.0;
  for (int64_t k = 2; k <= n && k <= 171; ++k) factorial *= static_cast<double>(k);
  return T(factorial) * zeta(T(static_cast<double>(n + 1)), x);
}

/// The regularised lower incomplete gamma function P.
template <class T>
ALT_FN T igamma(T a, T x) {
  return special::incomplete_gamma<false>(a, x);
}

/// The regularised upper incomplete gamma function Q.
template <class T>
ALT_FN T igammac(T a, T x) {
  return special::incomplete_gamma<true>(a, x);
}

}  // namespace alt::ops
