// Weight normalisation on the GPU, of pointwise operators and reductions; half types in float.
#include <ATen/ops/empty_strided.h>

#include <tuple>

#include "kernels/operands.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;

Tensor opmath(const Tensor& tensor) {
  return tensor.to(opmath_dtype(tensor.scalar_type()));
}

/// Over all dimensions but `dim`.
Tensor sum_beside(const Tensor& tensor, int64_t dim) {
  at::DimVector others;
  for (int64_t d = 0; d < tensor.dim(); ++d) {
    if (d != dim) others.push_back(d);
  }
  return others.empty() ? tensor : tensor.sum(others, /*keepdim=*/true);
}

}  // namespace

std::tuple<Tensor, Tensor> weight_norm(const Tensor& v, const Tensor& g, int64_t dim) {
  check_type<FloatingAndHalfTypes>(v.scalar_type(), "weight_norm_kernel");
  const Tensor values = opmath(v);
  const Tensor norm = at::empty_strided(g.sizes(), g.strides(), values.options());
  norm.copy_(sum_beside(values.square(), dim).sqrt());
  return {values.mul(opmath(g).div(norm)).to(v.scalar_type()).contiguous(), norm};
}

std::tuple<Tensor, Tensor> weight_norm_backward(const Tensor& grad_w, const Tensor& saved_v,
                                                const Tensor& saved_g, const Tensor& saved_norms,
                                                int64_t dim) {
  check_type<FloatingAndHalfTypes>(saved_v.scalar_type(), "weight_norm_backward_kernel");
  const Tensor grad = opmath(grad_w), values = opmath(saved_v);
  const Tensor along = sum_beside(grad.mul(values), dim).div(saved_norms);
  const Tensor grad_v =
      grad.sub(values.mul(along.div(saved_norms))).mul(opmath(saved_g).div(saved_norms));
  return {grad_v.to(saved_v.scalar_type()).contiguous(),
          along.to(saved_g.scalar_type()).contiguous()};
}

}  // namespace alt::kernels::cuda
