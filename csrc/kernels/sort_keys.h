// Sorting by integer keys.
//
// A value becomes an unsigned key that sorts as the value does: NaN after everything else and equal
// to any NaN, -0 equal to +0, descending order by complement. With its position beside it a key is
// unique, so any sort is a stable one; long lanes are sorted by radix, a byte a pass, and passes in
// which all bytes agree are skipped.
#pragma once

#include <ATen/NumericUtils.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

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

namespace detail {

constexpr int64_t kRadixLength = 1024;

inline uint64_t key_bits(uint64_t entry) {
  return entry >> 32;
}
inline uint64_t key_bits(const WideEntry& entry) {
  return entry.key;
}

/// Least significant byte first.
template <class Entry>
void radix_sort(std::vector<Entry>& entries, std::vector<Entry>& scratch, int key_bytes) {
  std::array<std::array<int64_t, 256>, 8> counts{};
  for (const Entry& entry : entries) {
    const uint64_t key = key_bits(entry);
    for (int byte = 0; byte < key_bytes; ++byte) {
      ++counts[byte][key >> (8 * byte) & 0xff];
    }
  }
  scratch.resize(entries.size());
  for (int byte = 0; byte < key_bytes; ++byte) {
    auto& count = counts[byte];
    const uint64_t first = key_bits(entries[0]) >> (8 * byte) & 0xff;
    if (count[first] == static_cast<int64_t>(entries.size())) {
      continue;
    }
    int64_t next = 0;
    for (int64_t& start : count) {
      const int64_t size = start;
      start = next;
      next += size;
    }
    for (const Entry& entry : entries) {
      scratch[count[key_bits(entry) >> (8 * byte) & 0xff]++] = entry;
    }
    entries.swap(scratch);
  }
}

}  // namespace detail

/// Sorts lanes of one type; keeps its buffers from lane to lane.
template <class T>
class LaneSorter {
 public:
  /// position(k) after this: where the k-th element of the sorted lane comes from.
  void sort(const T* data, int64_t stride, int64_t n, bool descending) {
    const auto key_of = [&](int64_t i) {
      const auto key = sort_key(data[i * stride]);
      return descending ? static_cast<decltype(key)>(~key) : key;
    };
    entries_.resize(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) {
      if constexpr (kNarrow) {
        entries_[i] = static_cast<uint64_t>(key_of(i)) << 32 | static_cast<uint64_t>(i);
      } else {
        entries_[i] = {key_of(i), i};
      }
    }
    if (n < detail::kRadixLength) {
      std::sort(entries_.begin(), entries_.end());
    } else {
      detail::radix_sort(entries_, scratch_, static_cast<int>(sizeof(sort_key(T()))));
    }
  }

  int64_t position(int64_t k) const {
    if constexpr (kNarrow) {
      return static_cast<int64_t>(entries_[k] & 0xffffffff);
    } else {
      return entries_[k].position;
    }
  }

  bool has_equal_keys() const {
    const auto equal = [](const Entry& a, const Entry& b) {
      return detail::key_bits(a) == detail::key_bits(b);
    };
    return std::adjacent_find(entries_.begin(), entries_.end(), equal) != entries_.end();
  }

  /// Lanes that 32 bits of position can number.
  static bool fits(int64_t n) {
    return !kNarrow || n <= int64_t{std::numeric_limits<uint32_t>::max()};
  }

 private:
  static constexpr bool kNarrow = sizeof(sort_key(T())) <= 4;
  using Entry = std::conditional_t<kNarrow, uint64_t, WideEntry>;

  std::vector<Entry> entries_;
  std::vector<Entry> scratch_;
};

}  // namespace alt::kernels
