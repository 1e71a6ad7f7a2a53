// Loops over contiguous memory, a vector at a time and the rest an element at a time, for kernels
// whose inner loop is one expression that takes both; and the half types as lanes of float.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cstdint>

#include "loops/vec.h"

namespace alt {

/// Calls body.template operator()<V>(i) for vectors V = Vec<T>, then for elements V = T, that make
/// up [0, n).
template <class T, class Body>
void for_each_lane(int64_t n, Body&& body) {
  int64_t i = 0;
  for (; i + Vec<T>::size <= n; i += Vec<T>::size) {
    body.template operator()<Vec<T>>(i);
  }
  for (; i < n; ++i) {
    body.template operator()<T>(i);
  }
}

/// A vector, or one element, from memory.
template <class V, class T>
V read(const T* from) {
  if constexpr (is_vec_v<V>) {
    return V::load(from);
  } else {
    return *from;
  }
}

/// A vector of what T is computed in, from memory of T. The half types become float.
template <class T>
  requires has_vec_v<T>
Vec<T> read_widened(const T* from) {
  return Vec<T>::load(from);
}
inline Vec<float> read_widened(const c10::BFloat16* from) {
#if defined(__AVX512F__)
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  // maskz: g++ 12 warns of the undefined operand inside the others.
  const __m512i wide = _mm512_maskz_cvtepu16_epi32(0xffff, bits);
  return Vec<float>(_mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, wide, 16)));
#elif defined(__AVX2__)
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return Vec<float>(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)));
#else
  alignas(kVectorBytes) float wide[Vec<float>::size];
  for (int i = 0; i < Vec<float>::size; ++i) wide[i] = from[i];
  return Vec<float>::load(wide);
#endif
}
inline Vec<float> read_widened(const c10::Half* from) {
#if defined(__AVX512F__)
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return Vec<float>(_mm512_maskz_cvtph_ps(0xffff, bits));
#elif defined(__AVX2__) && defined(__F16C__)
  return Vec<float>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#else
  alignas(kVectorBytes) float wide[Vec<float>::size];
  for (int i = 0; i < Vec<float>::size; ++i) wide[i] = from[i];
  return Vec<float>::load(wide);
#endif
}

/// A vector of To, from memory of what it widens from: of a half type for float, of float for
/// double.
template <class To, class T>
Vec<To> read_as(const T* from) {
  if constexpr (std::is_same_v<To, double>) {
    return read_doubles(from);
  } else {
    return read_widened(from);
  }
}

/// Lanes as the half type: rounded to nearest even, as a scalar's conversion does.
inline void write_narrowed(Vec<float> value, c10::BFloat16* to) {
#if defined(__AVX512F__)
  const __m512i bits = _mm512_castps_si512(value.native), one = _mm512_set1_epi32(1);
  const __m512i odd = _mm512_and_si512(_mm512_maskz_srli_epi32(0xffff, bits, 16), one);
  const __m512i bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
  const __m512i rounded = _mm512_maskz_srli_epi32(0xffff, _mm512_add_epi32(bits, bias), 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(value.native, value.native, _CMP_UNORD_Q);
  const __m512i half = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_maskz_cvtepi32_epi16(0xffff, half));
#else
  alignas(kVectorBytes) float wide[Vec<float>::size];
  value.store(wide);
  for (int i = 0; i < Vec<float>::size; ++i) to[i] = wide[i];
#endif
}
inline void write_narrowed(Vec<float> value, c10::Half* to) {
#if defined(__AVX512F__)
  const __m256i half = _mm512_maskz_cvtps_ph(0xffff, value.native, _MM_FROUND_TO_NEAREST_INT);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), half);
#elif defined(__AVX2__) && defined(__F16C__)
  const __m128i half = _mm256_cvtps_ph(value.native, _MM_FROUND_TO_NEAREST_INT);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), half);
#else
  alignas(kVectorBytes) float wide[Vec<float>::size];
  value.store(wide);
  for (int i = 0; i < Vec<float>::size; ++i) to[i] = wide[i];
#endif
}

/// The first `count` lanes: memory behind them is not touched. The others are 0.
template <class T>
Vec<float> read_widened(const T* from, int count) {
  T some[Vec<float>::size] = {};
  std::copy_n(from, count, some);
  return read_widened(some);
}
template <class T>
void write_narrowed(Vec<float> value, T* to, int count) {
  T some[Vec<float>::size];
  write_narrowed(value, some);
  std::copy_n(some, count, to);
}

template <class T>
void write(Vec<T> value, T* to) {
  value.store(to);
}
template <class T>
void write(T value, T* to) {
  *to = value;
}

}  // namespace alt
