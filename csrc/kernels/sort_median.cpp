// The median of all elements.
//
// By radix, most significant digit first: a pass counts the digits of the elements' keys
// (sort_keys.h), whose sum says in which digit the median is, and a pass keeps the keys that have
// it. Each reads what the one before it kept, of which little is left after one or two: the rest is
// std::nth_element's. Digits have 11 bits, so that the counts (16 KiB) stay in the first cache.
// Both passes are shared out in a few parts, each with counts of its own.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/median.h>
#include <ATen/ops/nanmedian.h>

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/sort_keys.h"
#include "loops/dtype.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

constexpr int kDigitBits = 11;
constexpr int64_t kDigits = int64_t{1} << kDigitBits;
constexpr int64_t kSmallestPart = int64_t{1} << 14, kMostParts = 8;
constexpr int64_t kFew = 4096;  // keys that nth_element is quicker with than two passes are

using Counts = std::array<int64_t, kDigits>;

/// n elements in a few parts, one after another in memory.
class Parts {
 public:
  explicit Parts(int64_t n)
      : n_(n), count_(std::clamp<int64_t>(n / kSmallestPart, 1, kMostParts)) {}

  int64_t count() const { return count_; }
  int64_t begin(int64_t part) const { return n_ * part / count_; }

  /// body(part, begin, end) for each.
  template <class Body>
  void for_each(Body&& body) const {
    parallel_for(0, count_, 1, [&](int64_t first, int64_t last) {
      for (int64_t part = first; part < last; ++part) body(part, begin(part), begin(part + 1));
    });
  }

 private:
  int64_t n_, count_;
};

/// How many of key(0) .. key(n - 1) have each digit.
template <class Read>
Counts count_digits(const Parts& parts, int shift, Read&& key) {
  std::vector<Counts> counts(static_cast<size_t>(parts.count()));
  parts.for_each([&](int64_t part, int64_t begin, int64_t end) {
    Counts& mine = counts[static_cast<size_t>(part)];
    mine.fill(0);
    for (int64_t i = begin; i < end; ++i) ++mine[(key(i) >> shift) & (kDigits - 1)];
  });
  for (size_t part = 1; part < counts.size(); ++part) {
    for (int64_t d = 0; d < kDigits; ++d) counts[0][d] += counts[part][d];
  }
  return counts[0];
}

/// Of key(0) .. key(n - 1) those that have the digit of the `place`-th smallest, whose place among
/// them `place` becomes. They go to the front of `kept`, which may be what `key` reads. How many.
template <class Key, class Read>
int64_t narrow(int64_t n, int shift, int64_t& place, Read&& key, Key* kept) {
  const Parts parts(n);
  const Counts counts = count_digits(parts, shift, key);
  int64_t digit = 0;
  for (; place >= counts[digit]; ++digit) place -= counts[digit];
  std::array<int64_t, kMostParts> found;
  parts.for_each([&](int64_t part, int64_t begin, int64_t end) {
    Key* to = kept + begin;
    for (int64_t i = begin; i < end; ++i) {
      const Key candidate = key(i);
      *to = candidate;  // the next one's place too, where this one is not wanted: no branch
      to += static_cast<int64_t>((candidate >> shift) & (kDigits - 1)) == digit;
    }
    found[static_cast<size_t>(part)] = to - (kept + begin);
  });
  int64_t total = 0;
  for (int64_t part = 0; part < parts.count(); ++part) {
    const Key* from = kept + parts.begin(part);
    std::copy(from, from + found[static_cast<size_t>(part)], kept + total);
    total += found[static_cast<size_t>(part)];
  }
  return total;
}

/// The `place`-th smallest of n values, NaN the largest.
template <class T>
T select(const T* values, int64_t n, int64_t place) {
  using Key = decltype(sort_key(T()));
  const auto value_key = [values](int64_t i) { return sort_key(values[i]); };
  detail::Buffer<Key> buffer;
  buffer.reserve(n);
  Key* keys = buffer.data();
  int shift = std::max(0, std::numeric_limits<Key>::digits - kDigitBits);
  if (n > kFew) {
    n = narrow<Key>(n, shift, place, value_key, keys);
  } else {
    for (int64_t i = 0; i < n; ++i) keys[i] = value_key(i);
  }
  while (n > kFew && shift > 0) {
    shift = std::max(0, shift - kDigitBits);
    n = narrow<Key>(n, shift, place, [keys](int64_t i) { return keys[i]; }, keys);
  }
  std::nth_element(keys, keys + place, keys + n);
  return sort_value<T>(keys[place]);
}

template <class T>
int64_t count_nan(const T* values, int64_t n) {
  std::array<int64_t, kMostParts> counts{};
  Parts(n).for_each([&](int64_t part, int64_t begin, int64_t end) {
    int64_t count = 0;
    for (int64_t i = begin; i < end; ++i) count += values[i] != values[i];
    counts[static_cast<size_t>(part)] = count;
  });
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

template <class T>
T median_of(const T* values, int64_t n, bool ignore_nan) {
  if constexpr (std::is_integral_v<T>) {
    // NaN as the processor converts it: to 32 bits at the least, of which a shorter type has zeros.
    if (n == 0) return sizeof(T) >= 4 ? std::numeric_limits<T>::lowest() : T(0);
    return select(values, n, (n - 1) / 2);
  } else {
    const int64_t missing = count_nan(values, n);
    if ((missing != 0 && !ignore_nan) || missing == n) return std::numeric_limits<T>::quiet_NaN();
    return select(values, n, (n - missing - 1) / 2);
  }
}

at::Tensor median_of_all(const at::Tensor& self, bool ignore_nan) {
  auto out = at::empty({}, self.options());
  const auto values = self.contiguous();
  visit<RealTypes>(self.scalar_type(), "median_cpu", [&]<class T>() {
    if (alt::cuda::on_gpu()) {
      const auto flat = values.view(-1);
      if (values.numel() == 0) {
        out.fill_(median_of<T>(nullptr, 0, ignore_nan));
      } else {
        out = std::get<0>(ignore_nan ? at::nanmedian(flat, 0) : at::median(flat, 0));
      }
      return;
    }
    *out.mutable_data_ptr<T>() = median_of(values.const_data_ptr<T>(), values.numel(), ignore_nan);
  });
  return out;
}

}  // namespace

at::Tensor median(const at::Tensor& self) {
  return median_of_all(self, /*ignore_nan=*/false);
}

at::Tensor nanmedian(const at::Tensor& self) {
  return median_of_all(self, /*ignore_nan=*/true);
}

}  // namespace alt::kernels
