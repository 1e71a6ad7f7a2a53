// Truth values of 64 elements at a time, as the bits of a word: what filters, counts and compacts
// does so without a branch for each element.
#pragma once

#if defined(__AVX512BW__)
#include <immintrin.h>
#endif

#include <bit>
#include <cstdint>
#include <cstring>

namespace alt::kernels {

inline constexpr int64_t kWordBits = 64;

namespace detail {

/// Bit i is byte i, which is 0 or 1.
inline uint64_t pack_bytes(const uint8_t* bytes) {
#if defined(__AVX512BW__)
  const __m512i flags = _mm512_loadu_si512(bytes);
  return _mm512_test_epi8_mask(flags, flags);
#else
  uint64_t bits = 0;
  for (int64_t k = 0; k < kWordBits; ++k) {
    bits |= static_cast<uint64_t>(bytes[k]) << k;
  }
  return bits;
#endif
}

}  // namespace detail

/// Bit i is keep(begin + i), for the next 64 elements or those up to `end`.
template <class Keep>
uint64_t keep_bits(int64_t begin, int64_t end, Keep&& keep) {
  alignas(kWordBits) uint8_t flags[kWordBits];
  if (end - begin >= kWordBits) {
    for (int64_t i = 0; i < kWordBits; ++i) {
      flags[i] = keep(begin + i) ? 1 : 0;
    }
  } else {
    std::memset(flags, 0, sizeof(flags));
    for (int64_t i = 0; i < end - begin; ++i) {
      flags[i] = keep(begin + i) ? 1 : 0;
    }
  }
  return detail::pack_bytes(flags);
}

/// The lowest n bits set.
inline uint64_t low_bits(int64_t n) {
  return n >= kWordBits ? ~uint64_t{0} : (uint64_t{1} << n) - 1;
}

/// body(i) for every bit i that is set, lowest first.
template <class Body>
void for_each_bit(uint64_t bits, Body&& body) {
  for (; bits != 0; bits &= bits - 1) {
    body(std::countr_zero(bits));
  }
}

/// Writes `first` plus the number of every bit that is set, and returns how many there are.
inline int64_t write_positions(uint64_t bits, int64_t first, int64_t* out) {
  int64_t count = 0;
#if defined(__AVX512BW__)
  constexpr int kLanes = 8;
  __m512i positions =
      _mm512_add_epi64(_mm512_set1_epi64(first), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
  for (; bits != 0; bits >>= kLanes) {
    const auto lanes = static_cast<__mmask8>(bits);
    const int kept = std::popcount(static_cast<unsigned>(lanes));
    _mm512_mask_storeu_epi64(out + count, static_cast<__mmask8>((1u << kept) - 1),
                             _mm512_maskz_compress_epi64(lanes, positions));
    positions = _mm512_add_epi64(positions, _mm512_set1_epi64(kLanes));
    count += kept;
  }
#else
  for_each_bit(bits, [&](int64_t bit) { out[count++] = first + bit; });
#endif
  return count;
}

}  // namespace alt::kernels
