// Matrix products on the GPU: cuBLAS for what it knows, a kernel of ours for integers.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Scalar.h>

namespace alt::kernels::cuda {

/// out = beta * out + alpha * a b for a row-major `out` of two or three dimensions. `name` is the
/// operator's, for dtypes that nothing multiplies.
void multiply(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
              const at::Scalar& beta, const at::Scalar& alpha, const char* name);

}  // namespace alt::kernels::cuda
