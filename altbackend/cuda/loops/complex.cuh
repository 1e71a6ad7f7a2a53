// Elementary functions of complex numbers, which NVRTC has not.
//
// Kahan, "Branch cuts for complex elementary functions, or much ado about nothing's sign bit"
// (1987): the inverse functions go through square roots, whose signed zeros put every value on the
// right side of its cut. float's are computed in double and rounded once, so that no step of theirs
// overflows or cancels; CUDA's double arithmetic costs little beside the memory they wait for.
#pragma once

#include <c10/util/complex.h>

#include <cmath>

#include "loops/function.h"

namespace alt::complex_math {

using Complex = c10::complex<double>;

ALT_FN bool is_infinite(double x) {
  return x - x != 0.0 && x == x;
}
ALT_FN bool is_finite(double x) {
  return x - x == 0.0;
}
/// Multiplied by i, and by -i.
ALT_FN Complex times_i(Complex z) {
  return {-z.im, z.re};
}
ALT_FN Complex over_i(Complex z) {
  return {z.im, -z.re};
}

ALT_FN Complex exp(Complex z) {
  if (z.im == 0.0) return {::exp(z.re), z.im};
  if (is_infinite(z.re)) {
    if (z.re < 0.0 && !is_finite(z.im)) return {0.0, 0.0};
    if (z.re > 0.0 && !is_finite(z.im)) return {z.re, z.im - z.im};
    const double size = z.re < 0.0 ? 0.0 : z.re;
    return {size * ::cos(z.im), size * ::sin(z.im)};
  }
  // In two halves where exp alone would overflow before the cosine brings it back.
  const double part = z.re > 700.0 ? z.re - 700.0 : 0.0;
  const double size = ::exp(z.re - part);
  const double rest = part > 0.0 ? ::exp(part) : 1.0;
  return {size * ::cos(z.im) * rest, size * ::sin(z.im) * rest};
}

ALT_FN Complex expm1(Complex z) {
  const double half = ::sin(0.5 * z.im);
  const double real = ::expm1(z.re);
  return {real * ::cos(z.im) - 2.0 * half * half, ::exp(z.re) * ::sin(z.im)};
}

/// log |z|, exact near 1, where the square of |z| minus 1 is computed without cancellation.
ALT_FN double log_size(Complex z) {
  const double a = ::fabs(z.re);
  const double b = ::fabs(z.im);
  const double larger = a < b ? b : a;
  const double smaller = a < b ? a : b;
  if (larger > 0.5 && larger < 2.0) {
    return 0.5 * ::log1p(::fma(smaller, smaller, (larger - 1.0) * (larger + 1.0)));
  }
  return ::log(::hypot(a, b));
}

ALT_FN Complex log(Complex z) {
  return {log_size(z), ::atan2(z.im, z.re)};
}
ALT_FN Complex log10(Complex z) {
  const Complex natural = log(z);
  return {natural.re * 0.43429448190325182765, natural.im * 0.43429448190325182765};
}
ALT_FN Complex log1p(Complex z) {
  const double larger = z.re + 1.0;
  const double argument = ::atan2(z.im, larger);
  if (::fabs(z.re) + ::fabs(z.im) < 0.5) {
    return {0.5 * ::log1p(z.re * (z.re + 2.0) + z.im * z.im), argument};
  }
  return {log_size({larger, z.im}), argument};
}

ALT_FN Complex sqrt(Complex z) {
  if (is_infinite(z.im)) return {::fabs(z.im), z.im};
  if (z.re == 0.0 && z.im == 0.0) return {0.0, z.im};
  if (z.re != z.re) return {z.re, z.re};
  if (is_infinite(z.re)) {
    const double other = z.im == z.im ? 0.0 : z.im;
    return z.re > 0.0 ? Complex(z.re, ::copysign(other, z.im))
                      : Complex(::fabs(other), ::copysign(z.re, z.im));
  }
  // By halves: the sum of size and part would overflow.
  const double half = 0.5 * ::fabs(z.re);
  const double larger = ::sqrt(half + ::hypot(half, 0.5 * z.im));
  const double smaller = 0.5 * ::fabs(z.im) / larger;
  return z.re >= 0.0 ? Complex(larger, ::copysign(smaller, z.im))
                     : Complex(smaller, ::copysign(larger, z.im));
}

ALT_FN Complex sinh(Complex z) {
  if (z.im == 0.0) return {::sinh(z.re), z.im};
  if (z.re == 0.0) return {z.re * ::cos(z.im), ::sin(z.im)};
  if (::fabs(z.re) > 30.0) {  // both halves of the hyperbola are one exponential
    const Complex half = exp({::fabs(z.re) - 0.69314718055994530942, z.im});
    return {::copysign(1.0, z.re) * half.re, half.im};
  }
  return {::sinh(z.re) * ::cos(z.im), ::cosh(z.re) * ::sin(z.im)};
}
ALT_FN Complex cosh(Complex z) {
  if (z.im == 0.0) return {::cosh(z.re), z.re * z.im};
  if (z.re == 0.0) return {::cos(z.im), z.re * ::sin(z.im)};
  if (::fabs(z.re) > 30.0) {
    const Complex half = exp({::fabs(z.re) - 0.69314718055994530942, z.im});
    return {half.re, ::copysign(1.0, z.re) * half.im};
  }
  return {::cosh(z.re) * ::cos(z.im), ::sinh(z.re) * ::sin(z.im)};
}
ALT_FN Complex tanh(Complex z) {
  if (::fabs(z.re) > 22.0) {
    const double wave = is_finite(z.im) ? ::sin(2.0 * z.im) : ::copysign(0.0, z.im);
    return {::copysign(1.0, z.re), 2.0 * wave * ::exp(-2.0 * ::fabs(z.re))};
  }
  const double tangent = ::tan(z.im);
  const double beta = 1.0 + tangent * tangent;
  const double sine = ::sinh(z.re);
  const double rho = ::sqrt(1.0 + sine * sine);
  if (is_infinite(tangent)) return {rho / sine, 1.0 / tangent};
  const double scale = 1.0 / (1.0 + beta * sine * sine);
  return {beta * rho * sine * scale, tangent * scale};
}

ALT_FN Complex sin(Complex z) {
  return over_i(sinh(times_i(z)));
}
ALT_FN Complex cos(Complex z) {
  return cosh(times_i(z));
}
ALT_FN Complex tan(Complex z) {
  return over_i(tanh(times_i(z)));
}

/// log(2 |z|) and z's argument: what acosh becomes where its square is all that counts.
ALT_FN Complex log_twice(Complex z) {
  return {log_size(z) + 0.69314718055994530942, ::atan2(z.im, z.re)};
}
ALT_FN bool is_huge(Complex z) {
  return !(::fabs(z.re) + ::fabs(z.im) < 1e150);
}

ALT_FN Complex asinh(Complex z) {
  if (is_huge(z)) {
    const Complex far = log_twice({::fabs(z.re), ::fabs(z.im)});
    return {::copysign(far.re, z.re), ::copysign(far.im, z.im)};
  }
  const Complex below = sqrt({1.0 + z.im, -z.re});  // sqrt(1 - i z)
  const Complex above = sqrt({1.0 - z.im, z.re});   // sqrt(1 + i z)
  return {::asinh(above.re * below.im * -1.0 + above.im * below.re),
          ::atan2(z.im, above.re * below.re - above.im * below.im)};
}
ALT_FN Complex asin(Complex z) {
  return over_i(asinh(times_i(z)));
}
ALT_FN Complex acos(Complex z) {
  if (is_huge(z)) {
    const Complex far = log_twice(z);
    return {::fabs(far.im), ::copysign(far.re, -z.im)};
  }
  const Complex below = sqrt({1.0 - z.re, -z.im});
  const Complex above = sqrt({1.0 + z.re, z.im});
  return {2.0 * ::atan2(below.re, above.re), ::asinh(above.re * below.im - above.im * below.re)};
}
ALT_FN Complex acosh(Complex z) {
  if (is_huge(z)) return log_twice(z);
  const Complex below = sqrt({z.re - 1.0, z.im});
  const Complex above = sqrt({z.re + 1.0, z.im});
  return {::asinh(below.re * above.re + below.im * above.im), 2.0 * ::atan2(below.im, above.re)};
}
ALT_FN Complex atanh(Complex z) {
  const double size = ::fabs(z.re);
  const double im = z.re < 0.0 ? -z.im : z.im;  // by symmetry for |re|; the sign returns at the end
  const double square = im * im;
  double real = 0.0;
  double imaginary = ::copysign(1.57079632679489661923, im);
  if (!is_huge(z)) {
    real = 0.25 * ::log1p(4.0 * size / ((1.0 - size) * (1.0 - size) + square));
    imaginary = 0.5 * ::atan2(2.0 * im, (1.0 - size) * (1.0 + size) - square);
  }
  return {::copysign(real, z.re), z.re < 0.0 ? -imaginary : imaginary};
}
ALT_FN Complex atan(Complex z) {
  return over_i(atanh(times_i(z)));
}

ALT_FN Complex pow(Complex x, Complex y) {
  if (y.re == 0.0 && y.im == 0.0) return {1.0, 0.0};
  if (x.re == 0.0 && x.im == 0.0) return {0.0, 0.0};
  return exp(y * log(x));
}

/// float's functions, by double's.
#define ALT_COMPLEX_FLOAT(name)                                \
  ALT_FN c10::complex<float> name(c10::complex<float> z) {     \
    return c10::complex<float>(name(c10::complex<double>(z))); \
  }
ALT_COMPLEX_FLOAT(exp)
ALT_COMPLEX_FLOAT(expm1)
ALT_COMPLEX_FLOAT(log)
ALT_COMPLEX_FLOAT(log10)
ALT_COMPLEX_FLOAT(log1p)
ALT_COMPLEX_FLOAT(sqrt)
ALT_COMPLEX_FLOAT(sin)
ALT_COMPLEX_FLOAT(cos)
ALT_COMPLEX_FLOAT(tan)
ALT_COMPLEX_FLOAT(asin)
ALT_COMPLEX_FLOAT(acos)
ALT_COMPLEX_FLOAT(atan)
ALT_COMPLEX_FLOAT(sinh)
ALT_COMPLEX_FLOAT(cosh)
ALT_COMPLEX_FLOAT(tanh)
ALT_COMPLEX_FLOAT(asinh)
ALT_COMPLEX_FLOAT(acosh)
ALT_COMPLEX_FLOAT(atanh)
#undef ALT_COMPLEX_FLOAT
ALT_FN c10::complex<float> pow(c10::complex<float> x, c10::complex<float> y) {
  return c10::complex<float>(pow(c10::complex<double>(x), c10::complex<double>(y)));
}

}  // namespace alt::complex_math
