// Arithmetic between elements. T is Vec<float>, Vec<double>, an integer, bool or complex number.
#pragma once

#include <c10/util/complex.h>

#include <numeric>
#include <type_traits>

#include "loops/function.h"
#include "loops/math.h"

namespace alt::ops {

template <class T>
inline constexpr bool is_float_v = is_vec_v<T> || std::is_floating_point_v<T>;
template <class T>
inline constexpr bool is_bool_v = std::is_same_v<T, bool>;

template <class T>
ALT_FN T add(T x, T y, T alpha) {
  if constexpr (is_bool_v<T>) {
    return x || (y && alpha);
  } else if constexpr (is_vec_v<T>) {
    // One rounding, as stock's fused multiply-add.
    return fma(y, alpha, x);
  } else {
    return static_cast<T>(x + y * alpha);
  }
}

template <class T>
ALT_FN T sub(T x, T y, T alpha) {
  return add(x, y, static_cast<T>(-alpha));
}

/// x, which what it is added to cannot be fused with.
template <class T>
ALT_FN T rounded(T x) {
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
  return __builtin_assoc_barrier(x);
#else
  return x;
#endif
}

/// With all four products rounded, as stock's vectors have it: what cancels or overflows shows the
/// difference. g++ 12 fuses two of them in whole vectors (vfmaddsub), -ffp-contract=off or not.
template <class T>
ALT_FN c10::complex<T> product(c10::complex<T> x, c10::complex<T> y) {
  return {rounded(x.real() * y.real()) - rounded(x.imag() * y.imag()),
          rounded(x.real() * y.imag()) + rounded(x.imag() * y.real())};
}

template <class T>
ALT_FN T mul(T x, T y) {
  if constexpr (is_bool_v<T>) {
    return x && y;
  } else if constexpr (c10::is_complex<T>::value) {
    return product(x, y);
  } else {
    return static_cast<T>(x * y);
  }
}

template <class T>
ALT_FN T div_true(T x, T y) {
  return x / y;
}

template <class T>
ALT_FN T div_trunc(T x, T y) {
  if constexpr (is_float_v<T>) {
    return math::trunc(x / y);
  } else {
    TORCH_CHECK(y != 0, "ZeroDivisionError");
    if constexpr (std::is_signed_v<T>) {
      if (y == T(-1)) return static_cast<T>(T(0) - x);
    }
    return static_cast<T>(x / y);
  }
}

/// Python's floor division: the quotient is rounded down from the exact remainder, so that
/// x == div_floor(x, y) * y + remainder even where x / y rounds up to an integer.
template <class T>
ALT_FN T div_floor(T x, T y) {
  if constexpr (is_float_v<T>) {
    const T mod = math::fmod(x, y);
    T quotient = (x - mod) / y;
    const T zero(0);
    quotient = select((mod != zero) & ((y < zero) ^ (mod < zero)), quotient - T(1), quotient);
    T floored = math::floor(quotient);
    floored = select(quotient - floored > T(0.5), floored + T(1), floored);
    floored = select(quotient == zero, math::copysign(zero, x / y), floored);
    return select(y == zero, x / y, floored);
  } else {
    TORCH_CHECK(y != 0, "ZeroDivisionError");
    if constexpr (std::is_signed_v<T>) {
      if (y == T(-1)) return static_cast<T>(T(0) - x);
      const T quotient = static_cast<T>(x / y);
      return ((x % y != 0) && ((x < 0) != (y < 0))) ? static_cast<T>(quotient - 1) : quotient;
    } else {
      return static_cast<T>(x / y);
    }
  }
}

/// The remainder with the sign of the divisor (Python's %).
template <class T>
ALT_FN T remainder(T x, T y) {
  if constexpr (is_float_v<T>) {
    const T mod = math::fmod(x, y);
    const T zero(0);
    return select((mod != zero) & ((y < zero) ^ (mod < zero)), mod + y, mod);
  } else {
    TORCH_CHECK(y != 0, "ZeroDivisionError");
    if constexpr (std::is_signed_v<T>) {
      if (y == T(-1)) return T(0);
      const T mod = static_cast<T>(x % y);
      return (mod != 0 && ((y < 0) != (mod < 0))) ? static_cast<T>(mod + y) : mod;
    } else {
      return static_cast<T>(x % y);
    }
  }
}

/// The remainder with the sign of the dividend (C's fmod).
template <class T>
ALT_FN T fmod(T x, T y) {
  if constexpr (is_float_v<T>) {
    return math::fmod(x, y);
  } else {
    TORCH_CHECK(y != 0, "ZeroDivisionError");
    if constexpr (std::is_signed_v<T>) {
      if (y == T(-1)) return T(0);
    }
    return static_cast<T>(x % y);
  }
}

template <class T>
ALT_FN T addcmul(T self, T tensor1, T tensor2, T value) {
  if constexpr (is_bool_v<T>) {
    return self || (value && tensor1 && tensor2);
  } else if constexpr (is_vec_v<T>) {
    return fma(value * tensor1, tensor2, self);
  } else {
    return static_cast<T>(self + value * tensor1 * tensor2);
  }
}

/// beta self + alpha x y, where self is not looked at if beta is 0.
template <class T>
ALT_FN T addr(T self, T x, T y, T beta, T alpha) {
  if constexpr (is_bool_v<T>) {
    return (beta && self) || (alpha && x && y);
  } else if constexpr (is_vec_v<T>) {
    const T product = alpha * x;
    return select(beta == T(0), product * y, fma(product, y, beta * self));
  } else {
    const T product = static_cast<T>(alpha * x * y);
    return beta == T(0) ? product : static_cast<T>(beta * self + product);
  }
}

template <class T>
ALT_FN T addcdiv(T self, T tensor1, T tensor2, T value) {
  return self + value * tensor1 / tensor2;
}

/// Symmetrical in the ends, so that weight 0 gives `start` and weight 1 gives `end` exactly.
template <class T>
ALT_FN T lerp(T start, T end, T weight) {
  if constexpr (is_vec_v<T>) {
    return select(math::abs(weight) < T(0.5), fma(weight, end - start, start),
                  end - (end - start) * (T(1) - weight));
  } else {
    const auto real = std::abs(weight);
    return real < 0.5 ? start + weight * (end - start) : end - (end - start) * (T(1) - weight);
  }
}

template <class T>
ALT_FN T neg(T x) {
  return static_cast<T>(-x);
}

template <class T>
ALT_FN T reciprocal(T x) {
  return T(1) / x;
}

template <class T>
ALT_FN auto abs(T x) {
  if constexpr (is_bool_v<T>) {
    return x;
  } else {
    return math::abs(x);
  }
}

template <class T>
ALT_FN T sign(T x) {
  if constexpr (is_bool_v<T>) {
    return x;
  } else if constexpr (is_vec_v<T>) {
    const T zero(0);
    return select(x > zero, T(1), select(x < zero, T(-1), zero));
  } else {
    return static_cast<T>((x > T(0)) - (x < T(0)));
  }
}

/// x / |x|, zero where x is zero.
template <class T>
ALT_FN T sgn(T x) {
  if constexpr (is_bool_v<T> || is_vec_v<T> || std::is_integral_v<T>) {
    return sign(x);
  } else {
    const auto magnitude = std::abs(x);
    return magnitude == 0 ? T(0) : x / magnitude;
  }
}

template <class T>
ALT_FN auto signbit(T x) {
  if constexpr (is_vec_v<T>) {
    return Mask<element_t<T>>{bits_of(x) < 0};
  } else {
    return x < T(0);
  }
}

template <class T>
ALT_FN T conj_physical(T x) {
  if constexpr (c10::is_complex<T>::value) {
    return std::conj(x);
  } else {
    return x;
  }
}

/// The argument of a complex number; pi for negative numbers, 0 for others.
template <class T>
ALT_FN auto angle(T x) {
  if constexpr (c10::is_complex<T>::value) {
    return std::arg(x);
  } else if constexpr (is_vec_v<T>) {
    return select(is_nan(x), x, select(x < T(0), T(3.14159265358979323846), T(0)));
  } else {
    return x < T(0) ? 3.14159265358979323846f : 0.0f;
  }
}

template <class T>
ALT_FN T maximum(T x, T y) {
  return alt::maximum(x, y);
}

template <class T>
ALT_FN T minimum(T x, T y) {
  return alt::minimum(x, y);
}

/// The larger; where one is NaN, the other.
template <class T>
ALT_FN T fmax(T x, T y) {
  return select(is_nan(x) | (y > x), y, x);
}

template <class T>
ALT_FN T fmin(T x, T y) {
  return select(is_nan(x) | (y < x), y, x);
}

// The bound first: that it is no NaN is asked once, before the loop, and a zero keeps its sign.
template <class T>
ALT_FN T clamp_min(T x, T low) {
  return maximum(low, x);
}

template <class T>
ALT_FN T clamp_max(T x, T high) {
  return minimum(high, x);
}

/// NaN in any operand gives NaN; min > max gives max.
template <class T>
ALT_FN T clamp(T x, T low, T high) {
  return clamp_max(clamp_min(x, low), high);
}

/// x + alpha y within bounds: relu of a sum.
template <class T>
ALT_FN T add_clamp(T x, T y, T alpha, T low, T high) {
  return clamp(add(x, y, alpha), low, high);
}

/// Of the most negative number, whose absolute value T lacks, by Euclid's remainders: they keep its
/// sign, and so does stock's divisor.
template <class T>
ALT_FN T gcd(T x, T y) {
  if constexpr (std::is_signed_v<T>) {
    constexpr T kLeast = std::numeric_limits<T>::min();
    if (x == kLeast || y == kLeast) {
      x = math::abs(x);
      y = math::abs(y);
      while (x != 0) {
        const T remainder = static_cast<T>(y % x);
        y = x;
        x = remainder;
      }
      return y;
    }
  }
  return std::gcd(x, y);
}

template <class T>
ALT_FN T lcm(T x, T y) {
  const T divisor = ops::gcd(x, y);
  // Short integers are multiplied as int, whose absolute value is what overflows.
  return divisor == 0 ? T(0) : static_cast<T>(math::abs(x / divisor * y));
}

template <class T>
ALT_FN T copysign(T x, T y) {
  return math::copysign(x, y);
}

template <class T>
ALT_FN T hypot(T x, T y) {
  return math::hypot(x, y);
}

template <class T>
ALT_FN T nextafter(T x, T y) {
  return math::nextafter(x, y);
}

template <class T>
ALT_FN T heaviside(T x, T values) {
  if constexpr (is_vec_v<T>) {
    return select(x == T(0), values, select(x > T(0), T(1), T(0)));
  } else {
    return x == T(0) ? values : static_cast<T>(x > T(0));
  }
}

template <class T>
ALT_FN T pow(T base, T exponent) {
  if constexpr (std::is_integral_v<T>) {
    if constexpr (std::is_signed_v<T>) {
      if (exponent < 0) {
        if (base == T(1)) return T(1);
        if (base == T(-1)) return (exponent % 2 == 0) ? T(1) : T(-1);
        return T(0);
      }
    }
    // By squaring, in unsigned arithmetic: overflow wraps as stock's does.
    using Unsigned = std::conditional_t<sizeof(T) < 4, uint32_t, std::make_unsigned_t<T>>;
    Unsigned result = 1;
    for (auto factor = static_cast<Unsigned>(base); exponent > 0; exponent /= 2) {
      if (exponent % 2 != 0) result *= factor;
      factor *= factor;
    }
    return static_cast<T>(result);
  } else {
    return math::pow(base, exponent);
  }
}

/// tensor ** scalar: the exponents that have a shorter way than pow take it.
template <class T>
ALT_FN T pow_scalar(T base, T exponent) {
  if constexpr (std::is_integral_v<T>) {
    return pow(base, exponent);
  } else {
    // The same for all elements, so the branch is predicted.
    const auto power = [&] {
      if constexpr (std::is_same_v<element_t<T>, T>) {
        return exponent;
      } else {
        return exponent[0];
      }
    }();
    using Power = std::remove_const_t<decltype(power)>;
    if (power == Power(2)) return mul(base, base);
    if (power == Power(3)) return mul(mul(base, base), base);
    if (power == Power(-2)) return T(1) / (base * base);
    if (power == Power(0.5)) return math::sqrt(base);
    if (power == Power(-0.5)) return T(1) / math::sqrt(base);
    if (power == Power(-1)) return T(1) / base;
    return pow(base, exponent);
  }
}

/// (x if condition else y); the condition is cast to T on load.
template <class T>
ALT_FN T where(T condition, T x, T y) {
  return select(condition != T(0), x, y);
}

/// NaN and the infinities replaced.
template <class T>
ALT_FN T nan_to_num(T x, T nan, T positive, T negative) {
  if constexpr (c10::is_complex<T>::value) {
    return T(nan_to_num(x.real(), nan.real(), positive.real(), negative.real()),
             nan_to_num(x.imag(), nan.real(), positive.real(), negative.real()));
  } else {
    const T infinity(std::numeric_limits<element_t<T>>::infinity());
    x = select(x == infinity, positive, select(x == T(0) - infinity, negative, x));
    return select(is_nan(x), nan, x);
  }
}

/// The mantissa in [0.5, 1) and the exponent; what has none (0, infinity, NaN) gives itself and 0.
template <class T>
ALT_FN Two<T> frexp(T x) {
  using E = element_t<T>;
  constexpr int kBits = std::numeric_limits<E>::digits - 1;
  constexpr lane_integer_t<E> kBias = std::numeric_limits<E>::max_exponent - 2;
  constexpr lane_integer_t<E> kExponent = lane_integer_t<E>(2 * kBias + 3) << kBits;
  const auto subnormal = math::abs(x) < T(std::numeric_limits<E>::min());
  const T normal = select(subnormal, x * T(lane_integer_t<E>(1) << kBits), x);
  const auto bits = bits_of(normal);
  const T stored = integer_lanes<E>((bits & kExponent) >> kBits);
  const T exponent = stored - select(subnormal, T(kBias + kBits), T(kBias));
  const T mantissa = from_bits<E>((bits & ~kExponent) | (kBias << kBits));
  const auto none = (x == T(0)) | !(math::abs(x) < T(std::numeric_limits<E>::infinity()));
  return {select(none, x, mantissa), select(none, T(0), exponent)};
}

}  // namespace alt::ops
