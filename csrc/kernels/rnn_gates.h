// The gates of recurrent cells on lanes, and what cells and layers do alike with their parameters.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "kernels/parameters.h"
#include "loops/math.h"
#include "loops/vec.h"

namespace alt::kernels::rnn {

template <class A>
Vec<A> sigmoid(const Vec<A>& x) {
  return Vec<A>(A(1)) / (Vec<A>(A(1)) + math::exp(-x));
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
