// Cholesky factors, the inverse and the solution of a system from them: potrf, potri, potrs.
//
// All work in place on column-major copies that the front-ends made.

#include <ATen/core/Tensor.h>

#include "kernels/lapack.h"
#include "kernels/linalg.h"

namespace alt::kernels {
namespace {

using at::Tensor;

template <class T>
T conjugate(T value) {
  if constexpr (lapack::is_complex<T>) {
    return std::conj(value);
  } else {
    return value;
  }
}

/// Fills the triangle that LAPACK left alone with the conjugate of the other.
template <class T>
void mirror(char uplo, int n, T* a, int lda) {
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = j + 1; i < n; ++i) {
      T& below = a[i + j * lda];
      T& above = a[j + i * lda];
      if (uplo == 'L') {
        above = conjugate(below);
      } else {
        below = conjugate(above);
      }
    }
  }
}

}  // namespace

void cholesky(const Tensor& input, const Tensor& info, bool upper) {
  const char uplo = upper ? 'U' : 'L';
  visit<FloatingAndComplexTypes>(input.scalar_type(), "cholesky_cpu", [&]<class T>() {
    const Matrices<T> a(input);
    int* infos = info.mutable_data_ptr<int>();
    for_each_matrix(a.count, factor_cost(a.rows, a.rows) / 3,
                    [=](int64_t i) { infos[i] = lapack::potrf(uplo, a.rows, a[i], a.leading); });
  });
}

Tensor& cholesky_inverse(Tensor& result, Tensor& info, bool upper) {
  const char uplo = upper ? 'U' : 'L';
  visit<FloatingAndComplexTypes>(result.scalar_type(), "cholesky_inverse_out_cpu", [&]<class T>() {
    const Matrices<T> a(result);
    int* infos = info.mutable_data_ptr<int>();
    for_each_matrix(a.count, factor_cost(a.rows, a.rows), [=](int64_t i) {
      infos[i] = lapack::potri(uplo, a.rows, a[i], a.leading);
      mirror(uplo, a.rows, a[i], a.leading);
    });
  });
  return result;
}

Tensor cholesky_solve_helper(const Tensor& self, const Tensor& A, bool upper) {
  const char uplo = upper ? 'U' : 'L';
  Tensor result = at::native::cloneBatchedColumnMajor(self);
  const Tensor factors = at::native::cloneBatchedColumnMajor(A);
  visit<FloatingAndComplexTypes>(self.scalar_type(), "cholesky_solve_cpu", [&]<class T>() {
    const Matrices<T> a(factors);
    const Matrices<T> b(result);
    for_each_matrix(b.count, 2 * factor_cost(a.rows, a.rows) + 1.0 * a.rows * b.columns,
                    [=](int64_t i) {
                      lapack::potrs(uplo, a.rows, b.columns, a[i], a.leading, b[i], b.leading);
                    });
  });
  return result;
}

}  // namespace alt::kernels
