// Sorting by integer keys.
//
// A value becomes an unsigned key that sorts as the value does: NaN after everything else and equal
// to any NaN, -0 equal to +0, descending order by complement. With its position beside it a key is
// unique, so any sort is a stable one. Long lanes are sorted by radix, least significant digits
// first. The least key is taken off all, so that digits are spent on the keys' range only, and 64
// bit integers in a range of 32 bits are sorted as such.
#pragma once

#include <ATen/NumericUtils.h>
#include <c10/core/Allocator.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <limits>
#include <mutex>
#include <type_traits>
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

template <class Unsigned>
Unsigned order_float_bits(Unsigned bits) {
  constexpr Unsigned sign = Unsigned{1} << (std::numeric_limits<Unsigned>::digits - 1);
  return (bits & sign) != 0 ? ~bits : bits | sign;
}

}  // namespace detail

/// The ascending key of a value, as narrow as its type.
template <class T>
auto sort_key(T value) {
  if constexpr (std::is_same_v<T, bool>) {
    return static_cast<uint8_t>(value);
  } else if constexpr (std::is_unsigned_v<T>) {
    return value;
  } else if constexpr (std::is_integral_v<T>) {
    using Unsigned = std::make_unsigned_t<T>;
    constexpr auto flip =
        static_cast<Unsigned>(Unsigned{1} << (std::numeric_limits<Unsigned>::digits - 1));
    return static_cast<Unsigned>(static_cast<Unsigned>(value) ^ flip);
  } else if constexpr (std::is_same_v<T, double>) {
    if (at::_isnan(value)) {
      return std::numeric_limits<uint64_t>::max();
    }
    return detail::order_float_bits(std::bit_cast<uint64_t>(value == 0 ? 0.0 : value));
  } else {
    const auto wide = static_cast<float>(value);
    if (at::_isnan(wide)) {
      return std::numeric_limits<uint32_t>::max();
    }
    return detail::order_float_bits(std::bit_cast<uint32_t>(wide == 0 ? 0.0f : wide));
  }
}

/// The value that a key was made of, but for the sign of a zero and the bits of a NaN.
template <class T, class Key>
T sort_value(Key key) {
  if constexpr (std::is_same_v<T, bool>) {
    return key != 0;
  } else if constexpr (std::is_unsigned_v<T>) {
    return static_cast<T>(key);
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(key ^ sort_key(T(0)));
  } else {
    constexpr Key sign = Key{1} << (std::numeric_limits<Key>::digits - 1);
    using Real = std::conditional_t<sizeof(Key) == 8, double, float>;
    return static_cast<T>(std::bit_cast<Real>((key & sign) != 0 ? key ^ sign : ~key));
  }
}

/// A key and where its value is.
using Keyed = std::pair<uint64_t, int64_t>;

/// A lane for std::sort and its like, by the keys alone. Which of equal elements come first is then
/// what stock, which compares values, gets of them: comparisons have the same outcomes.
template <class T>
void fill_keyed(const T* source, int64_t stride, int64_t n, bool descending,
                std::vector<Keyed>& lane) {
  const uint64_t flip = descending ? ~uint64_t{0} : 0;
  lane.resize(static_cast<size_t>(n));
  for (int64_t k = 0; k < n; ++k) {
    lane[static_cast<size_t>(k)] = {uint64_t{sort_key(source[k * stride])} ^ flip, k};
  }
}
inline bool by_key(const Keyed& a, const Keyed& b) {
  return a.first < b.first;
}

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

/// How many parts a lane is cut into for the threads. Where the parts end does not show in results.
inline int64_t sort_parts(int64_t n) {
  return n < kThreadedLength || in_parallel_region() || num_threads() == 1 ? 1 : 2 * num_threads();
}

/// Sorts by the lowest `bits` of the keys, a digit a pass. Each part counts its digits, so that it
/// knows where its entries go: after those of smaller digits, and those of the parts before it.
template <class Entry>
void radix_sort(Buffer<Entry>& entries, Buffer<Entry>& scratch, int64_t n, int bits) {
  const int widest = n < kThreadedLength ? 8 : 11;
  const int passes = (bits + widest - 1) / widest;
  if (passes == 0) {
    return;
  }
  const int width = (bits + passes - 1) / passes;
  const int64_t digits = int64_t{1} << width;
  const int64_t parts = sort_parts(n);
  const int64_t part = divide_up(n, parts);
  scratch.reserve(n);
  std::vector<int64_t> places(static_cast<size_t>(parts * digits));
  for (int pass = 0; pass < passes; ++pass) {
    const int shift = pass * width;
    const auto digit = [shift, digits](const Entry& entry) {
      return static_cast<int64_t>(key_bits(entry) >> shift) & (digits - 1);
    };
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
      for (; first < last; ++first) {
        ++count[digit(*first)];
      }
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
      for (; first < last; ++first) {
        to[place[digit(*first)]++] = *first;
      }
    });
    entries.swap(scratch);
  }
}

}  // namespace detail

/// Sorts lanes of one type; keeps its buffers from lane to lane.
template <class T>
class LaneSorter {
 public:
  using Key = decltype(sort_key(T()));

  /// position(k) after this: where the k-th element of the sorted lane comes from.
  void sort(const T* data, int64_t stride, int64_t n, bool descending) {
    n_ = n;
    flip_ = descending ? static_cast<Key>(~Key{0}) : Key{0};
    const auto key_of = [=, flip = flip_](int64_t i) {
      return static_cast<Key>(sort_key(data[i * stride]) ^ flip);
    };
    least_ = 0;
    narrow_ = kNarrow;
    int bits = 8 * static_cast<int>(sizeof(Key));
    if (n >= detail::kRadixLength) {
      const auto [least, greatest] =
          stride == 1
              ? key_range(n, [=, flip = flip_](
                                 int64_t i) { return static_cast<Key>(sort_key(data[i]) ^ flip); })
              : key_range(n, key_of);
      least_ = least;
      bits = std::bit_width(static_cast<uint64_t>(static_cast<Key>(greatest - least)));
      narrow_ = kNarrow || (bits <= 32 && n <= kLongest);
    }
    const auto offset_of = [=, least = least_](int64_t i) {
      return static_cast<Key>(key_of(i) - least);
    };
    if (narrow_) {
      sort_entries(words_, word_scratch_, n, bits, [&](int64_t i) {
        return static_cast<uint64_t>(offset_of(i)) << 32 | static_cast<uint64_t>(i);
      });
    } else if constexpr (!kNarrow) {
      sort_entries(wide_, wide_scratch_, n, bits,
                   [&](int64_t i) { return WideEntry{offset_of(i), i}; });
    }
  }

  int64_t position(int64_t k) const {
    if constexpr (!kNarrow) {
      if (!narrow_) {
        return wide_.data()[k].position;
      }
    }
    return static_cast<int64_t>(words_.data()[k] & 0xffffffff);
  }

  /// The k-th element of the sorted lane; `data` as it was sorted.
  T value(int64_t k, const T* data, int64_t stride) const {
    const Key key = key_at(k);
    if constexpr (!std::is_integral_v<T>) {
      if (key == sort_key(T(0)) || key == std::numeric_limits<Key>::max()) {
        return data[position(k) * stride];
      }
    }
    return sort_value<T>(key);
  }

  /// Whether elements k and k + 1 have one key, in which they are equal or both NaN.
  bool equals_next(int64_t k) const { return key_at(k) == key_at(k + 1); }

  bool has_equal_keys() const {
    std::atomic<bool> found{false};
    parallel_for(0, n_ - 1, detail::kThreadedLength, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        if (equals_next(k)) {
          found.store(true, std::memory_order_relaxed);
          return;
        }
      }
    });
    return found.load(std::memory_order_relaxed);
  }

  /// Lanes that 32 bits of position can number.
  static bool fits(int64_t n) { return !kNarrow || n <= kLongest; }

 private:
  static constexpr bool kNarrow = sizeof(Key) <= 4;
  static constexpr int64_t kLongest = std::numeric_limits<uint32_t>::max();

  template <class KeyOf>
  static std::pair<Key, Key> key_range(int64_t n, const KeyOf& key_of) {
    std::mutex mutex;
    std::pair<Key, Key> range{key_of(0), key_of(0)};
    parallel_for(0, n, detail::kThreadedLength, [&](int64_t begin, int64_t end) {
      Key least = key_of(begin), greatest = least;
      for (int64_t i = begin; i < end; ++i) {
        least = std::min(least, key_of(i));
        greatest = std::max(greatest, key_of(i));
      }
      const std::lock_guard lock(mutex);
      range = {std::min(range.first, least), std::max(range.second, greatest)};
    });
    return range;
  }

  template <class Entry, class Make>
  static void sort_entries(detail::Buffer<Entry>& entries, detail::Buffer<Entry>& scratch,
                           int64_t n, int bits, const Make& make) {
    entries.reserve(n);
    Entry* entry = entries.data();
    parallel_for(0, n, detail::kThreadedLength, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        entry[i] = make(i);
      }
    });
    if (n < detail::kRadixLength) {
      std::sort(entry, entry + n);
    } else {
      detail::radix_sort(entries, scratch, n, bits);
    }
  }

  /// The key as sort_key made it.
  Key key_at(int64_t k) const {
    uint64_t offset = 0;
    if constexpr (!kNarrow) {
      offset = narrow_ ? words_.data()[k] >> 32 : wide_.data()[k].key;
    } else {
      offset = words_.data()[k] >> 32;
    }
    return static_cast<Key>(static_cast<Key>(static_cast<Key>(offset) + least_) ^ flip_);
  }

  int64_t n_ = 0;
  Key flip_ = 0;
  Key least_ = 0;
  bool narrow_ = kNarrow;
  detail::Buffer<uint64_t> words_, word_scratch_;
  detail::Buffer<WideEntry> wide_, wide_scratch_;
};

}  // namespace alt::kernels
