// The twin of csrc/loops/exp.h in a CUDA thread, where exp is inline already.
#pragma once

#include "loops/math.h"

namespace alt::math {

template <class T>
ALT_FN T exp_nonpositive(T x) {
  return exp(x);
}

template <class T>
ALT_FN T one_plus_exp(T x) {
  return T(1) + exp(x);
}

}  // namespace alt::math
