// Polynomials by Horner's rule, on lanes and on scalars.
#pragma once

#include <cstddef>

#include "loops/function.h"
#include "loops/math.h"

namespace alt {

/// c[0] + c[1] x + c[2] x^2 + ...
template <class T, size_t count>
ALT_FN T polynomial(const double (&c)[count], T x) {
  T result(c[count - 1]);
  for (size_t i = count - 1; i > 0; --i) result = fma(result, x, T(c[i - 1]));
  return result;
}

}  // namespace alt
