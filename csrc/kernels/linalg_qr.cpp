// QR by Householder reflectors: geqrf makes them, orgqr multiplies them out, ormqr applies them.

#include <ATen/core/Tensor.h>

#include "kernels/lapack.h"
#include "kernels/linalg.h"

namespace alt::kernels {

using at::Tensor;

void geqrf(const Tensor& input, const Tensor& tau) {
  visit<FloatingAndComplexTypes>(input.scalar_type(), "geqrf_cpu", [&]<class T>() {
    const Matrices<T> a(input);
    const Vectors<T> scales(tau);
    for_each_matrix(a.count, 2 * factor_cost(a.rows, a.columns),
                    [=, space = lapack::Workspace<T>()](int64_t i) mutable {
                      lapack::geqrf(a.rows, a.columns, a[i], a.leading, scales[i], space);
                    });
  });
}

Tensor& orgqr(Tensor& result, const Tensor& tau) {
  if (result.numel() == 0) {
    return result;
  }
  visit<FloatingAndComplexTypes>(result.scalar_type(), "orgqr_cpu", [&]<class T>() {
    const Matrices<T> q(result);
    const Vectors<T> scales(tau);
    const int k = static_cast<int>(scales.length);
    for_each_matrix(q.count, 2 * factor_cost(q.rows, q.columns),
                    [=, space = lapack::Workspace<T>()](int64_t i) mutable {
                      lapack::orgqr(q.rows, q.columns, k, q[i], q.leading, scales[i], space);
                    });
  });
  return result;
}

void ormqr(const Tensor& input, const Tensor& tau, const Tensor& other, bool left, bool transpose) {
  const char side = left ? 'L' : 'R';
  const char adjoint = input.is_complex() ? 'C' : 'T';
  const char trans = transpose ? adjoint : 'N';
  visit<FloatingAndComplexTypes>(input.scalar_type(), "ormqr_cpu", [&]<class T>() {
    const Matrices<T> reflectors(input);
    const Matrices<T> c(other);
    const Vectors<T> scales(tau);
    const int k = static_cast<int>(scales.length);
    for_each_matrix(c.count, 4.0 * k * c.rows * c.columns,
                    [=, space = lapack::Workspace<T>()](int64_t i) mutable {
                      lapack::ormqr(side, trans, c.rows, c.columns, k, reflectors[i],
                                    std::max(1, left ? c.rows : c.columns), scales[i], c[i],
                                    c.leading, space);
                    });
  });
}

}  // namespace alt::kernels
