// Special functions on one scalar. Sources are named at each function.
#pragma once

#include <cmath>
#include <limits>

#include "loops/function.h"

namespace alt::special {

inline constexpr double kPi = 3.14159265358979323846;

/// Abramowitz & Stegun 6.3: reflection for negative x, recurrence up to 10, asymptotic series.
template <class T>
T digamma(T x_in) {
  double x = static_cast<double>(x_in);
  if (x == 0) return static_cast<T>(std::copysign(std::numeric_limits<double>::infinity(), -x));
  double result = 0;
  if (x < 0) {
    if (x == std::trunc(x)) return std::numeric_limits<T>::quiet_NaN();
    double whole = 0;
    const double fraction = std::modf(x, &whole);
    result = -kPi / std::tan(kPi * fraction);
    x = 1 - x;
  }
  for (; x < 10; x += 1) result -= 1 / x;
  if (x < 1e17) {
    const double z = 1 / (x * x);
    const double series =
        z *
        (1.0 / 12 -
         z * (1.0 / 120 -
              z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z / 12))))));
    result -= series;
  }
  return static_cast<T>(result + std::log(x) - 0.5 / x);
}

/// Abramowitz & Stegun 6.4: reflection, recurrence up to 6, asymptotic series.
template <class T>
T trigamma(T x_in) {
  double x = static_cast<double>(x_in);
  double sign = 1;
  double result = 0;
  if (x < 0.5) {
    sign = -1;
    const double sine = std::sin(kPi * x);
    result -= (kPi * kPi) / (sine * sine);
    x = 1 - x;
  }
  for (int i = 0; i < 8; ++i) {
    result += 1 / (x * x);
    x += 1;
  }
  const double z = 1 / (x * x);
  result += (1 + 0.5 / x + z * (1.0 / 6 - z * (1.0 / 30 - z * (1.0 / 42 - z / 30)))) / x;
  return static_cast<T>(sign * result);
}

/// A rational first guess (Giles, "Approximating the erfinv function") and two Newton steps in
/// double, which take it to the last place.
template <class T>
T erfinv(T x_in) {
  const double x = static_cast<double>(x_in);
  if (std::abs(x) > 1) return std::numeric_limits<T>::quiet_NaN();
  if (std::abs(x) == 1) {
    return static_cast<T>(std::copysign(std::numeric_limits<double>::infinity(), x));
  }
  double w = -std::log((1 - x) * (1 + x));
  double guess = 0;
  if (w < 5) {
    w -= 2.5;
    guess =
        1.50140941 +
        w * (0.246640727 + w * (-0.00417768164 +
                                w * (-0.00125372503 +
                                     w * (0.00021858087 +
                                          w * (-4.39150654e-06 +
                                               w * (-3.5233877e-06 +
                                                    w * (3.43273939e-07 + w * 2.81022636e-08)))))));
  } else {
    w = std::sqrt(w) - 3;
    guess =
        2.83297682 +
        w * (1.00167406 + w * (0.00943887047 +
                               w * (-0.0076224613 +
                                    w * (0.00573950773 +
                                         w * (-0.00367342844 +
                                              w * (0.00134934322 +
                                                   w * (0.000100950558 + w * -0.000200214257)))))));
  }
  double y = guess * x;
  const double scale = 2 / std::sqrt(kPi);
  for (int i = 0; i < 2; ++i) {
    // Near |x| = 1, 1 - |x| is exact where x itself has lost its digits.
    const double error = std::abs(x) > 0.5
                             ? std::copysign((1 - std::abs(x)) - std::erfc(std::abs(y)), x)
                             : std::erf(y) - x;
    y -= error / (scale * std::exp(-y * y));
  }
  return static_cast<T>(y);
}

}  // namespace alt::special
