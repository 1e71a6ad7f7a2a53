// The gates of recurrent cells on lanes, and what cells and layers do alike with their parameters.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <type_traits>
#include <vector>

#include "kernels/parameters.h"
#include "loops/exp.h"
#include "loops/math.h"
#include "loops/vec.h"

namespace alt::kernels::rnn {

// SLEEF's tanh of floats takes more than half of the time of a small layer's gates: it is a call,
// which spills every register, and computes in pairs of floats. These are inline and within 2.5
// units in the last place.

template <class A>
Vec<A> sigmoid(const Vec<A>& x) {
  const Vec<A> one(A(1)), small = math::exp_nonpositive(-math::abs(x));
  return select(x < Vec<A>(A(0)), small, one) / (one + small);
}

template <class A>
Vec<A> tanh(const Vec<A>& x) {
  if constexpr (std::is_same_v<A, float>) {
    using V = Vec<float>;
    // Near 0 an odd polynomial, fitted for the least relative error (3e-9).
    const V size = math::abs(x), square = x * x;
    V p = fma(square, V(-0.005895085167139769f), V(0.02079591527581215f));
    p = fma(p, square, V(-0.05378381535410881f));
    p = fma(p, square, V(0.13331924378871918f));
    p = fma(p, square, V(-0.33333298563957214f));
    const V near = fma(x * square, p, x);
    const V small = math::exp_nonpositive(V(-2.0f) * size);
    const V far = (V(1.0f) - small) / (V(1.0f) + small);
    return select(size < V(0.6f), near, select(x < V(0.0f), -far, far));
  } else {
    return math::tanh(x);
  }
}

/// The two biases added up, zero if there are none. Gates from `split` on keep the hidden bias
/// apart, after the others.
template <class A>
std::vector<A> joined_bias(const std::optional<at::Tensor>& input_bias,
                           const std::optional<at::Tensor>& hidden_bias, int64_t size,
                           int64_t split) {
  std::vector<A> bias(size + (size - split), A(0));
  if (!input_bias.has_value() || !input_bias->defined()) return bias;
  const auto dtype = c10::CppTypeToScalarType<A>::value;
  const at::Tensor from_input = parameter(input_bias, dtype),
                   from_hidden = parameter(hidden_bias, dtype);
  const A *a = from_input.const_data_ptr<A>(), *b = from_hidden.const_data_ptr<A>();
  for (int64_t i = 0; i < split; ++i) bias[i] = a[i] + b[i];
  for (int64_t i = split; i < size; ++i) {
    bias[i] = a[i];
    bias[i + size - split] = b[i];
  }
  return bias;
}

}  // namespace alt::kernels::rnn
