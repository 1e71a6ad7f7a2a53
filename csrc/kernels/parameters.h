// What normalisations do with their parameters alike: weight, bias and statistics may be absent,
// and may be float32 where the input is of a half type.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/native/cpu/mixed_data_type.h>

#include <optional>

namespace alt::kernels {

/// The dtype of parameters and statistics; any mixture but float32 beside a half type is refused.
template <class... Parameters>
at::ScalarType parameter_dtype(const at::Tensor& input, const Parameters&... parameters) {
  const bool mixed = at::native::is_mixed_type(input, parameters...);
  if (mixed) at::native::check_mixed_data_type(input, parameters...);
  return at::native::param_scalar_type(input, mixed);
}

/// `value` itself where it has that dtype, without the way through the dispatcher.
inline at::Tensor in_dtype(const at::Tensor& value, at::ScalarType dtype) {
  return value.scalar_type() == dtype ? value : value.to(dtype);
}

/// An optional parameter as contiguous memory of `dtype`; undefined stays undefined.
inline at::Tensor parameter(const std::optional<at::Tensor>& value, at::ScalarType dtype) {
  if (!value.has_value() || !value->defined()) return {};
  return in_dtype(*value, dtype).contiguous();
}

}  // namespace alt::kernels
