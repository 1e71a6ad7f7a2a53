// The constants of c10 that csrc/ops names, for compilers without PyTorch's headers.
#pragma once

namespace c10 {

template <class T>
inline constexpr T pi = static_cast<T>(3.14159265358979323846264338327950288);
template <class T>
inline constexpr T ln_2 = static_cast<T>(0.693147180559945309417232121458176568);
template <class T>
inline constexpr T frac_sqrt_2 = static_cast<T>(0.707106781186547524400844362104849039);

}  // namespace c10
