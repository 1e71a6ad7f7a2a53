#pragma once

#include <cstddef>
#include <cstdint>

namespace alt {

/// How many pieces of `size` cover `n`.
constexpr int64_t divide_up(int64_t n, int64_t size) {
  return (n + size - 1) / size;
}

/// The least multiple that is no less than `size`.
constexpr size_t round_up(size_t size, size_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

}  // namespace alt
