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

// A gate is two thirds division and exponential, so they are inline, and without a branch or a
// blend: a call would spill every register, and the rows of a panel would wait for each other
// (SLEEF's tanh alone took half of the time of a small layer's gates). A vector of LSTM units takes
// 30 ns so. Floats are within 2.5 units in the last place, between the limits that x is kept to:
// beyond them tanh is +-1 and a sigmoid 1 or less than 2e-38. Doubles are SLEEF's.

template <class A>
ALT_FN Vec<A> sigmoid(Vec<A> x) {
  const Vec<A> one(A(1));
  if constexpr (std::is_same_v<A, float>) {
    const auto [power, fraction] = math::exponential(math::within(-x, -87.0F, 87.0F));
    return one / (fma(power, fraction, power) + one);
  } else {
    const Vec<A> small = math::exp_nonpositive(-math::abs(x));
    return select(x < Vec<A>(A(0)), small, one) / (one + small);
  }
}

/// By exp(2 x) - 1, which has all digits near 0 too.
template <class A>
ALT_FN Vec<A> tanh(Vec<A> x) {
  if constexpr (std::is_same_v<A, float>) {
    const auto [power, fraction] = math::exponential(math::within(x + x, -20.0F, 20.0F));
    const Vec<A> growth = fma(power, fraction, power - Vec<A>(1.0F));
    return growth / (growth + Vec<A>(2.0F));
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
