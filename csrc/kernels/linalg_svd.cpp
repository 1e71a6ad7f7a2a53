// Singular values by divide and conquer: gesdd.

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

#include "kernels/lapack.h"
#include "kernels/linalg.h"

namespace alt::kernels {

using at::Tensor;

void svd(const Tensor& A, bool full_matrices, bool compute_uv,
         const std::optional<std::string_view>& driver, const Tensor& U, const Tensor& S,
         const Tensor& Vh, const Tensor& info) {
  TORCH_INTERNAL_ASSERT(!driver.has_value(), "svd: driver shouldn't have a value here.");
  const char some = full_matrices ? 'A' : 'S';
  const char jobz = compute_uv ? some : 'N';
  const Tensor copy = at::native::cloneBatchedColumnMajor(A);  // which LAPACK destroys
  visit<FloatingAndComplexTypes>(A.scalar_type(), "linalg_svd_cpu", [&]<class T>() {
    const Matrices<T> a(copy);
    const Matrices<T> u(compute_uv ? U : copy);
    const Matrices<T> vh(compute_uv ? Vh : copy);
    const Vectors<lapack::real_t<T>> s(S);
    int* infos = info.mutable_data_ptr<int>();
    lapack::Workspace<T> sized;
    sized.iwork.resize(8 * std::max(1, std::min(a.rows, a.columns)));
    if (lapack::is_complex<T>) {
      sized.rwork.resize(
          std::max<int64_t>(1, at::native::computeLRWorkDim(jobz, a.rows, a.columns)));
    }
    for_each_matrix(a.count, 8 * factor_cost(a.rows, a.columns),
                    [=, space = sized](int64_t i) mutable {
                      infos[i] = lapack::gesdd(jobz, a.rows, a.columns, a[i], a.leading, s[i],
                                               compute_uv ? u[i] : nullptr, u.leading,
                                               compute_uv ? vh[i] : nullptr, vh.leading, space);
                    });
  });
}

}  // namespace alt::kernels
