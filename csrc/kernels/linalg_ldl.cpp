// LDL factors of symmetric and Hermitian matrices, and the systems solved with them: sytrf, hetrf
// and sytrs, hetrs.

#include <ATen/core/Tensor.h>

#include "kernels/lapack.h"
#include "kernels/linalg.h"

namespace alt::kernels {

using at::Tensor;

void ldl_factor(const Tensor& LD, const Tensor& pivots, const Tensor& info, bool upper,
                bool hermitian) {
  const char uplo = upper ? 'U' : 'L';
  visit<FloatingAndComplexTypes>(LD.scalar_type(), "ldl_factor_kernel_cpu", [&]<class T>() {
    const Matrices<T> a(LD);
    const Vectors<int> order(pivots);
    int* infos = info.mutable_data_ptr<int>();
    for_each_matrix(a.count, factor_cost(a.rows, a.rows) / 3,
                    [=, space = lapack::Workspace<T>()](int64_t i) mutable {
                      infos[i] = lapack::ldl_factor(hermitian, uplo, a.rows, a[i], a.leading,
                                                    order[i], space);
                    });
  });
}

/// The factors' batch is expanded to that of `result`, which holds the right-hand sides.
void ldl_solve(const Tensor& LD, const Tensor& pivots, const Tensor& result, bool upper,
               bool hermitian) {
  const char uplo = upper ? 'U' : 'L';
  const Tensor order = pivots.to(at::kInt);
  const at::IntArrayRef batch(result.sizes().data(), result.dim() - 2);
  const std::vector<int64_t> factor_offsets = broadcast_offsets(LD, 2, batch);
  const std::vector<int64_t> pivot_offsets = broadcast_offsets(order, 1, batch);
  visit<FloatingAndComplexTypes>(LD.scalar_type(), "ldl_solve_kernel_cpu", [&]<class T>() {
    const Matrices<T> b(result);
    const T* factors = LD.const_data_ptr<T>();
    const int* swaps = order.const_data_ptr<int>();
    for_each_matrix(b.count, 2.0 * b.rows * b.rows * b.columns, [&](int64_t i) {
      lapack::ldl_solve(hermitian, uplo, b.rows, b.columns, factors + factor_offsets[i], b.leading,
                        swaps + pivot_offsets[i], b[i], b.leading);
    });
  });
}

}  // namespace alt::kernels
