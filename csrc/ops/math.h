// Elementary and special functions of one argument.
#pragma once

#include <c10/util/MathConstants.h>

#include "loops/erf.h"
#include "loops/exp.h"
#include "loops/function.h"
#include "loops/log.h"
#include "loops/math.h"
#include "loops/tanh.h"

namespace alt::ops {

template <class T>
ALT_FN T exp(T x) {
  return math::exp(x);
}
template <class T>
ALT_FN T exp2(T x) {
  if constexpr (c10::is_complex<T>::value) {
    // By parts: the product of complex numbers would make NaN of an infinite part.
    using Real = typename T::value_type;
    constexpr Real kLn2 = c10::ln_2<Real>;
    return math::exp(T(x.real() * kLn2, x.imag() * kLn2));
  } else {
    return math::exp2(x);
  }
}
template <class T>
ALT_FN T expm1(T x) {
  return math::expm1(x);
}
template <class T>
ALT_FN T log(T x) {
  return math::log_inline(x);
}
template <class T>
ALT_FN T log2(T x) {
  if constexpr (c10::is_complex<T>::value) {
    using Real = typename T::value_type;
    constexpr Real kLn2 = c10::ln_2<Real>;
    const T natural = math::log(x);
    return T(natural.real() / kLn2, natural.imag() / kLn2);  // by parts, as in exp2
  } else {
    return math::log2(x);
  }
}
template <class T>
ALT_FN T log10(T x) {
  return math::log10(x);
}
template <class T>
ALT_FN T log1p(T x) {
  return math::log1p_inline(x);
}
template <class T>
ALT_FN T sin(T x) {
  return math::sin(x);
}
template <class T>
ALT_FN T cos(T x) {
  return math::cos(x);
}
template <class T>
ALT_FN T tan(T x) {
  return math::tan(x);
}
template <class T>
ALT_FN T asin(T x) {
  return math::asin(x);
}
template <class T>
ALT_FN T acos(T x) {
  return math::acos(x);
}
template <class T>
ALT_FN T atan(T x) {
  return math::atan(x);
}
template <class T>
ALT_FN T sinh(T x) {
  return math::sinh(x);
}
template <class T>
ALT_FN T cosh(T x) {
  return math::cosh(x);
}
template <class T>
ALT_FN T tanh(T x) {
  return math::tanh_inline(x);
}
// SLEEF squares the argument of asinh and acosh; from here on the square is all that counts.
inline constexpr float kOnlyTheSquareCounts = 1e10f;

template <class T>
ALT_FN T asinh(T x) {
  if constexpr (c10::is_complex<T>::value) {
    return math::asinh(x);
  } else {
    const T size = math::abs(x);
    const T far = math::copysign(math::log(size) + T(c10::ln_2<double>), x);
    return select(size > T(kOnlyTheSquareCounts), far, math::asinh(x));
  }
}
template <class T>
ALT_FN T acosh(T x) {
  if constexpr (c10::is_complex<T>::value) {
    return math::acosh(x);
  } else {
    const T far = math::log(x) + T(c10::ln_2<double>);
    return select(x > T(kOnlyTheSquareCounts), far, math::acosh(x));
  }
}
template <class T>
ALT_FN T atanh(T x) {
  return math::atanh(x);
}
template <class T>
ALT_FN T atan2(T y, T x) {
  return math::atan2(y, x);
}
template <class T>
ALT_FN T erf(T x) {
  return math::erf_inline(x);
}
template <class T>
ALT_FN T erfc(T x) {
  return math::erfc(x);
}
template <class T>
ALT_FN T lgamma(T x) {
  return math::lgamma(x);
}
template <class T>
ALT_FN T sqrt(T x) {
  return math::sqrt(x);
}
template <class T>
ALT_FN T rsqrt(T x) {
  return T(1) / math::sqrt(x);
}
template <class T>
ALT_FN T floor(T x) {
  return math::floor(x);
}
template <class T>
ALT_FN T ceil(T x) {
  return math::ceil(x);
}
template <class T>
ALT_FN T trunc(T x) {
  return math::trunc(x);
}
/// To the nearest integer, halves to even.
template <class T>
ALT_FN T round(T x) {
  return math::rint(x);
}
template <class T>
ALT_FN T frac(T x) {
  return x - math::trunc(x);
}

template <class T>
ALT_FN T round_decimals(T x, int64_t decimals) {
  const bool negative = decimals < 0;
  const T ten = math::pow(T(10), T(static_cast<double>(negative ? -decimals : decimals)));
  return negative ? math::rint(x / ten) * ten : math::rint(x * ten) / ten;
}

template <class T>
ALT_FN T sigmoid(T x) {
  return T(1) / math::one_plus_exp(T(0) - x);
}

/// log(x / (1 - x)); a non-negative eps clamps x to [eps, 1 - eps] first.
template <class T>
ALT_FN T logit(T x, T eps) {
  const T upper = T(1) - eps;
  x = select(eps < T(0), x, select(x < eps, eps, select(x > upper, upper, x)));
  return math::log_inline(x / (T(1) - x));
}

/// sin(pi x) / (pi x), and 1 at 0.
template <class T>
ALT_FN T sinc(T x) {
  const T product = x * T(c10::pi<double>);
  return select(x == T(0), T(1), math::sin(product) / product);
}

/// -x log x; 0 at 0 and -inf below.
template <class T>
ALT_FN T entr(T x) {
  const T infinity(std::numeric_limits<element_t<T>>::infinity());
  const T inside = (T(0) - x) * math::log_inline(x);
  return select(is_nan(x) | (x > T(0)), select(is_nan(x), x, inside),
                select(x == T(0), T(0), T(0) - infinity));
}

/// x log y, and 0 where x is 0 and y is not NaN.
template <class T>
ALT_FN T xlogy(T x, T y) {
  return select(is_nan(y), y, select(x == T(0), T(0), x * math::log_inline(y)));
}

template <class T>
ALT_FN T xlog1py(T x, T y) {
  return select(is_nan(y), y, select(x == T(0), T(0), x * math::log1p_inline(y)));
}

/// log(exp x + exp y) of complex numbers, by the one with the larger real part.
template <class T>
T complex_logaddexp(T x, T y) {
  using Real = typename T::value_type;
  constexpr Real kInfinity = std::numeric_limits<Real>::infinity();
  constexpr Real kNan = std::numeric_limits<Real>::quiet_NaN();
  if (std::isnan(x) || std::isnan(y)) return T(kNan, kNan);
  const T smaller = x.real() < y.real() ? x : y;
  const T larger = x.real() < y.real() ? y : x;
  if (std::isinf(smaller.real()) && smaller.real() == larger.real()) {
    return smaller.real() < 0 ? smaller : math::log(math::exp(smaller) + math::exp(larger));
  }
  if (smaller.real() == -kInfinity) return larger;
  return larger + math::log1p_inline(math::exp(smaller - larger));
}

/// log(exp x + exp y) without overflow; equal infinities give themselves.
template <class T>
ALT_FN T logaddexp(T x, T y) {
  if constexpr (c10::is_complex<T>::value) {
    return complex_logaddexp(x, y);
  } else {
    const T larger = select(x > y, x, y);
    const T sum = larger + math::log1p_inline(math::exp(T(0) - math::abs(x - y)));
    return select((x == y) & (x - y != T(0)), x, sum);
  }
}

template <class T>
ALT_FN T logaddexp2(T x, T y) {
  const T larger = select(x > y, x, y);
  const T inverse_ln2(1.442695040888963407359924681001892137);
  const T sum = larger + math::log1p_inline(math::exp2(T(0) - math::abs(x - y))) * inverse_ln2;
  return select((x == y) & (x - y != T(0)), x, sum);
}

}  // namespace alt::ops
