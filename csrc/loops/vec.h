// Vec<T>: as many float or double lanes as the widest vector register of the build holds.
//
// Built on GCC's and Clang's vector extensions, so the same text is AVX-512, AVX2 or NEON by the
// -march flag alone. Comparisons give Mask<T>, which only `select`, `&`, `|` and `!` understand.
#pragma once

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

namespace alt {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

template <class T>
using lane_integer_t = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

namespace detail {
// Spelled out a type at a time: GCC loses the vector_size attribute of a dependent typedef.
template <class T, int bytes>
struct NativeVector;
template <>
struct NativeVector<float, kVectorBytes> {
  typedef float type __attribute__((vector_size(kVectorBytes)));
};
template <>
struct NativeVector<double, kVectorBytes> {
  typedef double type __attribute__((vector_size(kVectorBytes)));
};
template <>
struct NativeVector<int32_t, kVectorBytes> {
  typedef int32_t type __attribute__((vector_size(kVectorBytes)));
};
template <>
struct NativeVector<int64_t, kVectorBytes> {
  typedef int64_t type __attribute__((vector_size(kVectorBytes)));
};
template <int bytes>
struct NativeVector<int8_t, bytes> {
  static_assert(bytes == kVectorBytes / 4 || bytes == kVectorBytes / 8);
  typedef int8_t Half __attribute__((vector_size(kVectorBytes / 4)));
  typedef int8_t Quarter __attribute__((vector_size(kVectorBytes / 8)));
  using type = std::conditional_t<bytes == kVectorBytes / 4, Half, Quarter>;
};
}  // namespace detail

/// One truth value a lane: all bits set, or none.
template <class T>
struct Mask {
  using Native = typename detail::NativeVector<lane_integer_t<T>, kVectorBytes>::type;
  static constexpr int size = kVectorBytes / sizeof(T);
  Native bits;

  friend Mask operator&(Mask a, Mask b) { return {a.bits & b.bits}; }
  friend Mask operator|(Mask a, Mask b) { return {a.bits | b.bits}; }
  friend Mask operator^(Mask a, Mask b) { return {a.bits ^ b.bits}; }
  friend Mask operator!(Mask a) { return {~a.bits}; }

  /// Writes lane truth values as bool bytes.
  void store(bool* to, int count = size) const {
    using Bytes = typename detail::NativeVector<int8_t, size>::type;
    Bytes narrow = __builtin_convertvector(bits, Bytes) & 1;
    std::memcpy(to, &narrow, static_cast<size_t>(count));
  }
};

template <class T>
struct Vec {
  using value_type = T;
  using Native = typename detail::NativeVector<T, kVectorBytes>::type;
  static constexpr int size = kVectorBytes / sizeof(T);
  Native native;

  Vec() = default;
  Vec(Native n) : native(n) {}
  // x - 0 is x for every x, negative zero and NaN too, which x + 0 is not.
  Vec(T scalar) : native(scalar - Native{}) {}
  template <class S>
    requires(std::is_arithmetic_v<S> && !std::is_same_v<S, T>)
  explicit Vec(S scalar) : native(static_cast<T>(scalar) - Native{}) {}

  static Vec load(const T* from) {
    Vec v;
    std::memcpy(&v.native, from, sizeof(Native));
    return v;
  }
  /// The first `count` lanes from memory, the others zero.
  static Vec load(const T* from, int count) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
      return Vec(_mm512_maskz_loadu_ps((1u << count) - 1, from));
    } else {
      return Vec(_mm512_maskz_loadu_pd((1u << count) - 1, from));
    }
#else
    Vec v(T(0));
    std::memcpy(&v.native, from, static_cast<size_t>(count) * sizeof(T));
    return v;
#endif
  }
  void store(T* to) const { std::memcpy(to, &native, sizeof(Native)); }
  void store(T* to, int count) const {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
      _mm512_mask_storeu_ps(to, (1u << count) - 1, native);
    } else {
      _mm512_mask_storeu_pd(to, (1u << count) - 1, native);
    }
#else
    std::memcpy(to, &native, static_cast<size_t>(count) * sizeof(T));
#endif
  }
  T operator[](int lane) const { return native[lane]; }

  friend Vec operator+(Vec a, Vec b) { return a.native + b.native; }
  friend Vec operator-(Vec a, Vec b) { return a.native - b.native; }
  friend Vec operator*(Vec a, Vec b) { return a.native * b.native; }
  friend Vec operator/(Vec a, Vec b) { return a.native / b.native; }
  friend Vec operator-(Vec a) { return -a.native; }
  Vec& operator+=(Vec b) { return *this = *this + b; }
  Vec& operator-=(Vec b) { return *this = *this - b; }
  Vec& operator*=(Vec b) { return *this = *this * b; }
  Vec& operator/=(Vec b) { return *this = *this / b; }

  friend Mask<T> operator<(Vec a, Vec b) { return {a.native < b.native}; }
  friend Mask<T> operator<=(Vec a, Vec b) { return {a.native <= b.native}; }
  friend Mask<T> operator>(Vec a, Vec b) { return {a.native > b.native}; }
  friend Mask<T> operator>=(Vec a, Vec b) { return {a.native >= b.native}; }
  friend Mask<T> operator==(Vec a, Vec b) { return {a.native == b.native}; }
  friend Mask<T> operator!=(Vec a, Vec b) { return {a.native != b.native}; }
};

template <class T>
inline constexpr bool is_vec_v = false;
template <class T>
inline constexpr bool is_vec_v<Vec<T>> = true;

template <class T>
inline constexpr bool has_vec_v = std::is_same_v<T, float> || std::is_same_v<T, double>;

template <class T>
Vec<T> select(Mask<T> condition, Vec<T> a, Vec<T> b) {
  return condition.bits ? a.native : b.native;
}

/// A vector of doubles from memory, of floats too.
inline Vec<double> read_doubles(const double* from) {
  return Vec<double>::load(from);
}
inline Vec<double> read_doubles(const float* from) {
#if defined(__AVX512F__)
  // maskz: g++ 12 warns of the undefined operand inside the other.
  return Vec<double>(_mm512_maskz_cvtps_pd(0xff, _mm256_loadu_ps(from)));
#else
  alignas(kVectorBytes) double wide[Vec<double>::size];
  for (int i = 0; i < Vec<double>::size; ++i) wide[i] = from[i];
  return Vec<double>::load(wide);
#endif
}

/// Whether any lane is true.
template <class T>
bool any(Mask<T> mask) {
#if defined(__AVX512F__)
  const __m512i bits = (__m512i)mask.bits;
  return _mm512_test_epi64_mask(bits, bits) != 0;
#elif defined(__AVX2__)
  const __m256i bits = (__m256i)mask.bits;
  return _mm256_testz_si256(bits, bits) == 0;
#else
  for (int i = 0; i < Mask<T>::size; ++i) {
    if (mask.bits[i]) return true;
  }
  return false;
#endif
}

/// The first lane that is true, of a mask that has one.
template <class T>
int first_lane(Mask<T> mask) {
#if defined(__AVX512F__)
  const __m512i bits = (__m512i)mask.bits;
  return __builtin_ctz(sizeof(T) == 4 ? _mm512_test_epi32_mask(bits, bits)
                                      : _mm512_test_epi64_mask(bits, bits));
#else
  int lane = 0;
  while (!mask.bits[lane]) ++lane;
  return lane;
#endif
}

/// Lane bits as integers of the lane's width, for sign and exponent work.
template <class T>
typename Mask<T>::Native bits_of(Vec<T> x) {
  typename Mask<T>::Native bits;
  std::memcpy(&bits, &x.native, sizeof bits);
  return bits;
}
template <class T>
Vec<T> from_bits(typename Mask<T>::Native bits) {
  Vec<T> x;
  std::memcpy(&x.native, &bits, sizeof bits);
  return x;
}

/// Numbers that are not negative, with the signs of `x`.
template <class T>
Vec<T> with_sign_of(Vec<T> size, Vec<T> x) {
  const auto sign = bits_of(x) & bits_of(Vec<T>(T(-0.0)));
  return from_bits<T>(bits_of(size) | sign);
}

/// Integers as lanes of the same width.
template <class T>
Vec<T> integer_lanes(typename Mask<T>::Native integers) {
  return __builtin_convertvector(integers, typename Vec<T>::Native);
}

/// The type of a lane, and of a scalar itself.
template <class T>
struct Element {
  using type = T;
};
template <class T>
struct Element<Vec<T>> {
  using type = T;
};
template <class T>
using element_t = typename Element<T>::type;

/// a * b + c in one rounding. The build forbids the compiler to fuse by itself (-ffp-contract=off),
/// so that an operator's rounding is what its text says.
template <class T>
Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (typename Vec<T>::Native)_mm512_fmadd_ps(a.native, b.native, c.native);
  } else {
    return (typename Vec<T>::Native)_mm512_fmadd_pd(a.native, b.native, c.native);
  }
#elif defined(__AVX2__) && defined(__FMA__)
  if constexpr (sizeof(T) == 4) {
    return (typename Vec<T>::Native)_mm256_fmadd_ps(a.native, b.native, c.native);
  } else {
    return (typename Vec<T>::Native)_mm256_fmadd_pd(a.native, b.native, c.native);
  }
#else
  Vec<T> result;
  for (int i = 0; i < Vec<T>::size; ++i) {
    result.native[i] = std::fma(a.native[i], b.native[i], c.native[i]);
  }
  return result;
#endif
}

#if defined(__AVX512F__)
namespace detail {
/// What the processor's own minimum or maximum of a and b lacks: they give b where a is NaN.
template <class T>
Vec<T> unless_nan(Vec<T> a, typename Vec<T>::Native chosen) {
  if constexpr (sizeof(T) == 4) {
    return Vec<T>(
        _mm512_mask_mov_ps(chosen, _mm512_cmp_ps_mask(a.native, a.native, _CMP_UNORD_Q), a.native));
  } else {
    return Vec<T>(
        _mm512_mask_mov_pd(chosen, _mm512_cmp_pd_mask(a.native, a.native, _CMP_UNORD_Q), a.native));
  }
}
}  // namespace detail
#endif

/// The smaller number or lane; NaN where either is NaN.
template <class T>
  requires(!is_vec_v<T>)
constexpr T minimum(T a, T b) {
  return a < b || a != a ? a : b;
}
template <class T>
Vec<T> minimum(Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  // maskz: g++ 12 warns of the undefined operand inside the others.
  if constexpr (sizeof(T) == 4) {
    return detail::unless_nan(a, _mm512_maskz_min_ps(0xffff, a.native, b.native));
  } else {
    return detail::unless_nan(a, _mm512_maskz_min_pd(0xff, a.native, b.native));
  }
#else
  return select((a < b) | (a != a), a, b);
#endif
}
/// The larger number or lane; NaN where either is NaN.
template <class T>
  requires(!is_vec_v<T>)
constexpr T maximum(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
Vec<T> maximum(Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return detail::unless_nan(a, _mm512_maskz_max_ps(0xffff, a.native, b.native));
  } else {
    return detail::unless_nan(a, _mm512_maskz_max_pd(0xff, a.native, b.native));
  }
#else
  return select((a > b) | (a != a), a, b);
#endif
}

namespace detail {
template <int width, class T, size_t... lane>
Vec<T> rotated(Vec<T> x, std::index_sequence<lane...>) {
  return __builtin_shufflevector(x.native, x.native, ((lane + width) % sizeof...(lane))...);
}
}  // namespace detail

/// The lanes combined by halves (a tree), so that the order does not depend on the lane count
/// alone. A call would cost as much as it does.
template <class Combine, class T, int width = Vec<T>::size / 2>
[[gnu::always_inline]] inline T fold_lanes(Vec<T> x, const Combine& combine) {
  if constexpr (width == 0) {
    return x[0];
  } else {
    constexpr auto lanes = std::make_index_sequence<Vec<T>::size>{};
    return fold_lanes<Combine, T, width / 2>(combine(x, detail::rotated<width>(x, lanes)), combine);
  }
}

/// Sum of the lanes.
template <class T>
T reduce_add(Vec<T> x) {
  return fold_lanes(x, [](Vec<T> a, Vec<T> b) { return a + b; });
}

/// Largest lane, NaN if any lane is NaN.
template <class T>
T reduce_max(Vec<T> x) {
  return fold_lanes(x, [](Vec<T> a, Vec<T> b) { return maximum(a, b); });
}

}  // namespace alt
