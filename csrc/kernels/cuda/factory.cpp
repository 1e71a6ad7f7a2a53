// arange and linspace, tril and triu on the GPU (altbackend/cuda/kernels/factory.cuh).
#include <ATen/TensorIterator.h>
#include <ATen/ops/view_as_real.h>

#include <limits>

#include "kernels/cuda/launches.h"
#include "kernels/operands.h"
#include "loops/element_size.h"

namespace alt::kernels::cuda {
namespace {

using at::Scalar;
using at::Tensor;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// Of a tensor's one dimension, or none.
void fill_sequence(const Tensor& out, std::initializer_list<int64_t> integers,
                   std::initializer_list<double> numbers) {
  launch_elements(kernel("sequence", {out.scalar_type()}), out.numel(),
                  arguments({tensor_args(out)}, integers, numbers));
}

void triangle(const Tensor& self, int64_t diagonal, const Tensor& out, bool upper) {
  if (out.numel() == 0) return;
  launch_elements(kernel("triangle", {moved_as(self.scalar_type())}), out.numel(),
                  arguments({tensor_args(out), tensor_args(self)}, {diagonal, upper}));
}

/// From the first number to the last in equal steps; integers are those of the first and last.
void fill_evenly(const Tensor& out, double start, double end) {
  const int64_t steps = out.numel();
  const double step = (end - start) / static_cast<double>(steps - 1);
  fill_sequence(out, {steps, 0}, {start, step, end});
}

}  // namespace

void arange(at::TensorIterator& iter, const Scalar& start, const Scalar& /*steps*/,
            const Scalar& step) {
  const Tensor out = iter.tensor(0);
  check_type<RealTypes>(out.scalar_type(), "arange_cpu");
  if (at::isIntegralType(out.scalar_type(), /*includeBool=*/false)) {
    fill_sequence(out, {out.numel(), 1, start.to<int64_t>(), step.to<int64_t>()}, {0, 0, kNone});
  } else {
    fill_sequence(out, {out.numel(), 0}, {start.to<double>(), step.to<double>(), kNone});
  }
}

void linspace(at::TensorIterator& iter, const Scalar& start, const Scalar& end, int64_t /*steps*/) {
  const Tensor out = iter.tensor(0);
  check_type<concat_t<RealTypes, ComplexTypes>>(out.scalar_type(), "linspace_cpu");
  if (out.is_complex()) {
    const Tensor parts = at::view_as_real(out);
    const auto from = start.to<c10::complex<double>>(), to = end.to<c10::complex<double>>();
    fill_evenly(parts.select(-1, 0), from.real(), to.real());
    fill_evenly(parts.select(-1, 1), from.imag(), to.imag());
    return;
  }
  // The ends are rounded to the result's dtype first.
  visit<RealTypes>(out.scalar_type(), "linspace_cpu", [&]<class T>() {
    fill_evenly(out, static_cast<double>(start.to<T>()), static_cast<double>(end.to<T>()));
  });
}

void tril(const Tensor& self, int64_t diagonal, const Tensor& out) {
  triangle(self, diagonal, out, /*upper=*/false);
}

void triu(const Tensor& self, int64_t diagonal, const Tensor& out) {
  triangle(self, diagonal, out, /*upper=*/true);
}

}  // namespace alt::kernels::cuda
