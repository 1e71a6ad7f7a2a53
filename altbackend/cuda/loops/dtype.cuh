// The dtypes that memory holds, and how a number is cast on load and on store.
#pragma once

#include <c10/util/complex.h>

#include <cstdint>
#include <type_traits>

#include "loops/arguments.h"
#include "loops/function.h"

namespace alt {

struct alignas(2) Half {
  uint16_t bits;
};
struct alignas(2) BFloat16 {
  uint16_t bits;
};
using ComplexHalf = struct alignas(4) {
  Half re, im;
};

ALT_FN float to_float(Half x) {
#if defined(__CUDACC_RTC__)
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(x.bits));
  return result;
#else
  return static_cast<float>(__builtin_bit_cast(_Float16, x));
#endif
}
ALT_FN Half to_half(float x) {
#if defined(__CUDACC_RTC__)
  Half result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(x));
  return result;
#else
  return __builtin_bit_cast(Half, static_cast<_Float16>(x));
#endif
}

ALT_FN float to_float(BFloat16 x) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(x.bits) << 16);
}
/// To nearest, halves to even.
ALT_FN BFloat16 to_bfloat16(float x) {
  if (x != x) return {0x7fc0};
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

template <class T>
struct OpMath {
  using type = T;
};
template <>
struct OpMath<Half> {
  using type = float;
};
template <>
struct OpMath<BFloat16> {
  using type = float;
};
/// The type that arithmetic on T is done in.
template <class T>
using opmath_t = typename OpMath<T>::type;

template <class T>
inline constexpr bool is_complex_v = c10::is_complex<T>::value;

/// `x` as a To. Complex numbers lose their imaginary part, floating-point ones what is behind the
/// point; integers are cut to size.
template <class To, class From>
ALT_FN To convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>) {
    return convert<To>(to_float(x));
  } else if constexpr (std::is_same_v<From, ComplexHalf>) {
    return convert<To>(c10::complex<float>(to_float(x.re), to_float(x.im)));
  } else if constexpr (std::is_same_v<To, Half>) {
    return to_half(convert<float>(x));
  } else if constexpr (std::is_same_v<To, BFloat16>) {
    return to_bfloat16(convert<float>(x));
  } else if constexpr (std::is_same_v<To, ComplexHalf>) {
    const auto z = convert<c10::complex<float>>(x);
    return {to_half(z.re), to_half(z.im)};
  } else if constexpr (is_complex_v<To> && is_complex_v<From>) {
    return To(x);
  } else if constexpr (is_complex_v<To>) {
    return To(static_cast<typename To::value_type>(x));
  } else if constexpr (is_complex_v<From>) {
    if constexpr (std::is_same_v<To, bool>) {
      return x.re != 0 || x.im != 0;
    } else {
      return convert<To>(x.re);
    }
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_unsigned_v<To> && sizeof(To) < 8) {
    return static_cast<To>(static_cast<int64_t>(x));  // negative numbers wrap, as on the host
  } else {
    return static_cast<To>(x);
  }
}

/// A scalar argument as the operator takes it.
template <class P>
ALT_FN P scalar(const ScalarArgs& value) {
  if constexpr (is_complex_v<P>) {
    using R = typename P::value_type;
    return P(static_cast<R>(value.real), static_cast<R>(value.imaginary));
  } else if constexpr (std::is_floating_point_v<P>) {
    return static_cast<P>(value.real);
  } else {
    return static_cast<P>(value.integer);
  }
}

}  // namespace alt
