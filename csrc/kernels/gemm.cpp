// Matrix products: mm, addmm, bmm, baddbmm, addmv, dot, vdot and their relatives.
//
// An operand whose rows or columns are contiguous goes to BLAS where it lies, transposed or not;
// any other is copied first. The result is computed in place when it is so laid out (a
// column-major result is the product of the transposed operands), else in a contiguous buffer.
// Half and BFloat16 are multiplied in float. The dispatcher lets lazily conjugated tensors through
// to products, so they are resolved here. Numbers differ from stock's by the order of the sums.
// The CUDA engine takes part where a product is computed, and not before (kernels/cuda/gemm.h).

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <c10/core/Scalar.h>

#include <algorithm>
#include <cstring>

#include "kernels/cuda/gemm.h"
#include "kernels/gemm_operand.h"
#include "kernels/operands.h"
#include "loops/dtype.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Scalar;
using at::Tensor;

using GemmTypes = concat_t<IntegralTypes, FloatingAndComplexTypes>;
using DotTypes = concat_t<GemmTypes, HalfTypes>;

/// Sets `out` to beta * out: what is left of a product whose inner dimension is empty.
void scale(const Tensor& out, const Scalar& beta) {
  if (beta.toComplexDouble() == 0.0) {
    out.zero_();
  } else {
    out.mul_(beta);
  }
}

/// gemm(m, n, k, a, b, c, c_stride) for each matrix of a row-major `out`; two or three dimensions.
template <class T, class C, class Gemm>
void for_batches(const Tensor& out, const Tensor& a, const Tensor& b, Gemm&& gemm) {
  const MatrixOperand left(a);
  const MatrixOperand right(b);
  const int64_t batches = out.dim() == 3 ? out.size(0) : 1;
  const int64_t m = out.size(-2);
  const int64_t n = out.size(-1);
  const int64_t k = a.size(-1);
  const int64_t out_stride = matrix_layout(out).stride;
  const int64_t batch_stride = out.dim() == 3 ? out.stride(0) : 0;
  C* data = out.mutable_data_ptr<C>();
  const auto product = [&](int64_t begin, int64_t end) {
    for (int64_t batch = begin; batch < end; ++batch) {
      gemm(m, n, k, left.matrix<T>(batch), right.matrix<T>(batch), data + batch * batch_stride,
           out_stride);
    }
  };
  // A batch of few large matrices is split inside each of them, one of many across them.
  constexpr double operations_worth_a_thread = 2e5;
  const double operations = 2.0 * m * n * k;
  if (batches < 2 * num_threads() && operations > 20 * operations_worth_a_thread) {
    return product(0, batches);
  }
  const auto grain =
      static_cast<int64_t>(operations_worth_a_thread / std::max(operations, 1.0)) + 1;
  if (batches <= grain) {
    return product(0, batches);
  }
  parallel_for(0, batches, grain, product);
}

/// out = beta * out + alpha * a b for a row-major `out`.
template <class T>
void multiply(const Tensor& out, const Tensor& a, const Tensor& b, const Scalar& beta,
              const Scalar& alpha) {
  const T beta_value = beta.to<T>(), alpha_value = alpha.to<T>();
  for_batches<T, T>(
      out, a, b, [&](int64_t m, int64_t n, int64_t k, auto left, auto right, T* c, int64_t stride) {
        blas::gemm<T>(m, n, k, alpha_value, left, right, beta_value, c, stride);
      });
}

/// out = out + a b, or a b, of bfloat16 for a contiguous `out` of float.
void multiply_bfloat16(const Tensor& out, const Tensor& a, const Tensor& b, bool add) {
  for_batches<at::BFloat16, float>(
      out, a, b,
      [&](int64_t m, int64_t n, int64_t k, auto left, auto right, float* c, int64_t stride) {
        blas::gemm_bfloat16(m, n, k, left, right, add, c, stride);
      });
}

/// out = beta * out + alpha * a b for an `out` of any layout.
void multiply_into(const Tensor& out, const Tensor& a, const Tensor& b, const Scalar& beta,
                   const Scalar& alpha, const char* name) {
  const at::ScalarType wide = opmath_dtype(out.scalar_type());
  const bool is_half = wide == at::kFloat && out.scalar_type() != at::kFloat;
  if (is_half && !alt::cuda::on_gpu()) {
    const Tensor buffer = beta.toComplexDouble() == 0.0
                              ? at::empty(out.sizes(), out.options().dtype(wide))
                              : out.to(wide).contiguous();
    const bool plain = alpha.toComplexDouble() == 1.0 &&
                       (beta.toComplexDouble() == 0.0 || beta.toComplexDouble() == 1.0);
    if (out.scalar_type() == at::kBFloat16 && plain && blas::kHasGemmBFloat16) {
      multiply_bfloat16(buffer, a, b, /*add=*/beta.toComplexDouble() == 1.0);
    } else {
      multiply_into(buffer, a.to(wide), b.to(wide), beta, alpha, name);
    }
    out.copy_(buffer);
    return;
  }
  const MatrixLayout layout = matrix_layout(out);
  if (layout.readable && layout.transposed && !out.is_conj() && !out.is_neg()) {
    return multiply_into(out.transpose(-2, -1), b.transpose(-2, -1), a.transpose(-2, -1), beta,
                         alpha, name);
  }
  if (!layout.readable || out.is_conj() || out.is_neg()) {
    const Tensor buffer =
        beta.toComplexDouble() == 0.0 ? at::empty(out.sizes(), out.options()) : out.contiguous();
    multiply_into(buffer, a, b, beta, alpha, name);
    out.copy_(buffer);
    return;
  }
  if (alt::cuda::on_gpu()) return cuda::multiply(out, a, b, beta, alpha, name);
  visit<GemmTypes>(out.scalar_type(), name,
                   [&]<class T>() { multiply<T>(out, a, b, beta, alpha); });
}

/// out = self, broadcast. A bias for the rows of a matrix is copied row by row: for a small layer a
/// TensorIterator would take longer than the product.
void broadcast_into(const Tensor& out, const Tensor& self) {
  const bool rows = self.dim() == 1 && self.size(0) == out.size(-1) && self.is_contiguous() &&
                    out.is_contiguous() && self.scalar_type() == out.scalar_type() &&
                    !self.is_conj() && !self.is_neg() && !out.is_conj() && !out.is_neg();
  if (!rows || alt::cuda::on_gpu()) {
    out.copy_(self.expand(out.sizes()));
    return;
  }
  constexpr int64_t bytes_worth_a_thread = 1 << 18;
  auto* to = static_cast<char*>(out.mutable_data_ptr());
  const void* row = self.const_data_ptr();
  const auto bytes = static_cast<int64_t>(self.nbytes());
  parallel_for(0, out.numel() / out.size(-1), bytes_worth_a_thread / bytes + 1,
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   std::memcpy(to + i * bytes, row, static_cast<size_t>(bytes));
                 }
               });
}

/// The common course of addmm and baddbmm: out = beta * self + alpha * a b.
void add_product(const Tensor& self, const Tensor& a, const Tensor& b, const Scalar& beta,
                 const Scalar& alpha, const Tensor& out, const char* name) {
  if (out.numel() == 0) {
    self.expand(out.sizes());  // for its refusal
    return;
  }
  if (beta.toComplexDouble() != 0.0 && !out.is_same(self)) {
    broadcast_into(out, self);
  }
  if (a.size(-1) == 0) {
    return scale(out, beta);
  }
  multiply_into(out, a, b, beta, alpha, name);
}

void check_dot(const Tensor& self, const Tensor& other) {
  TORCH_CHECK(self.dim() == 1 && other.dim() == 1, "1D tensors expected, but got ", self.dim(),
              "D and ", other.dim(), "D tensors");
  TORCH_CHECK(self.scalar_type() == other.scalar_type(),
              "dot : expected both vectors to have same dtype, but found ", self.scalar_type(),
              " and ", other.scalar_type());
  TORCH_CHECK(self.numel() == other.numel(), "inconsistent tensor size, expected tensor [",
              self.numel(), "] and src [", other.numel(),
              "] to have the same number of elements, but got ", self.numel(), " and ",
              other.numel(), " elements respectively");
}

}  // namespace

void addmm(const Tensor& self, const Tensor& mat1, const Tensor& mat2, const Scalar& beta,
           const Scalar& alpha, const Tensor& out) {
  add_product(self, mat1, mat2, beta, alpha, out, "addmm_impl_cpu_");
}

void mm(const Tensor& self, const Tensor& mat2, const Tensor& out) {
  TORCH_CHECK(self.dtype() == mat2.dtype(),
              "expected m1 and m2 to have the same dtype, but got: ", self.dtype(),
              " != ", mat2.dtype());
  add_product(out, self, mat2, 0, 1, out, "addmm_impl_cpu_");
}

void addmm_activation(const Tensor& self, const Tensor& mat1, const Tensor& mat2,
                      const Scalar& beta, const Scalar& alpha, bool use_gelu, const Tensor& out) {
  addmm(self, mat1, mat2, beta, alpha, out);
  Tensor result = out;
  if (use_gelu) {
    at::gelu_(result);
  } else {
    at::relu_(result);
  }
}

void bmm(const Tensor& batch1, const Tensor& batch2, const Tensor& out) {
  if (out.numel() == 0) return;
  check_dtype(batch2, batch1.scalar_type());
  add_product(out, batch1, batch2, 0, 1, out, "bmm");
}

void baddbmm(const Tensor& self, const Tensor& batch1, const Tensor& batch2, const Scalar& beta,
             const Scalar& alpha, const Tensor& out) {
  if (out.numel() == 0) return;
  check_dtype(batch2, batch1.scalar_type());
  add_product(self, batch1, batch2, beta, alpha, out, "baddbmm");
}

void addmv(const Tensor& self, const Tensor& mat, const Tensor& vec, const Scalar& beta,
           const Scalar& alpha, const Tensor& out) {
  if (out.numel() == 0) {
    return;
  }
  if (beta.toComplexDouble() != 0.0 && !out.is_same(self)) {
    out.copy_(self.expand(out.sizes()));
  }
  if (mat.numel() == 0) {
    return scale(out, beta);
  }
  multiply_into(out.unsqueeze(1), mat, vec.unsqueeze(1), beta, alpha, "addmv_impl_cpu");
}

/// Bytes times bytes in 32 bits.
Tensor& int_mm_out(const Tensor& self, const Tensor& mat2, Tensor& out) {
  constexpr const char* name = "int_mm_out_cpu";
  TORCH_CHECK(self.dim() == 2, name, ": Expected self to be of dimension 2 but got ", self.dim());
  TORCH_CHECK(mat2.dim() == 2, name, ": Expected mat2 to be of dimension 2 but got ", mat2.dim());
  TORCH_CHECK(self.size(1) == mat2.size(0), name,
              ": self.size(1) needs to match mat2.size(0) but got ", self.size(1), " and ",
              mat2.size(0));
  TORCH_CHECK(self.scalar_type() == at::kChar || self.scalar_type() == at::kByte, name,
              ": Expected self dtype to be int8 or uint8 but got ", self.dtype());
  TORCH_CHECK(mat2.scalar_type() == at::kChar, name,
              ": Expected mat2 dtype to be of type int8 but got ", mat2.dtype());
  TORCH_CHECK(out.scalar_type() == at::kInt, name,
              ": Expected result dtype to be of type kInt but got ", out.dtype());
  TORCH_CHECK(out.size(0) == self.size(0), name, ": Expected result.size(0) to be ", self.size(0),
              " but got ", out.size(0));
  TORCH_CHECK(out.size(1) == mat2.size(1), name, ": Expected result.size(1) to be ", mat2.size(1),
              " but got ", out.size(1));
  add_product(out, self.to(at::kInt), mat2.to(at::kInt), 0, 1, out, name);
  return out;
}

Tensor int_mm(const Tensor& self, const Tensor& mat2) {
  const bool matrices = self.dim() == 2 && mat2.dim() == 2;
  Tensor out = at::empty({matrices ? self.size(0) : 0, matrices ? mat2.size(1) : 0},
                         self.options().dtype(at::kInt));
  return kernels::int_mm_out(self, mat2, out);
}

Tensor dot(const Tensor& self, const Tensor& tensor) {
  check_dot(self, tensor);
  const Tensor x = self.resolve_conj().resolve_neg();
  const Tensor y = tensor.resolve_conj().resolve_neg();
  Tensor out = at::empty({}, self.options());
  if (alt::cuda::on_gpu()) {
    add_product(out.view({1, 1}), x.unsqueeze(0), y.unsqueeze(1), 0, 1, out.view({1, 1}), "dot");
    return out;
  }
  visit<DotTypes>(self.scalar_type(), "dot", [&]<class T>() {
    *out.mutable_data_ptr<T>() = blas::dot<T>(x.numel(), x.const_data_ptr<T>(), x.stride(0),
                                              y.const_data_ptr<T>(), y.stride(0));
  });
  return out;
}

Tensor vdot(const Tensor& self, const Tensor& other) {
  if (!self.is_complex()) {
    return kernels::dot(self, other);
  }
  check_dot(self, other);
  if (other.is_conj() && !self.is_conj()) {
    // As stock, whose result is then a lazy conjugate itself.
    return kernels::dot(self, other.conj()).conj();
  }
  const Tensor x = self.resolve_conj().resolve_neg();
  const Tensor y = other.resolve_conj().resolve_neg();
  if (alt::cuda::on_gpu()) return kernels::dot(x.conj(), y);
  Tensor out = at::empty({}, self.options());
  visit<ComplexTypes>(self.scalar_type(), "vdot", [&]<class T>() {
    *out.mutable_data_ptr<T>() = blas::dot_conjugate<T>(
        x.numel(), x.const_data_ptr<T>(), x.stride(0), y.const_data_ptr<T>(), y.stride(0));
  });
  return out;
}

}  // namespace alt::kernels
