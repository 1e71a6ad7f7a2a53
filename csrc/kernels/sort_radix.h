// Sorting entries of a key and a position by radix, least significant digits first.
#pragma once

#include <c10/core/Allocator.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/rounding.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {

/// 32 bits of key and 32 of position make one word; wider values or lanes take two.
struct WideEntry {
  uint64_t key;
  int64_t position;
  bool operator<(const WideEntry& other) const {
    return key != other.key ? key < other.key : position < other.position;
  }
};

namespace detail {

constexpr int64_t kRadixLength = 1024;
// Lanes from here on are worth several threads.
constexpr int64_t kThreadedLength = int64_t{1} << 15;

/// Memory of alt's allocator, which keeps its pages.
template <class Element>
class Buffer {
 public:
  void reserve(int64_t size) {
    if (size > size_) {
      memory_.clear();
      memory_ = c10::GetAllocator(c10::DeviceType::PrivateUse1)->allocate(size * sizeof(Element));
      size_ = size;
    }
  }
  Element* data() const { return static_cast<Element*>(memory_.get()); }
  void swap(Buffer& other) {
    std::swap(memory_, other.memory_);
    std::swap(size_, other.size_);
  }

 private:
  c10::DataPtr memory_;
  int64_t size_ = 0;
};

inline uint64_t key_bits(uint64_t entry) {
  return entry >> 32;
}
inline uint64_t key_bits(const WideEntry& entry) {
  return entry.key;
}
inline int64_t position_in(uint64_t entry) {
  return static_cast<int64_t>(entry & 0xffffffff);
}
inline int64_t position_in(const WideEntry& entry) {
  return entry.position;
}

/// How many parts a lane is cut into for the threads. Where the parts end does not show in results.
inline int64_t sort_parts(int64_t n) {
  return n < kThreadedLength || in_parallel_region() || num_threads() == 1 ? 1 : 2 * num_threads();
}

/// One digit of a key.
template <class Entry>
struct Digit {
  int shift;
  int64_t mask;

  int64_t operator()(const Entry& entry) const {
    return static_cast<int64_t>(key_bits(entry) >> shift) & mask;
  }
};

template <class Entry>
void count_digits(const Entry* first, const Entry* last, Digit<Entry> digit, int64_t* count) {
  for (; first < last; ++first) ++count[digit(*first)];
}

template <class Entry>
void place_by_digit(const Entry* first, const Entry* last, Digit<Entry> digit, int64_t* place,
                    Entry* to) {
  for (; first < last; ++first) to[place[digit(*first)]++] = *first;
}

/// How a sort by the lowest bits of keys is split into passes, of a digit each.
struct RadixPasses {
  int count, width;
  int64_t digits;

  RadixPasses(int64_t n, int bits) {
    const int widest = n < kThreadedLength ? 8 : 11;
    count = (bits + widest - 1) / widest;
    width = count == 0 ? 0 : (bits + count - 1) / count;
    digits = int64_t{1} << width;
  }
  template <class Entry>
  Digit<Entry> digit(int pass) const {
    return {pass * width, digits - 1};
  }
};

/// On one thread: the digits of all passes are counted in one reading. Where many entries have one
/// digit, an addition to its count waits for the one before; those of other passes go on meanwhile.
template <class Entry>
void radix_sort_alone(Buffer<Entry>& entries, Buffer<Entry>& scratch, int64_t n,
                      const RadixPasses passes) {
  std::vector<int64_t> places(static_cast<size_t>(passes.count * passes.digits));
  for (const Entry *entry = entries.data(), *end = entry + n; entry < end; ++entry) {
    int64_t* count = places.data();
    for (int pass = 0; pass < passes.count; ++pass, count += passes.digits) {
      ++count[passes.digit<Entry>(pass)(*entry)];
    }
  }
  for (int pass = 0; pass < passes.count; ++pass) {
    const auto digit = passes.digit<Entry>(pass);
    const Entry* from = entries.data();
    int64_t* place = places.data() + pass * passes.digits;
    if (place[digit(*from)] == n) continue;  // all alike
    int64_t next = 0;
    for (int64_t d = 0; d < passes.digits; ++d) next += std::exchange(place[d], next);
    place_by_digit(from, from + n, digit, place, scratch.data());
    entries.swap(scratch);
  }
}

/// On several threads: in each pass each part counts its digits, so that it knows where its entries
/// go: after those of smaller digits, and those of the parts before it.
template <class Entry>
void radix_sort_in_parts(Buffer<Entry>& entries, Buffer<Entry>& scratch, int64_t n, int64_t parts,
                         const RadixPasses& passes) {
  const int64_t digits = passes.digits, part = divide_up(n, parts);
  std::vector<int64_t> places(static_cast<size_t>(parts * digits));
  for (int pass = 0; pass < passes.count; ++pass) {
    const auto digit = passes.digit<Entry>(pass);
    const Entry* from = entries.data();
    Entry* to = scratch.data();
    const auto for_each_part = [&](auto&& body) {
      parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
          body(places.data() + p * digits, from + p * part, from + std::min(n, (p + 1) * part));
        }
      });
    };
    std::fill(places.begin(), places.end(), 0);
    for_each_part([digit](int64_t* count, const Entry* first, const Entry* last) {
      count_digits(first, last, digit, count);
    });
    int64_t alike = 0;
    for (int64_t p = 0; p < parts; ++p) {
      alike += places[static_cast<size_t>(p * digits + digit(*from))];
    }
    if (alike == n) {
      continue;
    }
    int64_t next = 0;
    for (int64_t d = 0; d < digits; ++d) {
      for (int64_t p = 0; p < parts; ++p) {
        next += std::exchange(places[static_cast<size_t>(p * digits + d)], next);
      }
    }
    for_each_part([digit, to](int64_t* place, const Entry* first, const Entry* last) {
      place_by_digit(first, last, digit, place, to);
    });
    entries.swap(scratch);
  }
}

/// Sorts by the lowest `bits` of the keys, a digit a pass.
template <class Entry>
void radix_sort(Buffer<Entry>& entries, Buffer<Entry>& scratch, int64_t n, int bits) {
  const RadixPasses passes(n, bits);
  if (passes.count == 0) return;
  scratch.reserve(n);
  if (const int64_t parts = sort_parts(n); parts == 1) {
    radix_sort_alone(entries, scratch, n, passes);
  } else {
    radix_sort_in_parts(entries, scratch, n, parts, passes);
  }
}

}  // namespace detail

}  // namespace alt::kernels
