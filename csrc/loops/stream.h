// Results that are larger than what the caches keep are written past them: an ordinary store first
// reads the line that it changes, a third of the traffic of an addition. What is written so comes
// from a block that lies in the first cache.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "loops/convert.h"

namespace alt {

inline constexpr int64_t kLine = 64;                // bytes
inline constexpr int64_t kStreamedRow = 4 * kLine;  // bytes of a row, most of which are whole lines
// Bytes that are computed before they are streamed. Twice as many and more are slower: reads and
// writes are to go on beside each other.
inline constexpr int64_t kStreamBlock = 1024;

/// Whether a result of so many bytes is written past the caches: half of the last one or more.
/// A smaller one is worth more to whoever reads it next than its lines cost.
bool worth_streaming(int64_t bytes);

/// How many of `bytes` at `to` come before the first whole line.
inline int64_t bytes_before_line(const void* to, int64_t bytes) {
  const auto address = static_cast<int64_t>(reinterpret_cast<uintptr_t>(to) % kLine);
  return std::min(bytes, (kLine - address) % kLine);
}

/// memcpy past the caches, but for the parts of lines at either end. stream_fence() before another
/// thread is told.
inline void stream_copy(void* to, const void* from, int64_t bytes) {
  auto* out = static_cast<char*>(to);
  const auto* in = static_cast<const char*>(from);
  const int64_t head = bytes_before_line(to, bytes);
  std::memcpy(out, in, static_cast<size_t>(head));
  int64_t i = head;
#if defined(__AVX512F__)
  for (; i + kLine <= bytes; i += kLine) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(out + i), _mm512_loadu_si512(in + i));
  }
#elif defined(__AVX2__)
  for (; i + kLine <= bytes; i += kLine) {
    for (int64_t half = 0; half < kLine; half += kLine / 2) {
      _mm256_stream_si256(reinterpret_cast<__m256i*>(out + i + half),
                          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + i + half)));
    }
  }
#endif
  std::memcpy(out + i, in + i, static_cast<size_t>(bytes - i));
}

/// memcpy of up to some thousand bytes, without its choice of a way, which a short row feels.
inline void copy_short(void* to, const void* from, int64_t bytes) {
  auto* out = static_cast<char*>(to);
  const auto* in = static_cast<const char*>(from);
  if (bytes < kLine) {
    std::memcpy(out, in, static_cast<size_t>(bytes));
    return;
  }
  for (int64_t i = 0; i + kLine < bytes; i += kLine) std::memcpy(out + i, in + i, kLine);
  std::memcpy(out + bytes - kLine, in + bytes - kLine, kLine);
}

/// memcpy, past the caches where the whole result is `streaming` and this part is some lines long.
inline void copy_part(void* to, const void* from, int64_t bytes, bool streaming) {
  constexpr int64_t kShort = 8192;
  if (streaming && bytes >= kStreamedRow) {
    stream_copy(to, from, bytes);
  } else if (bytes <= kShort) {
    copy_short(to, from, bytes);
  } else {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
}

/// A contiguous row past the caches, of elements of `size` bytes, gathered and cast on the way.
void stream_cast(ConvertFunction convert, char* to, int64_t size, const char* from,
                 int64_t from_stride, int64_t n);

/// What was streamed is seen by whoever sees what this thread writes next.
inline void stream_fence() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

}  // namespace alt
