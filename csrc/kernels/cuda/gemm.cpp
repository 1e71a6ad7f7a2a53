// cuBLAS is asked through CuPy, which has loaded it: one call of Python with addresses and numbers,
// no arrays. It is column-major: the row-major product C = A B is its C^T = B^T A^T, so operands
// swap and no flag changes. Half types are summed in float; TF32 is not used.
#include "kernels/cuda/gemm.h"

#include <limits>

#include "kernels/cuda/launches.h"
#include "kernels/cuda/python.h"
#include "kernels/gemm_operand.h"
#include "kernels/operands.h"
#include "loops/dtype.h"
#include "runtime/cuda/stream.h"

namespace alt::kernels::cuda {
namespace {

using at::Scalar;
using at::Tensor;

int as_int(int64_t value) {
  TORCH_CHECK(value <= std::numeric_limits<int>::max(), "cuBLAS takes matrices of fewer than 2^31 ",
              "rows and columns, but got ", value);
  return static_cast<int>(value);
}

/// cudaDataType.
int data_type(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return 0;
    case at::kDouble:
      return 1;
    case at::kHalf:
      return 2;
    case at::kComplexFloat:
      return 4;
    case at::kComplexDouble:
      return 5;
    case at::kBFloat16:
      return 14;
    default:
      return -1;
  }
}

/// A number where cuBLAS reads it, in the type that it computes in.
struct HostNumber {
  alignas(16) char bytes[16];

  HostNumber(const Scalar& value, at::ScalarType dtype) {
    visit<FloatingAndComplexTypes>(opmath_dtype(dtype), "gemm", [&]<class T>() {
      const T number = value.to<T>();
      std::memcpy(bytes, &number, sizeof(T));
    });
  }
};

void multiply_through_cublas(const Tensor& out, const MatrixOperand& a, const MatrixOperand& b,
                             const Scalar& beta, const Scalar& alpha) {
  const HostNumber factor(alpha, out.scalar_type()), kept(beta, out.scalar_type());
  const bool batched = out.dim() == 3;
  Gemm gemm{};
  gemm.data_type = data_type(out.scalar_type());
  gemm.m = as_int(out.size(-1));
  gemm.n = as_int(out.size(-2));
  gemm.k = as_int(a.tensor.size(-1));
  gemm.transpose_a = b.layout.transposed;
  gemm.transpose_b = a.layout.transposed;
  gemm.alpha = factor.bytes;
  gemm.beta = kept.bytes;
  gemm.a = b.tensor.const_data_ptr();
  gemm.lda = as_int(b.layout.stride);
  gemm.stride_a = b.batch_stride();
  gemm.b = a.tensor.const_data_ptr();
  gemm.ldb = as_int(a.layout.stride);
  gemm.stride_b = a.batch_stride();
  gemm.c = out.mutable_data_ptr();
  gemm.ldc = as_int(matrix_layout(out).stride);
  gemm.stride_c = batched ? out.stride(0) : 0;
  gemm.batch = as_int(batched ? out.size(0) : 1);
  gemm.stream = alt::cuda::current();
  python_calls().gemm(gemm);
}

/// Of a batch of matrices at any strides.
TensorArgs matrices(const Tensor& t) {
  return args_as(t, {t.dim() == 3 ? t.size(0) : 1, t.size(-2), t.size(-1)},
                 {t.dim() == 3 ? t.stride(0) : 0, t.stride(-2), t.stride(-1)});
}

/// As int64, which gives the bits of any narrower type.
void multiply_integers(const Tensor& out, const Tensor& a, const Tensor& b, const Scalar& beta,
                       const Scalar& alpha) {
  if (out.scalar_type() != at::kLong) {
    const Tensor wide = out.to(at::kLong);
    multiply_integers(wide, a.to(at::kLong), b.to(at::kLong), beta, alpha);
    out.copy_(wide);
    return;
  }
  const TensorArgs result = matrices(out);
  launch_tiles(
      kernel("integer_product", {out.scalar_type()}), out.size(-2), out.size(-1), result.sizes[0],
      arguments({result, matrices(a), matrices(b)}, {alpha.to<int64_t>(), beta.to<int64_t>()}));
}

}  // namespace

void multiply(const Tensor& out, const Tensor& a, const Tensor& b, const Scalar& beta,
              const Scalar& alpha, const char* name) {
  if (data_type(out.scalar_type()) >= 0) {
    return multiply_through_cublas(out, MatrixOperand(a), MatrixOperand(b), beta, alpha);
  }
  check_type<IntegralTypes>(out.scalar_type(), name);
  multiply_integers(out, a, b, beta, alpha);
}

}  // namespace alt::kernels::cuda
