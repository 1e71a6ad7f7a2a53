// What csrc/ops and the kernels use of the C++ library, which NVRTC has not. Each standard header's
// name leads here (altbackend/cuda/compile.py); tests that simulate CUDA with g++ use the real
// ones.
#pragma once

typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;
typedef unsigned long size_t;
typedef unsigned long uintptr_t;

namespace std {

using ::size_t;

template <class T, T v>
struct integral_constant {
  static constexpr T value = v;
};
using true_type = integral_constant<bool, true>;
using false_type = integral_constant<bool, false>;

template <class A, class B>
inline constexpr bool is_same_v = false;
template <class A>
inline constexpr bool is_same_v<A, A> = true;

template <bool condition, class A, class B>
struct conditional {
  using type = A;
};
template <class A, class B>
struct conditional<false, A, B> {
  using type = B;
};
template <bool condition, class A, class B>
using conditional_t = typename conditional<condition, A, B>::type;

template <class T>
struct remove_const {
  using type = T;
};
template <class T>
struct remove_const<const T> {
  using type = T;
};
template <class T>
using remove_const_t = typename remove_const<T>::type;

template <class T>
T&& declval() noexcept;

template <class T>
inline constexpr bool is_floating_point_v = is_same_v<T, float> || is_same_v<T, double>;
template <class T, class... Ts>
inline constexpr bool is_one_of_v = (is_same_v<T, Ts> || ...);
template <class T>
inline constexpr bool is_signed_integral_v =
    is_one_of_v<T, signed char, char, short, int, long, long long>;
template <class T>
inline constexpr bool is_unsigned_v = is_one_of_v<T, bool, unsigned char, unsigned short, unsigned,
                                                  unsigned long, unsigned long long>;
template <class T>
inline constexpr bool is_integral_v = is_signed_integral_v<T> || is_unsigned_v<T>;
template <class T>
inline constexpr bool is_signed_v = is_signed_integral_v<T> || is_floating_point_v<T>;
template <class T>
inline constexpr bool is_arithmetic_v = is_integral_v<T> || is_floating_point_v<T>;

template <int bytes>
struct unsigned_of_size;
template <>
struct unsigned_of_size<1> {
  using type = uint8_t;
};
template <>
struct unsigned_of_size<2> {
  using type = uint16_t;
};
template <>
struct unsigned_of_size<4> {
  using type = uint32_t;
};
template <>
struct unsigned_of_size<8> {
  using type = uint64_t;
};
template <class T>
using make_unsigned_t = typename unsigned_of_size<sizeof(T)>::type;

/// Of integers; floating-point numbers are below.
template <class T>
struct numeric_limits {
  static constexpr bool has_infinity = false;
  static constexpr T max() {
    return is_same_v<T, bool> ? T(1)
           : is_unsigned_v<T> ? static_cast<T>(~T(0))
                              : static_cast<T>(make_unsigned_t<T>(~make_unsigned_t<T>(0)) >> 1);
  }
  static constexpr T min() { return is_unsigned_v<T> ? T(0) : static_cast<T>(-max() - 1); }
  static constexpr T lowest() { return min(); }
  static constexpr T infinity() { return T(0); }
  static constexpr T quiet_NaN() { return T(0); }
};
template <>
struct numeric_limits<float> {
  static constexpr bool has_infinity = true;
  static constexpr int digits = 24;
  static constexpr int max_exponent = 128;
  static constexpr float max() { return 0x1.fffffep127f; }
  static constexpr float min() { return 0x1p-126f; }
  static constexpr float lowest() { return -0x1.fffffep127f; }
  static constexpr float epsilon() { return 0x1p-23f; }
  static constexpr float infinity() { return __builtin_bit_cast(float, 0x7f800000u); }
  static constexpr float quiet_NaN() { return __builtin_bit_cast(float, 0x7fc00000u); }
};
template <>
struct numeric_limits<double> {
  static constexpr bool has_infinity = true;
  static constexpr int digits = 53;
  static constexpr int max_exponent = 1024;
  static constexpr double max() { return 0x1.fffffffffffffp1023; }
  static constexpr double min() { return 0x1p-1022; }
  static constexpr double lowest() { return -0x1.fffffffffffffp1023; }
  static constexpr double epsilon() { return 0x1p-52; }
  static constexpr double infinity() { return __builtin_bit_cast(double, 0x7ff0000000000000ul); }
  static constexpr double quiet_NaN() { return __builtin_bit_cast(double, 0x7ff8000000000000ul); }
};

template <class T>
constexpr bool isinf(T x) {
  return x == x && x - x != T(0);
}

template <class T>
constexpr T gcd(T x, T y) {
  // In unsigned arithmetic, for the most negative value.
  using Unsigned = make_unsigned_t<T>;
  Unsigned a = x < T(0) ? Unsigned(0) - static_cast<Unsigned>(x) : static_cast<Unsigned>(x);
  Unsigned b = y < T(0) ? Unsigned(0) - static_cast<Unsigned>(y) : static_cast<Unsigned>(y);
  while (b != 0) {
    const Unsigned rest = static_cast<Unsigned>(a % b);
    a = b;
    b = rest;
  }
  return static_cast<T>(a);
}

}  // namespace std
