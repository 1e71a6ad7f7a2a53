// Sorting by integer keys.
//
// A value becomes an unsigned key that sorts as the value does: NaN after everything else and equal
// to any NaN, -0 equal to +0, descending order by complement. With its position beside it a key is
// unique, so any sort is a stable one. Long lanes are sorted by radix (sort_radix.h). The least key
// is taken off all, so that digits are spent on the keys' range only, and 64 bit integers in a
// range of 32 bits are sorted as such.
#pragma once

#include <ATen/NumericUtils.h>
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

#include "kernels/sort_radix.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {

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
  } else {
    using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;
    using Unsigned = std::conditional_t<std::is_same_v<T, double>, uint64_t, uint32_t>;
    const auto real = static_cast<Real>(value);
    const auto bits = detail::order_float_bits(std::bit_cast<Unsigned>(real == 0 ? Real(0) : real));
    return at::_isnan(real) ? std::numeric_limits<Unsigned>::max() : bits;
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
        return detail::position_in(wide_.data()[k]);
      }
    }
    return detail::position_in(words_.data()[k]);
  }

  /// The k-th element of the sorted lane; `data` as it was sorted.
  T value(int64_t k, const T* data, int64_t stride) const {
    const Key key = key_at(k);
    return is_ambiguous(key) ? data[position(k) * stride] : sort_value<T>(key);
  }

  /// Elements [first, last) of the sorted lane, and where they come from; `data` as it was sorted.
  void write(int64_t first, int64_t last, const T* data, int64_t stride, T* values, int64_t* index,
             int64_t index_stride) const {
    if constexpr (!kNarrow) {
      if (!narrow_) {
        write_entries(wide_.data(), first, last, data, stride, values, index, index_stride);
        return;
      }
    }
    write_entries(words_.data(), first, last, data, stride, values, index, index_stride);
  }

  /// Whether elements k and k + 1 have one key, in which they are equal or both NaN.
  bool equals_next(int64_t k) const { return key_at(k) == key_at(k + 1); }

  bool has_equal_keys() const {
    std::atomic<bool> found{false};
    parallel_for(0, n_ - 1, detail::kThreadedLength, [&](int64_t begin, int64_t end) {
      constexpr int64_t kBlock = 256;  // compared without a branch
      for (int64_t first = begin; first < end; first += kBlock) {
        bool equal = false;
        for (int64_t k = first; k < std::min(end, first + kBlock); ++k) equal |= equals_next(k);
        if (equal) {
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
        const Key key = key_of(i);  // by value: of std::min's references compilers make no vectors
        least = key < least ? key : least;
        greatest = key > greatest ? key : greatest;
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

  /// Whether values of several bit patterns have this key: zeros, and NaN.
  static bool is_ambiguous(Key key) {
    if constexpr (std::is_integral_v<T>) {
      return false;
    } else {
      return (key == sort_key(T(0))) | (key == std::numeric_limits<Key>::max());
    }
  }

  /// Vectors make the values of the keys; the ambiguous ones, which are rare, are fetched after.
  template <class Entry>
  void write_entries(const Entry* entry, int64_t first, int64_t last, const T* data, int64_t stride,
                     T* values, int64_t* index, int64_t index_stride) const {
    const auto key_of = [least = least_, flip = flip_](const Entry& from) {
      return original_key(detail::key_bits(from), least, flip);
    };
    bool ambiguous = false;
    for (int64_t k = first; k < last; ++k) {
      const Key key = key_of(entry[k]);
      values[k] = sort_value<T>(key);
      ambiguous |= is_ambiguous(key);
    }
    for (int64_t k = first; k < last; ++k) index[k * index_stride] = detail::position_in(entry[k]);
    for (int64_t k = first; ambiguous && k < last; ++k) {
      if (is_ambiguous(key_of(entry[k]))) {
        values[k] = data[detail::position_in(entry[k]) * stride];
      }
    }
  }

  /// The key as sort_key made it.
  static Key original_key(uint64_t offset, Key least, Key flip) {
    return static_cast<Key>(static_cast<Key>(static_cast<Key>(offset) + least) ^ flip);
  }
  Key key_at(int64_t k) const {
    if constexpr (!kNarrow) {
      if (!narrow_) return original_key(wide_.data()[k].key, least_, flip_);
    }
    return original_key(detail::key_bits(words_.data()[k]), least_, flip_);
  }

  int64_t n_ = 0;
  Key flip_ = 0;
  Key least_ = 0;
  bool narrow_ = kNarrow;
  detail::Buffer<uint64_t> words_, word_scratch_;
  detail::Buffer<WideEntry> wide_, wide_scratch_;
};

}  // namespace alt::kernels
