// LU factors with partial pivoting, the systems solved with them, and their pivots as permutations:
// getrf, getrs. Determinants and inverses are PyTorch's compositions of these.

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/TransposeType.h>

#include <utility>

#include "kernels/index_check.h"
#include "kernels/iterate.h"
#include "kernels/lapack.h"
#include "kernels/linalg.h"

namespace alt::kernels {

using at::Tensor;

void lu_factor(const Tensor& input, const Tensor& pivots, const Tensor& info, bool pivot) {
  TORCH_CHECK(pivot, "linalg.lu_factor: LU without pivoting is not implemented on the CPU");
  visit<FloatingAndComplexTypes>(input.scalar_type(), "lu_cpu", [&]<class T>() {
    const Matrices<T> a(input);
    const Vectors<int> order(pivots);
    int* infos = info.mutable_data_ptr<int>();
    for_each_matrix(a.count, factor_cost(a.rows, a.columns), [=](int64_t i) {
      infos[i] = lapack::getrf(a.rows, a.columns, a[i], a.leading, order[i]);
    });
  });
}

/// The batch of LU and pivots broadcasts to that of B, which is overwritten.
void lu_solve(const Tensor& LU, const Tensor& pivots, const Tensor& B,
              at::native::TransposeType transpose) {
  // LAPACK swaps rows without looking where they lie.
  if (const auto pivot = find_outside(pivots, 1, LU.size(-2) + 1)) {
    TORCH_CHECK(*pivot > 0,
                "Pivots given to lu_solve must all be greater or equal to 1. "
                "Did you properly pass the result of lu_factor?");
    TORCH_CHECK(false,
                "Pivots given to lu_solve must all be smaller or equal to LU.size(-2). "
                "Did you properly pass the result of lu_factor?");
  }
  const char trans = at::native::to_blas(transpose);
  const at::IntArrayRef batch(B.sizes().data(), B.dim() - 2);
  const std::vector<int64_t> factor_offsets = broadcast_offsets(LU, 2, batch);
  const std::vector<int64_t> pivot_offsets = broadcast_offsets(pivots, 1, batch);
  visit<FloatingAndComplexTypes>(LU.scalar_type(), "linalg.lu_solve_cpu", [&]<class T>() {
    const Matrices<T> b(B);
    const T* factors = LU.const_data_ptr<T>();
    const int* order = pivots.const_data_ptr<int>();
    for_each_matrix(b.count, 2.0 * b.rows * b.rows * b.columns, [&](int64_t i) {
      lapack::getrs(trans, b.rows, b.columns, factors + factor_offsets[i], b.leading,
                    order + pivot_offsets[i], b[i], b.leading);
    });
  });
}

/// For each row of pivots (1-based swaps), applies the swaps to a row of `dim_size` positions.
void unpack_pivots(at::TensorIterator& iter, int64_t dim_size, int64_t max_pivot) {
  if (iter.numel() == 0 || dim_size == 0) {
    return;
  }
  for_each_row(iter, /*serial=*/false, [&](char** data, const int64_t* strides, int64_t n) {
    for (int64_t row = 0; row < n; ++row) {
      auto* permutation = reinterpret_cast<int64_t*>(data[0] + row * strides[0]);
      const auto* pivots = reinterpret_cast<const int32_t*>(data[1] + row * strides[1]);
      for (int64_t i = 0; i < dim_size; ++i) {
        const int64_t other = pivots[i] - 1;
        TORCH_CHECK(other >= 0 && other < max_pivot,
                    "pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive."
                    "Did you properly pass the result of lu_factor?");
        std::swap(permutation[i], permutation[other]);
      }
    }
  });
}

}  // namespace alt::kernels
