// Activations and their derivatives. In a backward, `grad` is the gradient of the output.
#pragma once

#include <c10/util/MathConstants.h>

#include "loops/erf.h"
#include "loops/exp.h"
#include "loops/function.h"
#include "loops/log.h"
#include "loops/math.h"
#include "loops/tanh.h"
#include "ops/arithmetic.h"
#include "ops/math.h"

namespace alt::ops {

inline constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
inline constexpr double kOneOverSqrtTwoPi = 0.39894228040143267794;

/// value where x <= threshold, `other` elsewhere: relu's backward passes (output, grad).
template <class T>
ALT_FN T threshold(T x, T other, T bound, T value) {
  return select(x <= bound, value, other);
}

template <class T>
ALT_FN T elu(T x, T alpha, T scale, T input_scale) {
  return select(x < T(0), math::expm1(x * input_scale) * (alpha * scale), x * scale);
}

template <class T>
ALT_FN T elu_backward(T grad, T x, T alpha, T scale, T input_scale, bool is_result) {
  const T negative = alpha * scale;
  const T slope = is_result ? (x + negative) * input_scale
                            : math::exp(x * input_scale) * negative * input_scale;
  return select(x <= T(0), grad * slope, grad * scale);
}

template <class T>
ALT_FN T leaky_relu(T x, T slope) {
  return select(x > T(0), x, x * slope);
}

template <class T>
ALT_FN T leaky_relu_backward(T x, T grad, T slope) {
  return select(x > T(0), grad, grad * slope);
}

template <class T>
ALT_FN T silu(T x) {
  return x / math::one_plus_exp(T(0) - x);
}

template <class T>
ALT_FN T silu_backward(T grad, T x) {
  const T gate = sigmoid(x);
  return grad * gate * (T(1) + x * (T(1) - gate));
}

/// tanh(softplus(x)) = n / (n + 2) with n = e (e + 2) and e = exp(x), whose derivative is
/// 4 e (e + 1) / (n + 2)^2. From 40 on the quotient is 1. What n, n + 2 and the quotient round off
/// is taken into account: mish would be off by 4 ULP, twice what it is by stock's three functions.
template <class T>
struct TanhSoftplus {
  T e, share, quotient;

  ALT_FN explicit TanhSoftplus(T x) {
    e = math::exp(alt::minimum(x, T(40)));
    const T n = fma(e, e, e + e), n_rest = fma(e, e, (e + e) - n);
    const T d = n + T(2), d_rest = n - (d - T(2));
    share = T(1) / d;
    const T q = n * share, q_rest = fma(T(0) - q, d, n) + (n_rest - q * (d_rest + n_rest));
    quotient = fma(q_rest, share, q);
  }
};

template <class T>
ALT_FN T mish(T x) {
  return x * TanhSoftplus<T>(x).quotient;
}

template <class T>
ALT_FN T mish_backward(T grad, T x) {
  const TanhSoftplus<T> gate(x);
  const T slope = T(4) * gate.e * (gate.e + T(1)) * gate.share * gate.share;
  return grad * (gate.quotient + x * slope);
}

template <class T>
ALT_FN T softplus(T x, T beta, T threshold) {
  return select(x * beta > threshold, x, math::log1p_inline(math::exp(x * beta)) / beta);
}

template <class T>
ALT_FN T softplus_backward(T grad, T x, T beta, T threshold) {
  const T z = math::exp(x * beta);
  return select(x * beta > threshold, grad, grad * z / (z + T(1)));
}

template <class T>
ALT_FN T hardsigmoid(T x) {
  return clamp(x + T(3), T(0), T(6)) / T(6);
}

template <class T>
ALT_FN T hardsigmoid_backward(T grad, T x) {
  return select((x > T(-3)) & (x < T(3)), grad / T(6), T(0));
}

template <class T>
ALT_FN T hardswish(T x) {
  return x * clamp(x + T(3), T(0), T(6)) / T(6);
}

template <class T>
ALT_FN T hardswish_backward(T grad, T x) {
  return select(x <= T(-3), T(0), select(x < T(3), grad * (x / T(3) + T(0.5)), grad));
}

template <class T>
ALT_FN T hardtanh_backward(T grad, T x, T low, T high) {
  return select((x <= low) | (x >= high), T(0), grad);
}

template <class T>
ALT_FN T hardshrink(T x, T lambda) {
  return select((x >= T(0) - lambda) & (x <= lambda), T(0), x);
}

template <class T>
ALT_FN T softshrink(T x, T lambda) {
  return select(is_nan(x), x,
                select(x > lambda, x - lambda, select(x < T(0) - lambda, x + lambda, T(0))));
}

template <class T>
ALT_FN T shrink_backward(T grad, T x, T lambda) {
  return select((x >= T(0) - lambda) & (x <= lambda), T(0), grad);
}

template <class T>
ALT_FN T gelu_exact(T x) {
  return x * T(0.5) * (T(1) + math::erf_quick(x * T(c10::frac_sqrt_2<double>)));
}

/// The tanh approximation of Hendrycks & Gimpel.
template <class T>
ALT_FN T gelu_tanh(T x) {
  const T beta(kSqrtTwoOverPi);
  const T inner = beta * (x + T(0.044715) * (x * x * x));
  return T(0.5) * x * (T(1) + math::tanh_inline(inner));
}

template <class T>
ALT_FN T gelu_exact_backward(T grad, T x) {
  const T cdf = T(0.5) * (T(1) + math::erf_quick(x * T(c10::frac_sqrt_2<double>)));
  const T density = math::exp_nonpositive(T(-0.5) * x * x) * T(kOneOverSqrtTwoPi);
  return grad * (cdf + x * density);
}

template <class T>
ALT_FN T gelu_tanh_backward(T grad, T x) {
  const T beta(kSqrtTwoOverPi);
  const T kappa(0.044715);
  const T tanh_inner = math::tanh_inline(beta * (x + kappa * (x * x * x)));
  const T left =
      T(0.5) * x * (T(1) - tanh_inner * tanh_inner) * beta * (T(1) + T(3) * kappa * x * x);
  return grad * (T(0.5) * (T(1) + tanh_inner) + left);
}

template <class T>
ALT_FN T glu(T x, T gate) {
  return x * sigmoid(gate);
}

/// The gradients of both halves of the input.
template <class T>
ALT_FN Two<T> glu_backward(T x, T gate, T grad) {
  const T open = sigmoid(gate);
  return {grad * open, grad * x * open * (T(1) - open)};
}

/// The tangent of `value` = glu(x, gate).
template <class T>
ALT_FN T glu_jvp(T value, T gate, T x_tangent, T gate_tangent) {
  const T open = sigmoid(gate);
  return x_tangent * open + value * (gate_tangent - open * gate_tangent);
}

template <class T>
ALT_FN T sigmoid_backward(T grad, T y) {
  return grad * conj_physical((T(1) - y) * y);
}

template <class T>
ALT_FN T tanh_backward(T grad, T y) {
  return grad * conj_physical(T(1) - y * y);
}

/// grad / (x (1 - x)); outside [eps, 1 - eps] zero, and NaN where eps is negative.
template <class T>
ALT_FN T logit_backward(T grad, T x, T eps) {
  const T nan(std::numeric_limits<element_t<T>>::quiet_NaN());
  const T inside = grad / (x * (T(1) - x));
  const T strict = select((x < T(0)) | (x > T(1)), nan, inside);
  const T clamped = select((x < eps) | (x > T(1) - eps), T(0), inside);
  return select(eps < T(0), strict, clamped);
}

template <class T>
ALT_FN T prelu(T x, T weight) {
  return select(x > T(0), x, weight * x);
}

/// The gradients of the input and, not yet summed, of the weight.
template <class T>
ALT_FN Two<T> prelu_backward(T x, T weight, T grad) {
  const auto positive = x > T(0);
  return {select(positive, grad, weight * grad), select(positive, T(0), x * grad)};
}

/// min(0, x) - log(1 + exp(-|x|)).
template <class T>
ALT_FN T log_sigmoid(T x) {
  return alt::minimum(T(0), x) - math::log1p_inline(math::exp(T(0) - math::abs(x)));
}

template <class T>
ALT_FN T log_sigmoid_backward(T x, T grad) {
  const T z = math::exp(T(0) - math::abs(x));
  const T ratio = z / (T(1) + z);
  return grad * select(x < T(0), T(1) - ratio, ratio);
}

}  // namespace alt::ops
