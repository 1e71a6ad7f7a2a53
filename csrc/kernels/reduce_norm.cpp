// Vector norms. Complex elements are reduced as their magnitudes, taken on load.

#include <c10/core/Scalar.h>

#include <cmath>
#include <limits>

#include "loops/reduce.h"

namespace alt::kernels {
namespace {

template <class Complex, class Real>
void load_magnitude(void* dst, int64_t dst_stride, const void* src, int64_t src_stride, int64_t n) {
  using Wide = opmath_t<Complex>;
  for (int64_t i = 0; i < n; ++i) {
    const auto& element =
        *reinterpret_cast<const Complex*>(static_cast<const char*>(src) + i * src_stride);
    *reinterpret_cast<Real*>(static_cast<char*>(dst) + i * dst_stride) =
        std::abs(static_cast<Wide>(element));
  }
}

template <class Real>
ConvertFunction magnitude_of(at::ScalarType dtype) {
  switch (dtype) {
    case at::kComplexHalf:
      return load_magnitude<c10::complex<at::Half>, Real>;
    case at::kComplexFloat:
      return load_magnitude<c10::complex<float>, Real>;
    case at::kComplexDouble:
      return load_magnitude<c10::complex<double>, Real>;
    default:
      return nullptr;
  }
}

template <class T>
void norm_in(at::TensorIterator& iter, double p) {
  const ConvertFunction special = magnitude_of<T>(iter.input_dtype());
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (p == 0) {
    run_reduction(iter, ops::NormZero<T>{}, {"norm_zero"}, special);
  } else if (p == 1) {
    run_reduction(iter, ops::NormOne<T>{}, {"norm_one"}, special);
  } else if (p == 2) {
    run_reduction(iter, ops::NormTwo<T>{}, {"norm_two"}, special);
  } else if (p == kInfinity) {
    run_reduction(iter, ops::NormInfinity<T>{}, {"norm_infinity"}, special);
  } else if (p == -kInfinity) {
    run_reduction(iter, ops::NormMinusInfinity<T>{}, {"norm_minus_infinity"}, special);
  } else {
    run_reduction(iter, ops::Norm<T>(static_cast<T>(p)), {"norm", {p}}, special);
  }
}

}  // namespace

void norm(at::TensorIterator& iter, const c10::Scalar& p) {
  TORCH_CHECK(p.isIntegral(false) || p.isFloatingPoint(),
              "norm_kernel_tensor_iterator_impl expects norm to be integer or float");
  const at::ScalarType dtype = iter.input_dtype();
  if (dtype == at::kDouble || dtype == at::kComplexDouble) {
    norm_in<double>(iter, p.to<double>());
  } else {
    norm_in<float>(iter, p.to<double>());
  }
}

}  // namespace alt::kernels
