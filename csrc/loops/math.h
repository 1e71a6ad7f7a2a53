// alt::math: one name for each elementary function, whatever it is called on.
//
// On Vec<T> it is SLEEF at 1.0 ULP (the variants that stock torch calls, so results agree to the
// bit wherever stock vectorises); on scalars and complex numbers it is the C++ library's.
#pragma once

#include <c10/util/complex.h>
#include <sleef.h>

#include <cmath>

#include "loops/function.h"
#include "loops/vec.h"

// SLEEF writes the lane count into each function's name; only token pasting can follow it.
#if defined(__AVX512F__)
#define ALT_SLEEF_FLOAT(name) Sleef_##name##f16
#define ALT_SLEEF_DOUBLE(name) Sleef_##name##d8
#elif defined(__AVX2__)
#define ALT_SLEEF_FLOAT(name) Sleef_##name##f8
#define ALT_SLEEF_DOUBLE(name) Sleef_##name##d4
#else
#define ALT_SLEEF_FLOAT(name) Sleef_##name##f4
#define ALT_SLEEF_DOUBLE(name) Sleef_##name##d2
#endif
#define ALT_JOIN_(a, b) a##b
#define ALT_JOIN(a, b) ALT_JOIN_(a, b)

namespace alt::math {

#define ALT_MATH_UNARY(name, ulp)                                                \
  inline Vec<float> name(Vec<float> x) {                                         \
    return (Vec<float>::Native)ALT_JOIN(ALT_SLEEF_FLOAT(name), ulp)(x.native);   \
  }                                                                              \
  inline Vec<double> name(Vec<double> x) {                                       \
    return (Vec<double>::Native)ALT_JOIN(ALT_SLEEF_DOUBLE(name), ulp)(x.native); \
  }                                                                              \
  template <class T>                                                             \
    requires(!is_vec_v<T>)                                                       \
  ALT_FN T name(T x) {                                                           \
    return std::name(x);                                                         \
  }
ALT_MATH_UNARY(exp, _u10)
ALT_MATH_UNARY(log, _u10)
ALT_MATH_UNARY(log2, _u10)
ALT_MATH_UNARY(log10, _u10)
ALT_MATH_UNARY(log1p, _u10)
ALT_MATH_UNARY(exp2, _u10)
ALT_MATH_UNARY(expm1, _u10)
ALT_MATH_UNARY(sin, _u10)
ALT_MATH_UNARY(cos, _u10)
ALT_MATH_UNARY(tan, _u10)
ALT_MATH_UNARY(asin, _u10)
ALT_MATH_UNARY(acos, _u10)
ALT_MATH_UNARY(atan, _u10)
ALT_MATH_UNARY(sinh, _u10)
ALT_MATH_UNARY(cosh, _u10)
ALT_MATH_UNARY(tanh, _u10)
ALT_MATH_UNARY(asinh, _u10)
ALT_MATH_UNARY(acosh, _u10)
ALT_MATH_UNARY(atanh, _u10)
ALT_MATH_UNARY(erf, _u10)
ALT_MATH_UNARY(erfc, _u15)
ALT_MATH_UNARY(lgamma, _u10)
ALT_MATH_UNARY(tgamma, _u10)
ALT_MATH_UNARY(sqrt, )
ALT_MATH_UNARY(floor, )
ALT_MATH_UNARY(ceil, )
ALT_MATH_UNARY(trunc, )
ALT_MATH_UNARY(rint, )
#undef ALT_MATH_UNARY

#define ALT_MATH_BINARY(name, ulp)                                                         \
  inline Vec<float> name(Vec<float> x, Vec<float> y) {                                     \
    return (Vec<float>::Native)ALT_JOIN(ALT_SLEEF_FLOAT(name), ulp)(x.native, y.native);   \
  }                                                                                        \
  inline Vec<double> name(Vec<double> x, Vec<double> y) {                                  \
    return (Vec<double>::Native)ALT_JOIN(ALT_SLEEF_DOUBLE(name), ulp)(x.native, y.native); \
  }                                                                                        \
  template <class T>                                                                       \
    requires(!is_vec_v<T>)                                                                 \
  ALT_FN T name(T x, T y) {                                                                \
    return std::name(x, y);                                                                \
  }
ALT_MATH_BINARY(pow, _u10)
ALT_MATH_BINARY(atan2, _u10)
ALT_MATH_BINARY(hypot, _u05)
ALT_MATH_BINARY(fmod, )
ALT_MATH_BINARY(nextafter, )
ALT_MATH_BINARY(copysign, )
#undef ALT_MATH_BINARY

/// |x|: the sign bit cleared.
template <class T>
Vec<T> abs(Vec<T> x) {
  constexpr lane_integer_t<T> kMagnitude = std::numeric_limits<lane_integer_t<T>>::max();
  return from_bits<T>(bits_of(x) & kMagnitude);
}
template <class T>
  requires(!is_vec_v<T>)
ALT_FN auto abs(T x) {
  if constexpr (std::is_unsigned_v<T>) {
    return x;
  } else if constexpr (std::is_integral_v<T>) {
    // In unsigned arithmetic, so that the most negative value gives itself and no overflow.
    using Unsigned = std::make_unsigned_t<T>;
    return static_cast<T>(x < 0 ? Unsigned(0) - static_cast<Unsigned>(x)
                                : static_cast<Unsigned>(x));
  } else {
    return std::abs(x);
  }
}

}  // namespace alt::math

namespace alt {

/// `condition ? a : b` for scalars, beside vec.h's for lanes.
template <class T>
ALT_FN T select(bool condition, T a, T b) {
  return condition ? a : b;
}

/// Whether each lane (or the scalar) is NaN.
template <class T>
ALT_FN auto is_nan(T x) {
  return x != x;
}

/// a * b + c in one rounding, beside vec.h's for lanes.
ALT_FN double fma(double a, double b, double c) {
  return std::fma(a, b, c);
}

/// Whether a scalar's only lane is true, beside vec.h's for lanes.
ALT_FN bool any(bool condition) {
  return condition;
}

}  // namespace alt
