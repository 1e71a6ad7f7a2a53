// Weight normalisation over the first or the last dimension, fused: w = v * g / |v|, and its
// gradient. The matrix is worked on as rows, one for each norm; for the last dimension it is
// transposed and back. Half types keep their norms in float, as stock does.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/empty_strided.h>

#include <cmath>
#include <tuple>

#include "kernels/norm_lanes.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;

/// A contiguous weight as rows, one for each norm.
Tensor as_rows(const Tensor& weight, int64_t dim) {
  const int64_t rows = weight.size(dim);
  return dim == 0 ? weight.reshape({rows, -1}) : weight.reshape({-1, rows}).t().contiguous();
}

Tensor from_rows(const Tensor& rows, const Tensor& like, int64_t dim) {
  return (dim == 0 ? rows : rows.t().contiguous()).view(like.sizes());
}

void check_dim(const Tensor& v, int64_t dim) {
  TORCH_INTERNAL_ASSERT(dim == 0 || dim == v.dim() - 1,
                        "fused kernels can only be applied for first or last dim");
}

/// Calls body(row) for each row.
template <class Body>
void for_each_weight_row(const Tensor& rows, Body&& body) {
  parallel_for(0, rows.size(0), 16384 / (rows.size(1) + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      body(row);
    }
  });
}

}  // namespace

std::tuple<Tensor, Tensor> weight_norm(const Tensor& v, const Tensor& g, int64_t dim) {
  const Tensor norm =
      at::empty_strided(g.sizes(), g.strides(), g.options().dtype(opmath_dtype(g.scalar_type())));
  if (v.numel() == 0) {
    norm.zero_();
    return {at::empty_like(v, at::MemoryFormat::Contiguous), norm};
  }
  Tensor w;
  visit<FloatingAndHalfTypes>(v.scalar_type(), "weight_norm_kernel", [&]<class T>() {
    using A = opmath_t<T>;
    check_dim(v, dim);
    const Tensor rows = as_rows(v.contiguous(), dim), result = at::empty_like(rows);
    const Tensor gains = g.contiguous();
    const Tensor norms = at::empty({rows.size(0)}, norm.options());
    const int64_t width = rows.size(1);
    const T *values = rows.const_data_ptr<T>(), *gain = gains.const_data_ptr<T>();
    T* out = result.mutable_data_ptr<T>();
    A* lengths = norms.mutable_data_ptr<A>();
    for_each_weight_row(rows, [&](int64_t row) {
      const T* from = values + row * width;
      const auto [squares] = sum_lanes<A, 1>(width, [&](int64_t i, auto count) {
        const auto x = load_lanes(from + i, count, A(0));
        return std::array{x * x};
      });
      lengths[row] = static_cast<A>(std::sqrt(squares));
      const Vec<A> scale(static_cast<A>(gain[row]) / lengths[row]);
      for_lanes<A>(0, width, [&](int64_t i, auto count) {
        store_lanes(load_lanes(from + i, count, A(0)) * scale, out + row * width + i, count);
      });
    });
    norm.copy_(norms.view(norm.sizes()));
    w = from_rows(result, v, dim);
  });
  return {w, norm};
}

std::tuple<Tensor, Tensor> weight_norm_backward(const Tensor& grad_w, const Tensor& saved_v,
                                                const Tensor& saved_g, const Tensor& saved_norms,
                                                int64_t dim) {
  TORCH_CHECK(saved_v.is_contiguous(), "saved_v must be contiguous");
  TORCH_CHECK(saved_g.is_contiguous(), "saved_g must be contiguous");
  TORCH_CHECK(saved_norms.is_contiguous(), "saved_norm must be contiguous");
  const Tensor grad_g = at::empty_like(saved_g, at::MemoryFormat::Contiguous);
  if (saved_v.numel() == 0) {
    grad_g.zero_();
    return {at::empty_like(saved_v, at::MemoryFormat::Contiguous), grad_g};
  }
  Tensor grad_v;
  visit<FloatingAndHalfTypes>(saved_v.scalar_type(), "weight_norm_backward_kernel", [&]<class T>() {
    using A = opmath_t<T>;
    check_dim(saved_v, dim);
    const Tensor rows = as_rows(saved_v, dim), grads = as_rows(grad_w.contiguous(), dim);
    const Tensor result = at::empty_like(rows);
    const int64_t width = rows.size(1);
    const T *values = rows.const_data_ptr<T>(), *slopes = grads.const_data_ptr<T>();
    const T* gain = saved_g.const_data_ptr<T>();
    const A* norms = saved_norms.const_data_ptr<A>();
    T *out = result.mutable_data_ptr<T>(), *out_gain = grad_g.mutable_data_ptr<T>();
    for_each_weight_row(rows, [&](int64_t row) {
      const T *x = values + row * width, *slope = slopes + row * width;
      const auto [product] = sum_lanes<A, 1>(width, [&](int64_t i, auto count) {
        return std::array{load_lanes(x + i, count, A(0)) * load_lanes(slope + i, count, A(0))};
      });
      const double norm = static_cast<double>(norms[row]);
      out_gain[row] = static_cast<T>(static_cast<A>(product / norm));
      const Vec<A> along(static_cast<A>(product / (norm * norm)));
      const Vec<A> scale(static_cast<A>(static_cast<double>(gain[row]) / norm));
      for_lanes<A>(0, width, [&](int64_t i, auto count) {
        const auto grad =
            load_lanes(slope + i, count, A(0)) - load_lanes(x + i, count, A(0)) * along;
        store_lanes(scale * grad, out + row * width + i, count);
      });
    });
    grad_v = from_rows(result, saved_v, dim);
  });
  return {grad_v, grad_g};
}

}  // namespace alt::kernels
