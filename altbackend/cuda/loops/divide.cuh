// Division by numbers that the launch knows.
#pragma once

#include "loops/arguments.h"
#include "loops/function.h"

namespace alt {

/// n / d and n % d for n < 2^31.
ALT_FN void divide(uint32_t n, const DividerArgs& d, uint32_t& quotient, uint32_t& rest) {
  const uint32_t high =
      static_cast<uint32_t>((static_cast<uint64_t>(n) * static_cast<uint64_t>(d.multiplier)) >> 32);
  quotient = (high + n) >> d.shift;
  rest = n - quotient * d.divisor;
}

}  // namespace alt
