// What the reduction kernels share: the type that a dtype is reduced in, and the call with an
// iterator.
#pragma once

#include <ATen/TensorIterator.h>

#include "loops/reduce.h"

namespace alt::kernels {

/// Calls body with the type that `dtype` is reduced in: float for the half types, int64 for
/// integers and bool.
template <class Body>
void with_real_type(at::ScalarType dtype, const char* name, Body&& body) {
  if (at::isIntegralType(dtype, /*includeBool=*/true)) {
    body.template operator()<int64_t>();
  } else {
    visit<FloatingTypes>(dtype == at::kHalf || dtype == at::kBFloat16 ? at::kFloat : dtype, name,
                         body);
  }
}

template <class Body>
void with_real_or_complex_type(at::ScalarType dtype, const char* name, Body&& body) {
  if (at::isComplexType(dtype)) {
    visit<ComplexTypes>(opmath_dtype(dtype), name, body);
  } else {
    with_real_type(dtype, name, body);
  }
}

/// Reduces what the iterator holds; an output of no elements is the operator's identity.
template <class Op>
void run_reduction(at::TensorIteratorBase& iter, const Op& op, ConvertFunction special = nullptr) {
  if (iter.numel() != 0) {
    run_reduction(Reduction(iter), op, special);
    return;
  }
  const auto result = op.project(op.identity(), 0);
  if constexpr (requires { result.first; }) {
    iter.tensor(0).fill_(result.first);
    if (iter.noutputs() == 2) iter.tensor(1).fill_(result.second);
  } else {
    iter.tensor(0).fill_(result);
  }
}

}  // namespace alt::kernels
