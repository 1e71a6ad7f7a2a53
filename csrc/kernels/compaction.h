// Elements picked by the bits of a word: packed one after another, or spread from there. AVX-512
// has an instruction for either, for bytes and pairs of bytes in VBMI2; elsewhere, and for elements
// of 16 bytes, each bit that is set is a step.
#pragma once

#if defined(__AVX512BW__)
#include <immintrin.h>
#endif

#include <bit>
#include <cstdint>

#include "kernels/bits.h"

namespace alt::kernels {

namespace detail {

/// The instructions for elements of `bytes`, in vectors of `lanes`; none where lanes is 0.
template <int bytes>
struct Picked {
  static constexpr int lanes = 0;
};

#if defined(__AVX512BW__)
template <>
struct Picked<4> {
  static constexpr int lanes = 16;
  static void pack(__mmask16 kept, const void* from, __mmask16 first, void* to) {
    const __m512i all = _mm512_maskz_loadu_epi32(kept, from);
    _mm512_mask_storeu_epi32(to, first, _mm512_maskz_compress_epi32(kept, all));
  }
  static void spread(__mmask16 kept, const void* from, __mmask16 first, void* to) {
    const __m512i next = _mm512_maskz_loadu_epi32(first, from);
    _mm512_mask_storeu_epi32(to, kept, _mm512_maskz_expand_epi32(kept, next));
  }
};

template <>
struct Picked<8> {
  static constexpr int lanes = 8;
  static void pack(__mmask8 kept, const void* from, __mmask8 first, void* to) {
    const __m512i all = _mm512_maskz_loadu_epi64(kept, from);
    _mm512_mask_storeu_epi64(to, first, _mm512_maskz_compress_epi64(kept, all));
  }
  static void spread(__mmask8 kept, const void* from, __mmask8 first, void* to) {
    const __m512i next = _mm512_maskz_loadu_epi64(first, from);
    _mm512_mask_storeu_epi64(to, kept, _mm512_maskz_expand_epi64(kept, next));
  }
};
#endif

#if defined(__AVX512VBMI2__) && defined(__AVX512BW__)
template <>
struct Picked<1> {
  static constexpr int lanes = 64;
  static void pack(__mmask64 kept, const void* from, __mmask64 first, void* to) {
    const __m512i all = _mm512_maskz_loadu_epi8(kept, from);
    _mm512_mask_storeu_epi8(to, first, _mm512_maskz_compress_epi8(kept, all));
  }
  static void spread(__mmask64 kept, const void* from, __mmask64 first, void* to) {
    const __m512i next = _mm512_maskz_loadu_epi8(first, from);
    _mm512_mask_storeu_epi8(to, kept, _mm512_maskz_expand_epi8(kept, next));
  }
};

template <>
struct Picked<2> {
  static constexpr int lanes = 32;
  static void pack(__mmask32 kept, const void* from, __mmask32 first, void* to) {
    const __m512i all = _mm512_maskz_loadu_epi16(kept, from);
    _mm512_mask_storeu_epi16(to, first, _mm512_maskz_compress_epi16(kept, all));
  }
  static void spread(__mmask32 kept, const void* from, __mmask32 first, void* to) {
    const __m512i next = _mm512_maskz_loadu_epi16(first, from);
    _mm512_mask_storeu_epi16(to, kept, _mm512_maskz_expand_epi16(kept, next));
  }
};
#endif

/// step(kept, first, at, count) for vectors of `lanes` bits, of which some are set: those, as many
/// of the lowest, where the vector begins, and how many came before. Returns how many are set.
template <int lanes, class Step>
int64_t for_each_vector(uint64_t bits, Step&& step) {
  int64_t count = 0;
  for (int at = 0; bits != 0; at += lanes) {
    const uint64_t kept = bits & low_bits(lanes);
    const int set = std::popcount(kept);
    if (set > 0) step(kept, low_bits(set), at, count);
    count += set;
    bits = lanes < kWordBits ? bits >> (lanes % kWordBits) : 0;
  }
  return count;
}

}  // namespace detail

/// Copies from[i] of every bit i that is set to `to`, one after another; returns how many.
template <class T>
int64_t pack_picked(uint64_t bits, const T* from, T* to) {
  using Vector = detail::Picked<sizeof(T)>;
  if constexpr (Vector::lanes > 0) {
    return detail::for_each_vector<Vector::lanes>(
        bits, [&](uint64_t kept, uint64_t first, int at, int64_t count) {
          Vector::pack(kept, from + at, first, to + count);
        });
  } else {
    int64_t count = 0;
    for_each_bit(bits, [&](int64_t i) { to[count++] = from[i]; });
    return count;
  }
}

/// Copies what lies one after another at `from` to to[i] of every bit i that is set; returns how
/// many.
template <class T>
int64_t spread_picked(uint64_t bits, const T* from, T* to) {
  using Vector = detail::Picked<sizeof(T)>;
  if constexpr (Vector::lanes > 0) {
    return detail::for_each_vector<Vector::lanes>(
        bits, [&](uint64_t kept, uint64_t first, int at, int64_t count) {
          Vector::spread(kept, from + count, first, to + at);
        });
  } else {
    int64_t count = 0;
    for_each_bit(bits, [&](int64_t i) { to[i] = from[count++]; });
    return count;
  }
}

}  // namespace alt::kernels
