// The twin of csrc/loops/erf.h in a CUDA thread, where erf is inline already.
#pragma once

#include "loops/math.h"

namespace alt::math {

template <class T>
ALT_FN T erf_inline(T x) {
  return erf(x);
}

template <class T>
ALT_FN T erf_quick(T x) {
  return erf(x);
}

}  // namespace alt::math
