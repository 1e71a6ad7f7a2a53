// The twin of csrc/loops/log.h in a CUDA thread, where logarithms are inline already.
#pragma once

#include "loops/math.h"

namespace alt::math {

template <class T>
ALT_FN T log_inline(T x) {
  return log(x);
}

template <class T>
ALT_FN T log1p_inline(T x) {
  return log1p(x);
}

}  // namespace alt::math
