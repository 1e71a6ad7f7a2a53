// The twin of csrc/loops/exp.h in a CUDA thread, where exp is inline already.
#pragma once

#include "loops/math.h"

namespace alt::math {

template <class T>
ALT_FN T exp_nonpositive(T x) {
  return exp(x);
}

}  // namespace alt::math
