// Transposition of elements of four bytes, in registers: a block of 8 x 8 is read and written by
// whole lines, where a loop over elements would touch a line for each.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <cstdint>

namespace alt {

/// Elements that transpose() moves.
inline constexpr int64_t kTransposedSize = 4;

#if defined(__AVX2__)
/// dst[i * dst_stride + j] = src[j * src_stride + i] for i, j < 8.
inline void transpose_8x8(float* dst, int64_t dst_stride, const float* src, int64_t src_stride) {
  const auto row = [&](int j) { return _mm256_loadu_ps(src + j * src_stride); };
  // Pairs, then fours of rows interleaved within each half; then the halves change places.
  __m256 pairs[8];
  for (int j = 0; j < 8; j += 2) {
    pairs[j] = _mm256_unpacklo_ps(row(j), row(j + 1));
    pairs[j + 1] = _mm256_unpackhi_ps(row(j), row(j + 1));
  }
  __m256 fours[8];
  for (int j = 0; j < 8; j += 4) {
    fours[j] = _mm256_shuffle_ps(pairs[j], pairs[j + 2], 0x44);
    fours[j + 1] = _mm256_shuffle_ps(pairs[j], pairs[j + 2], 0xee);
    fours[j + 2] = _mm256_shuffle_ps(pairs[j + 1], pairs[j + 3], 0x44);
    fours[j + 3] = _mm256_shuffle_ps(pairs[j + 1], pairs[j + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(dst + i * dst_stride, _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20));
    _mm256_storeu_ps(dst + (i + 4) * dst_stride,
                     _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31));
  }
}
#endif

/// dst[i * dst_stride + j] = src[j * src_stride + i] for i < rows, j < columns. Strides count
/// elements, which may be any four bytes.
inline void transpose(float* dst, int64_t dst_stride, const float* src, int64_t src_stride,
                      int64_t rows, int64_t columns) {
  int64_t j = 0;
#if defined(__AVX2__)
  // Lines of the source are read to their end: its rows may be so far apart that few stay in cache.
  for (; j + 8 <= columns; j += 8) {
    int64_t i = 0;
    for (; i + 8 <= rows; i += 8) {
      transpose_8x8(dst + i * dst_stride + j, dst_stride, src + j * src_stride + i, src_stride);
    }
    for (; i < rows; ++i) {
      for (int64_t k = j; k < j + 8; ++k) dst[i * dst_stride + k] = src[k * src_stride + i];
    }
  }
#endif
  for (; j < columns; ++j) {
    for (int64_t i = 0; i < rows; ++i) dst[i * dst_stride + j] = src[j * src_stride + i];
  }
}

}  // namespace alt
