// c10::complex for csrc/ops and the kernels, for compilers without PyTorch's headers: layout and
// arithmetic of PyTorch's.
#pragma once

#include <limits>
#include <type_traits>

#include "loops/function.h"

namespace c10 {

template <class R>
struct alignas(2 * sizeof(R)) complex {
  using value_type = R;
  R re, im;

  complex() = default;
  ALT_FN constexpr complex(R real, R imaginary = R()) : re(real), im(imaginary) {}
  template <class S>
    requires(std::is_arithmetic_v<S> && !std::is_same_v<S, R>)
  ALT_FN explicit constexpr complex(S real) : re(static_cast<R>(real)), im(R()) {}
  template <class S>
    requires(!std::is_same_v<S, R>)
  ALT_FN explicit constexpr complex(complex<S> other)
      : re(static_cast<R>(other.re)), im(static_cast<R>(other.im)) {}

  ALT_FN constexpr R real() const { return re; }
  ALT_FN constexpr R imag() const { return im; }

  ALT_FN friend complex operator+(complex a, complex b) { return {a.re + b.re, a.im + b.im}; }
  ALT_FN friend complex operator-(complex a, complex b) { return {a.re - b.re, a.im - b.im}; }
  ALT_FN friend complex operator-(complex a) { return {-a.re, -a.im}; }
  ALT_FN friend complex operator*(complex a, complex b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
  /// Scaled by the divisor's larger part (Smith's method), so that nothing overflows on the way.
  ALT_FN friend complex operator/(complex a, complex b) {
    const R real_size = b.re < R(0) ? -b.re : b.re;
    const R imaginary_size = b.im < R(0) ? -b.im : b.im;
    if (real_size >= imaginary_size) {
      if (real_size == R(0)) return {a.re / real_size, a.im / imaginary_size};
      const R ratio = b.im / b.re;
      const R scale = R(1) / (b.re + b.im * ratio);
      return {(a.re + a.im * ratio) * scale, (a.im - a.re * ratio) * scale};
    }
    const R ratio = b.re / b.im;
    const R scale = R(1) / (b.im + b.re * ratio);
    return {(a.re * ratio + a.im) * scale, (a.im * ratio - a.re) * scale};
  }
  // A real factor or divisor leaves infinities and NaN of one part out of the other.
  ALT_FN friend complex operator*(complex a, R b) { return {a.re * b, a.im * b}; }
  ALT_FN friend complex operator*(R a, complex b) { return b * a; }
  ALT_FN friend complex operator/(complex a, R b) { return {a.re / b, a.im / b}; }
  ALT_FN friend complex operator+(complex a, R b) { return {a.re + b, a.im}; }
  ALT_FN friend complex operator-(complex a, R b) { return {a.re - b, a.im}; }
  ALT_FN complex& operator+=(complex b) { return *this = *this + b; }
  ALT_FN complex& operator*=(complex b) { return *this = *this * b; }

  ALT_FN friend bool operator==(complex a, complex b) { return a.re == b.re && a.im == b.im; }
  ALT_FN friend bool operator!=(complex a, complex b) { return !(a == b); }
};

template <class T>
struct is_complex : std::false_type {};
template <class R>
struct is_complex<complex<R>> : std::true_type {};

}  // namespace c10

namespace std {

template <class R>
ALT_FN R abs(c10::complex<R> x) {
  if constexpr (sizeof(R) == 4) {
    return ::hypotf(x.re, x.im);
  } else {
    return ::hypot(x.re, x.im);
  }
}
template <class R>
ALT_FN R arg(c10::complex<R> x) {
  if constexpr (sizeof(R) == 4) {
    return ::atan2f(x.im, x.re);
  } else {
    return ::atan2(x.im, x.re);
  }
}
template <class R>
ALT_FN c10::complex<R> conj(c10::complex<R> x) {
  return {x.re, -x.im};
}
template <class R>
ALT_FN bool isnan(c10::complex<R> x) {
  return x.re != x.re || x.im != x.im;
}

}  // namespace std
