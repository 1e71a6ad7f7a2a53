// Factorizations and systems on the GPU: cuSOLVER and cuBLAS through CuPy (altbackend/cuda/
// linalg.py), in the place of LAPACK and on the same memory, dense batches of column-major
// matrices. What LAPACK would return lies in `info`, which PyTorch's front-ends read; its meaning
// is the same.
//
// Where CuPy finds no cuSOLVER a call raises NoKernel, before anything is written.
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/LinearAlgebraUtils.h>
#include <ATen/native/TransposeType.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cuda/launches.h"
#include "kernels/cuda/python.h"
#include "kernels/operands.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;

/// A function of altbackend.cuda.linalg on the tensors' own memory, for a dtype that LAPACK has. As
/// for LAPACK the memory counts: where a front-end lets a conjugate through, it has turned it
/// round.
void solve(const char* function, const char* host_name, at::TensorList tensors,
           const Keywords& keywords = {}) {
  check_type<FloatingAndComplexTypes>(tensors[0].scalar_type(), host_name);
  std::vector<Tensor> memory;
  for (const Tensor& tensor : tensors) memory.push_back(tensor.is_conj() ? tensor.conj() : tensor);
  python_calls().array(function, memory, {}, keywords);
}

/// A batch that broadcasts to another's, without copying.
Tensor expanded(const Tensor& tensor, int64_t item_dims, const Tensor& like) {
  at::DimVector sizes(like.sizes().slice(0, like.dim() - 2));
  const auto item = tensor.sizes().slice(tensor.dim() - item_dims);
  sizes.append(item.begin(), item.end());
  return tensor.expand(sizes);
}

std::string letter(at::native::TransposeType transpose) {
  return {at::native::to_blas(transpose)};
}

/// A column-major tensor without values.
Tensor empty_matrices(const Tensor& like, int64_t rows, int64_t columns) {
  at::DimVector sizes(like.sizes().slice(0, like.dim() - 2));
  sizes.append({columns, rows});
  return at::empty(sizes, like.options()).mT();
}

/// Of matrices at least as high as wide, which are destroyed.
void svd_of_high(const Tensor& matrices, const Tensor& U, const Tensor& S, const Tensor& Vh,
                 const Tensor& info) {
  std::vector<Tensor> given{matrices, S, info};
  if (U.defined()) given.insert(given.end(), {U, Vh});
  solve("linalg.gesvd", "linalg_svd_cpu", given);
}

}  // namespace

void cholesky(const Tensor& input, const Tensor& info, bool upper) {
  if (input.numel() == 0) return;
  solve("linalg.potrf", "cholesky_cpu", {input, info}, {{"upper", upper}});
}

Tensor cholesky_solve_helper(const Tensor& self, const Tensor& A, bool upper) {
  Tensor result = at::native::cloneBatchedColumnMajor(self);
  if (result.numel() == 0) return result;
  const Tensor factors = at::native::cloneBatchedColumnMajor(A);
  solve("linalg.potrs", "cholesky_solve_cpu", {factors, result}, {{"upper", upper}});
  return result;
}

/// As the solution for the identity. cuSOLVER divides by a zero of the diagonal where LAPACK says
/// so in info.
Tensor& cholesky_inverse(Tensor& result, Tensor& info, bool upper) {
  if (result.numel() == 0) return result;
  const Tensor factors = at::native::cloneBatchedColumnMajor(result);
  const Tensor zeros = factors.diagonal(0, -2, -1).eq(0).to(at::kInt);
  const Tensor first = at::argmax(zeros, -1).add_(1);
  const Tensor inverse = at::zeros_like(factors);
  inverse.diagonal(0, -2, -1).fill_(1);
  solve("linalg.potrs", "cholesky_inverse_out_cpu", {factors, inverse}, {{"upper", upper}});
  result.copy_(inverse);
  info.copy_(at::where(zeros.sum(-1).gt(0), first, 0).view(info.sizes()));
  return result;
}

void lu_factor(const Tensor& input, const Tensor& pivots, const Tensor& info, bool pivot) {
  TORCH_CHECK(pivot, "linalg.lu_factor: LU without pivoting is not implemented on the CPU");
  if (input.numel() == 0) return;
  solve("linalg.getrf", "lu_cpu", {input, pivots, info});
}

void lu_solve(const Tensor& LU, const Tensor& pivots, const Tensor& B,
              at::native::TransposeType transpose) {
  if (B.numel() == 0) return;
  // cuSOLVER swaps rows without looking where they lie.
  TORCH_CHECK(pivots.gt(0).all().item<bool>(),
              "Pivots given to lu_solve must all be greater or equal to 1. "
              "Did you properly pass the result of lu_factor?");
  TORCH_CHECK(pivots.le(LU.size(-2)).all().item<bool>(),
              "Pivots given to lu_solve must all be smaller or equal to LU.size(-2). "
              "Did you properly pass the result of lu_factor?");
  solve("linalg.getrs", "linalg.lu_solve_cpu", {expanded(LU, 2, B), expanded(pivots, 1, B), B},
        {{"transpose", letter(transpose)}});
}

/// The iterator's tensors are contiguous, with pivots and places in their last dimension.
void unpack_pivots(at::TensorIterator& iter, int64_t dim_size, int64_t max_pivot) {
  const int64_t rows = iter.numel();
  if (rows == 0 || dim_size == 0) return;
  launch_elements(kernel("unpack_pivots", {at::kInt}), rows,
                  dense_arguments({iter.tensor(0), iter.tensor(1)}, {rows, dim_size, max_pivot}));
}

void triangular_solve(const Tensor& A, const Tensor& B, bool left, bool upper,
                      at::native::TransposeType transpose, bool unitriangular) {
  check_dtype(B, A.scalar_type());
  if (B.numel() == 0) return;
  solve("linalg.trsm", "triangular_solve_cpu", {A, B},
        {{"left", left},
         {"upper", upper},
         {"transpose", letter(transpose)},
         {"unit", unitriangular}});
}

void geqrf(const Tensor& input, const Tensor& tau) {
  if (input.numel() == 0) return;
  solve("linalg.geqrf", "geqrf_cpu", {input, tau});
}

Tensor& orgqr(Tensor& result, const Tensor& tau) {
  if (result.numel() == 0) return result;
  if (tau.numel() == 0) {  // a product of no reflectors
    result.zero_();
    result.diagonal(0, -2, -1).fill_(1);
    return result;
  }
  solve("linalg.orgqr", "orgqr_cpu", {result, tau});
  return result;
}

void ormqr(const Tensor& input, const Tensor& tau, const Tensor& other, bool left, bool transpose) {
  if (other.numel() == 0 || tau.numel() == 0) return;
  const std::string adjoint = input.is_complex() ? "C" : "T";
  solve("linalg.ormqr", "ormqr_cpu", {input, tau, other},
        {{"left", left}, {"transpose", transpose ? adjoint : "N"}});
}

void linalg_eigh(const Tensor& eigenvalues, const Tensor& eigenvectors, const Tensor& info,
                 bool upper, bool compute_eigenvectors) {
  if (eigenvectors.numel() == 0) return;
  solve("linalg.syevd", "linalg_eigh_cpu", {eigenvectors, eigenvalues, info},
        {{"upper", upper}, {"vectors", compute_eigenvectors}});
}

/// cuSOLVER wants no matrix wider than high: of such a one it gets the adjoint, A^H = V S U^H.
void svd(const Tensor& A, bool full_matrices, bool compute_uv,
         const std::optional<std::string_view>& driver, const Tensor& U, const Tensor& S,
         const Tensor& Vh, const Tensor& info) {
  TORCH_INTERNAL_ASSERT(!driver.has_value(), "svd: driver shouldn't have a value here.");
  if (A.numel() == 0) return;
  const int64_t rows = A.size(-2), columns = A.size(-1);
  const bool high = rows >= columns;
  const Tensor copy = at::native::cloneBatchedColumnMajor(high ? A : A.mH());
  if (!compute_uv) return svd_of_high(copy, {}, S, {}, info);
  if (high) return svd_of_high(copy, U, S, Vh, info);
  const Tensor left = empty_matrices(A, columns, full_matrices ? columns : rows);
  const Tensor right = empty_matrices(A, rows, rows);
  svd_of_high(copy, left, S, right, info);
  U.copy_(right.mH());
  Vh.copy_(left.mH());
}

}  // namespace alt::kernels::cuda
