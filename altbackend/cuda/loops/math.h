// The twin of csrc/loops/math.h in a CUDA thread: one name for each elementary function, which is
// CUDA's on floats and doubles and complex.cuh's on complex numbers.
#pragma once

#include <cmath>
#include <numeric>

#include "loops/complex.cuh"
#include "loops/failure.cuh"
#include "loops/function.h"
#include "loops/vec.h"

/// csrc/ops checks divisors with it. A thread cannot throw: it leaves a note for the host, and
/// whatever result, which is never read because the note is raised.
#define TORCH_CHECK(condition, message) \
  if (!(condition)) return ::alt::fail(::alt::FailureKind::kZeroDivision, 0, 0)

namespace alt::math {

#define ALT_MATH_UNARY(name)                       \
  ALT_FN float name(float x) {                     \
    return ::name##f(x);                           \
  }                                                \
  ALT_FN double name(double x) {                   \
    return ::name(x);                              \
  }                                                \
  template <class R>                               \
  ALT_FN c10::complex<R> name(c10::complex<R> x) { \
    return ::alt::complex_math::name(x);           \
  }
#define ALT_MATH_REAL(name)      \
  ALT_FN float name(float x) {   \
    return ::name##f(x);         \
  }                              \
  ALT_FN double name(double x) { \
    return ::name(x);            \
  }
ALT_MATH_UNARY(exp)
ALT_MATH_UNARY(expm1)
ALT_MATH_UNARY(log)
ALT_MATH_UNARY(log10)
ALT_MATH_UNARY(log1p)
ALT_MATH_UNARY(sin)
ALT_MATH_UNARY(cos)
ALT_MATH_UNARY(tan)
ALT_MATH_UNARY(asin)
ALT_MATH_UNARY(acos)
ALT_MATH_UNARY(atan)
ALT_MATH_UNARY(sinh)
ALT_MATH_UNARY(cosh)
ALT_MATH_UNARY(tanh)
ALT_MATH_UNARY(asinh)
ALT_MATH_UNARY(acosh)
ALT_MATH_UNARY(atanh)
ALT_MATH_UNARY(sqrt)
ALT_MATH_REAL(exp2)
ALT_MATH_REAL(log2)
ALT_MATH_REAL(erf)
ALT_MATH_REAL(erfc)
ALT_MATH_REAL(lgamma)
ALT_MATH_REAL(tgamma)
ALT_MATH_REAL(floor)
ALT_MATH_REAL(ceil)
ALT_MATH_REAL(trunc)
ALT_MATH_REAL(rint)
#undef ALT_MATH_UNARY
#undef ALT_MATH_REAL

#define ALT_MATH_BINARY(name)              \
  ALT_FN float name(float x, float y) {    \
    return ::name##f(x, y);                \
  }                                        \
  ALT_FN double name(double x, double y) { \
    return ::name(x, y);                   \
  }
ALT_MATH_BINARY(pow)
ALT_MATH_BINARY(atan2)
ALT_MATH_BINARY(hypot)
ALT_MATH_BINARY(fmod)
ALT_MATH_BINARY(nextafter)
ALT_MATH_BINARY(copysign)
#undef ALT_MATH_BINARY
template <class R>
ALT_FN c10::complex<R> pow(c10::complex<R> x, c10::complex<R> y) {
  return complex_math::pow(x, y);
}

ALT_FN float abs(float x) {
  return ::fabsf(x);
}
ALT_FN double abs(double x) {
  return ::fabs(x);
}
template <class R>
ALT_FN R abs(c10::complex<R> x) {
  return hypot(x.real(), x.imag());
}
template <class T>
  requires(std::is_integral_v<T>)
ALT_FN T abs(T x) {
  if constexpr (std::is_unsigned_v<T>) {
    return x;
  } else {
    // In unsigned arithmetic, so that the most negative value gives itself.
    using Unsigned = std::make_unsigned_t<T>;
    return static_cast<T>(x < 0 ? Unsigned(0) - static_cast<Unsigned>(x)
                                : static_cast<Unsigned>(x));
  }
}

}  // namespace alt::math

namespace alt {

template <class T>
ALT_FN T select(bool condition, T a, T b) {
  return condition ? a : b;
}

template <class T>
ALT_FN bool is_nan(T x) {
  return x != x;
}

ALT_FN float fma(float a, float b, float c) {
  return ::fmaf(a, b, c);
}
ALT_FN double fma(double a, double b, double c) {
  return ::fma(a, b, c);
}

/// Integers are multiplied and added without sign, so that what overflows wraps around.
template <class T>
  requires(std::is_integral_v<T>)
ALT_FN T fma(T a, T b, T c) {
  return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b) +
                        static_cast<uint64_t>(c));
}

ALT_FN bool any(bool condition) {
  return condition;
}

/// The smaller; NaN where either is NaN.
template <class T>
ALT_FN T minimum(T a, T b) {
  return a < b || a != a ? a : b;
}
/// The larger; NaN where either is NaN.
template <class T>
ALT_FN T maximum(T a, T b) {
  return a > b || a != a ? a : b;
}

}  // namespace alt
