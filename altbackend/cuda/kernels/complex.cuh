// Complex numbers of two real ones: what csrc/kernels/complex.cpp is on the host.
#pragma once

#include <c10/util/complex.h>

#include "loops/function.h"
#include "loops/math.h"

namespace alt::ops {

template <class T>
ALT_FN c10::complex<T> make_complex(T real, T imaginary) {
  return c10::complex<T>(real, imaginary);
}

template <class T>
ALT_FN c10::complex<T> polar(T magnitude, T angle) {
  return c10::complex<T>(magnitude * math::cos(angle), magnitude * math::sin(angle));
}

}  // namespace alt::ops
