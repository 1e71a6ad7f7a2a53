// Losses of single elements, and their derivatives.
#pragma once

#include "loops/function.h"
#include "loops/log.h"
#include "loops/math.h"

namespace alt::ops {

template <class T>
ALT_FN T mse(T x, T y) {
  const T difference = x - y;
  return difference * difference;
}

/// Backwards take (input, target, grad of the loss) and the factor 1/n or 1 of the reduction.
template <class T>
ALT_FN T mse_backward(T x, T y, T grad, T factor) {
  return factor * (x - y) * grad;
}

template <class T>
ALT_FN T smooth_l1(T x, T y, T beta) {
  const T z = math::abs(x - y);
  return select(z < beta, T(0.5) * z * z / beta, z - T(0.5) * beta);
}

template <class T>
ALT_FN T smooth_l1_backward(T x, T y, T grad, T norm, T beta) {
  const T d = x - y;
  return select(d <= T(0) - beta, (T(0) - norm) * grad,
                select(d >= beta, norm * grad, norm * d * grad / beta));
}

template <class T>
ALT_FN T huber(T x, T y, T delta) {
  const T z = math::abs(x - y);
  return select(z < delta, T(0.5) * z * z, delta * (z - T(0.5) * delta));
}

template <class T>
ALT_FN T huber_backward(T x, T y, T grad, T norm, T delta) {
  const T d = x - y;
  return select(d <= T(0) - delta, (T(0) - norm) * grad * delta,
                select(d >= delta, norm * grad * delta, norm * d * grad));
}

/// Of a probability x; logarithms are at least -100.
template <class T>
ALT_FN T binary_cross_entropy(T x, T y) {
  const T least(-100);
  return (y - T(1)) * alt::maximum(math::log1p_inline(T(0) - x), least) -
         y * alt::maximum(math::log_inline(x), least);
}

/// The derivative by x. The least divisor is a float, as in stock.
template <class T>
ALT_FN T binary_cross_entropy_slope(T x, T y) {
  return (x - y) / alt::maximum((T(1) - x) * x, T(1e-12F));
}

}  // namespace alt::ops
