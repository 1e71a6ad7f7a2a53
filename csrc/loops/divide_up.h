#pragma once

#include <cstdint>

namespace alt {

/// How many pieces of `size` cover `n`.
constexpr int64_t divide_up(int64_t n, int64_t size) {
  return (n + size - 1) / size;
}

}  // namespace alt
