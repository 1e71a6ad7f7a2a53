// Systems with a triangular matrix: trsm.

#include <ATen/core/Tensor.h>
#include <ATen/native/TransposeType.h>

#include "kernels/lapack.h"
#include "kernels/linalg.h"

namespace alt::kernels {

using at::Tensor;

/// Overwrites B. From the left, A may have more rows than columns and B may be as high.
void triangular_solve(const Tensor& A, const Tensor& B, bool left, bool upper,
                      at::native::TransposeType transpose, bool unitriangular) {
  const char side = left ? 'L' : 'R';
  const char uplo = upper ? 'U' : 'L';
  const char diag = unitriangular ? 'U' : 'N';
  const char trans = at::native::to_blas(transpose);
  visit<FloatingAndComplexTypes>(A.scalar_type(), "triangular_solve_cpu", [&]<class T>() {
    const Matrices<T> a(A);
    const Matrices<T> b(B);
    const int m = left ? a.columns : b.rows;
    for_each_matrix(
        a.count, 1.0 * a.columns * a.columns * (left ? b.columns : b.rows), [=](int64_t i) {
          lapack::trsm(side, uplo, trans, diag, m, b.columns, a[i], a.leading, b[i], b.leading);
        });
  });
}

}  // namespace alt::kernels
