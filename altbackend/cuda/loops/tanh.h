// The twin of csrc/loops/tanh.h in a CUDA thread, where tanh is inline already.
#pragma once

#include "loops/math.h"

namespace alt::math {

template <class T>
ALT_FN T tanh_inline(T x) {
  return tanh(x);
}

}  // namespace alt::math
