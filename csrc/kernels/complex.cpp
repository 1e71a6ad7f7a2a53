// Operators that make complex numbers of real ones, and nan_to_num, whose defaults depend on the
// dtype.
#include <ATen/TensorIterator.h>
#include <c10/util/complex.h>

#include <cmath>
#include <limits>
#include <optional>

#include "generated/pointwise_kernels.h"
#include "loops/pointwise.h"

namespace alt::kernels {
namespace {

/// Two real inputs to one complex output; `row` is what altbackend/cuda/table.py calls it.
template <class T, class Function>
void run_complex(at::TensorIterator& iter, const char* row, Function) {
  if (alt::cuda::on_gpu()) {
    alt::cuda::pointwise(iter, row, {}, c10::CppTypeToScalarType<T>::value);
    return;
  }
  const InnerLoop loop = [](const void*, const Strip& strip) {
    const int64_t step[] = {strip.numbers & 1 ? 0 : 1, strip.numbers & 2 ? 0 : 1};
    for (int64_t row = 0; row < strip.rows; ++row) {
      const auto start = [&](const void* data, size_t operand) {
        return static_cast<const char*>(data) + (row == 0 ? 0 : row * strip.row_strides[operand]);
      };
      auto* out = reinterpret_cast<c10::complex<T>*>(const_cast<char*>(start(strip.outputs[0], 0)));
      const auto* x = reinterpret_cast<const T*>(start(strip.inputs[0], 1));
      const auto* y = reinterpret_cast<const T*>(start(strip.inputs[1], 2));
      for (int64_t i = 0; i < strip.n; ++i) out[i] = Function{}(x[i * step[0]], y[i * step[1]]);
    }
  };
  run_pointwise(iter, {c10::CppTypeToScalarType<T>::value,
                       c10::CppTypeToScalarType<c10::complex<T>>::value, loop, nullptr});
}

/// The largest finite value of what is stored, which for the half types is not float's.
double largest(at::ScalarType dtype) {
  double value = 0;
  visit<concat_t<FloatingAndHalfTypes, TypeList<>>>(
      c10::toRealValueType(dtype), "nan_to_num",
      [&]<class T>() { value = static_cast<double>(std::numeric_limits<T>::max()); });
  return value;
}

}  // namespace

void complex(at::TensorIterator& iter) {
  visit<FloatingTypes>(opmath_dtype(iter.input_dtype(0)), "complex", [&]<class T>() {
    run_complex<T>(iter, "complex",
                   [](T real, T imaginary) { return c10::complex<T>(real, imaginary); });
  });
}

void polar(at::TensorIterator& iter) {
  visit<FloatingTypes>(iter.input_dtype(0), "polar", [&]<class T>() {
    run_complex<T>(iter, "polar", [](T magnitude, T angle) {
      return c10::complex<T>(magnitude * std::cos(angle), magnitude * std::sin(angle));
    });
  });
}

void nan_to_num(at::TensorIteratorBase& iter, std::optional<double> nan,
                std::optional<double> pos_inf, std::optional<double> neg_inf) {
  const double bound = largest(iter.common_dtype());
  replace_nonfinite(iter, nan.value_or(0.0), pos_inf.value_or(bound), neg_inf.value_or(-bound));
}

}  // namespace alt::kernels
