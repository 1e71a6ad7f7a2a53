// Compaction in parallel: count every chunk, add the counts up, then let every chunk write its own
// part of the output.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "kernels/bits.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {

class ChunkCounts {
 public:
  /// count(begin, end) is how many elements of [begin, end) are kept.
  template <class Count>
  ChunkCounts(int64_t numel, Count&& count) : numel_(numel) {
    const int64_t chunks = (numel + kChunk - 1) / kChunk;
    first_.resize(static_cast<size_t>(chunks));
    parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        first_[static_cast<size_t>(c)] = count(c * kChunk, std::min(numel_, (c + 1) * kChunk));
      }
    });
    for (int64_t& chunk : first_) {
      const int64_t kept = chunk;
      chunk = total_;
      total_ += kept;
    }
  }

  int64_t total() const { return total_; }

  /// write(begin, end, first): the elements kept of [begin, end) go to position `first` and on.
  template <class Write>
  void for_each(Write&& write) const {
    parallel_for(0, static_cast<int64_t>(first_.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        write(c * kChunk, std::min(numel_, (c + 1) * kChunk), first_[static_cast<size_t>(c)]);
      }
    });
  }

 private:
  static constexpr int64_t kChunk = 1 << 15;

  int64_t numel_;
  int64_t total_ = 0;
  std::vector<int64_t> first_;
};

/// Bit i says that data[begin + i] is not zero, for the next 64 elements or those up to `end`.
template <class T>
uint64_t nonzero_bits(const T* data, int64_t begin, int64_t end) {
  return keep_bits(begin, end, [data](int64_t i) { return data[i] != T(0); });
}

/// Counts what is not zero.
template <class T>
ChunkCounts count_nonzero(const T* data, int64_t numel) {
  return ChunkCounts(numel, [data](int64_t begin, int64_t end) {
    int64_t count = 0;
    for (int64_t i = begin; i < end; i += kWordBits) {
      count += std::popcount(nonzero_bits(data, i, end));
    }
    return count;
  });
}

}  // namespace alt::kernels
