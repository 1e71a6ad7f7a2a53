// Rows of a result, computed in lanes and written past the caches where the whole result is large
// (loops/stream.h): an ordinary store reads the line first, a third of what a normalisation moves.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/norm_lanes.h"
#include "loops/stream.h"

namespace alt::kernels {

/// One for each body of a parallel_for: its end says that what it wrote may be seen.
template <class T>
class RowWriter {
 public:
  /// `elements`: of the whole result.
  explicit RowWriter(int64_t elements)
      : streaming_(worth_streaming(elements * static_cast<int64_t>(sizeof(T)))) {}
  RowWriter(const RowWriter&) = delete;
  RowWriter& operator=(const RowWriter&) = delete;
  ~RowWriter() {
    if (streaming_) stream_fence();
  }

  bool streaming() const { return streaming_; }

  /// out[i] = value(i, count) for the lanes from i on, of n elements.
  template <class Value>
  void write(T* out, int64_t n, const Value& value) const {
    if (streaming_ && n * static_cast<int64_t>(sizeof(T)) >= kStreamedRow) {
      stream(out, n, value);
    } else {
      for_lanes<opmath_t<T>>(
          0, n, [&](int64_t i, auto count) { store_lanes<T>(value(i, count), out + i, count); });
    }
  }

 private:
  /// In blocks of whole lines, behind what comes before the first.
  template <class Value>
  void stream(T* out, int64_t n, const Value& value) const {
    constexpr int64_t kBlock = kStreamBlock / sizeof(T);
    alignas(kLine) T block[kBlock];
    int64_t size = bytes_before_line(out, kLine) / static_cast<int64_t>(sizeof(T));
    if (size == 0) size = kBlock;
    for (int64_t begin = 0; begin < n; begin += size, size = kBlock) {
      size = std::min(size, n - begin);
      for_lanes<opmath_t<T>>(0, size, [&](int64_t i, auto count) {
        store_lanes<T>(value(begin + i, count), block + i, count);
      });
      stream_copy(out + begin, block, size * static_cast<int64_t>(sizeof(T)));
    }
  }

  bool streaming_;
};

}  // namespace alt::kernels
