// altbackend/cuda/kernels/embedding_bag.cuh; gradients are made of operators. An offset or an index
// out of range is found by the kernel, and raised where the host waits for the device.
#include "kernels/cuda/embedding_bag.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/zeros.h>

#include "kernels/cuda/index.h"
#include "kernels/cuda/launches.h"
#include "loops/dtype.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;

enum BagMode : int64_t { kBagSum, kBagMean, kBagMax };

/// A row of the gradient for each place; those after the last bag get zeros.
Tensor rows_of_places(const Tensor& grad, const Tensor& bag_of) {
  const Tensor wide = grad.to(opmath_dtype(grad.scalar_type()));
  return at::constant_pad_nd(wide, {0, 0, 0, 1}).index_select(0, bag_of);
}

}  // namespace

Tensor bag_of_places(const Tensor& offsets, int64_t places) {
  const Tensor place = at::arange(places, offsets.options());
  return at::searchsorted(offsets, place, /*out_int32=*/false, /*right=*/true)
      .sub_(1)
      .clamp_min_(0);
}

Bagged embedding_bag(const Tensor& weight, const Tensor& indices, const Tensor& offsets,
                     int64_t mode, const Tensor& factors, int64_t bags, int64_t padding_idx) {
  const int64_t width = weight.size(1), places = indices.numel();
  const auto whole = indices.options().dtype(at::kLong);
  const Tensor table = weight.contiguous(), index = indices.to(at::kLong).contiguous();
  const Tensor starts = offsets.to(at::kLong).contiguous();
  const Tensor scales = factors.defined() ? factors.contiguous() : factors;
  Bagged result{at::empty({bags, width}, weight.options()),
                bag_of_places(starts, places),
                at::zeros({bags}, whole),
                {}};
  if (mode == kBagMax) result.largest = at::zeros({bags, width}, whole);
  if (bags * width == 0) return result;
  launch_elements(
      kernel("embedding_bag", {weight.scalar_type()}), bags * width,
      dense_arguments({result.output, result.sizes, result.largest, table, index, starts, scales},
                      {bags, width, weight.size(0), places, starts.numel(), mode, padding_idx}));
  return result;
}

Tensor embedding_bag_dense_backward(const Tensor& grad, const Tensor& index, const Tensor& bag_of,
                                    const Tensor& sizes, const Tensor& largest, int64_t num_weights,
                                    bool scale_grad_by_freq, int64_t mode, const Tensor& factors,
                                    int64_t padding_idx) {
  const at::ScalarType sums = opmath_dtype(grad.scalar_type());
  if (mode == kBagMax) {
    const Tensor result = at::zeros({num_weights, grad.size(1)}, grad.options().dtype(sums));
    const Tensor given = grad.to(sums).mul(sizes.gt(0).unsqueeze(1));
    return result.scatter_add_(0, largest, given).to(grad.scalar_type());
  }
  Tensor rows = rows_of_places(grad, bag_of);
  if (factors.defined()) rows = rows.mul(factors.unsqueeze(1));
  if (mode == kBagMean) {
    rows = rows.div(at::constant_pad_nd(sizes, {0, 1}, 1).index_select(0, bag_of).unsqueeze(1));
  }
  return cuda::embedding_dense_backward(rows, index, num_weights, padding_idx, scale_grad_by_freq)
      .to(grad.scalar_type());
}

Tensor embedding_bag_factors_backward(const Tensor& grad, const Tensor& weight, const Tensor& index,
                                      const Tensor& bag_of, int64_t padding_idx) {
  const Tensor rows = weight.index_select(0, index);
  const Tensor result = rows_of_places(grad, bag_of).mul(rows).sum(1);
  return result.masked_fill(index.eq(padding_idx), 0).to(grad.scalar_type());
}

}  // namespace alt::kernels::cuda
