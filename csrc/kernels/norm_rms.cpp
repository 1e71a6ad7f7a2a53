// RMS normalisation: each row of the normalised dimensions to a mean square of 1, then weight.
//
// PyTorch composes it of six operators on a CPU, and its gradient of theirs; here a row takes two
// passes (squares, result), its gradient two as well, and stays in cache meanwhile. One task is
// some whole rows, as layer norm's are, and the weight's gradient is summed for fixed chunks of
// rows.
#include <ATen/core/Tensor.h>
#include <ATen/native/layer_norm.h>
#include <ATen/ops/_fused_rms_norm.h>
#include <ATen/ops/_fused_rms_norm_compositeimplicitautograd_dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/sum.h>

#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>
#include <vector>

#include "kernels/norm_lanes.h"
#include "kernels/norm_rows.h"
#include "kernels/parameters.h"
#include "kernels/row_writer.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

template <class T>
void normalize_row(const RowWriter<T>& writer, const T* x, T* y, int64_t width,
                   const opmath_t<T>* weight, double eps, opmath_t<T>& rstd_out) {
  using A = opmath_t<T>;
  using V = Vec<A>;
  const double squares = sum_lanes<A, 1>(width, [&](int64_t i, auto lanes) {
    const V value = load_lanes(x + i, lanes);
    return std::array<V, 1>{value * value};
  })[0];
  rstd_out = static_cast<A>(1 / std::sqrt(squares / width + eps));
  const V rstd(rstd_out);
  writer.write(y, width, [&](int64_t i, auto lanes) {
    return load_lanes(x + i, lanes) * rstd * weight_lanes(weight, i, lanes);
  });
}

// dx = rstd * (g - xhat * mean(g * xhat)), where g = dy * weight and xhat = x * rstd. The row's
// share of the weight's gradient, dy * xhat, is added to `weight_sums` on the way.
template <bool parameters, class T>
void gradient_row(const RowWriter<T>& writer, const T* dy, const T* x, T* dx, int64_t width,
                  const opmath_t<T>* weight, opmath_t<T> rstd, opmath_t<T>* weight_sums) {
  using A = opmath_t<T>;
  using V = Vec<A>;
  const V r(rstd);
  const double total = sum_lanes<A, 1>(width, [&](int64_t i, auto lanes) {
    const V product = load_lanes(dy + i, lanes) * (load_lanes(x + i, lanes) * r);
    if constexpr (parameters) {
      store_lanes<A>(load_lanes(weight_sums + i, lanes) + product, weight_sums + i, lanes);
    }
    return std::array<V, 1>{product * weight_lanes(weight, i, lanes)};
  })[0];
  if (!dx) return;
  const V projection(static_cast<A>(total / width));
  writer.write(dx, width, [&](int64_t i, auto lanes) {
    const V g = load_lanes(dy + i, lanes) * weight_lanes(weight, i, lanes);
    const V xhat = load_lanes(x + i, lanes) * r;
    return (g - xhat * projection) * r;
  });
}

std::pair<int64_t, int64_t> check_inputs(const Tensor& input, at::IntArrayRef normalized_shape,
                                         const Tensor& weight) {
  const auto sizes = input.sizes();
  const size_t axis = sizes.size() - normalized_shape.size();
  const bool good = !normalized_shape.empty() && sizes.size() >= normalized_shape.size() &&
                    sizes.slice(axis).equals(normalized_shape) &&
                    (!weight.defined() || weight.sizes().equals(normalized_shape));
  if (!good) {  // PyTorch's check writes its message first
    at::native::_check_rms_norm_inputs_symint(input, c10::fromIntArrayRefSlow(normalized_shape),
                                              weight);
  }
  return {c10::multiply_integers(sizes.slice(0, axis)), c10::multiply_integers(sizes.slice(axis))};
}

/// The gradient as PyTorch's operators compute it.
std::tuple<Tensor, Tensor> composite_backward(const Tensor& grad, const Tensor& input,
                                              at::IntArrayRef normalized_shape, const Tensor& rstd,
                                              const Tensor& weight,
                                              std::array<bool, 2> output_mask) {
  const auto outer = input.dim() - static_cast<int64_t>(normalized_shape.size());
  std::vector<int64_t> rows, normalized;
  for (int64_t d = 0; d < input.dim(); ++d) (d < outer ? rows : normalized).push_back(d);
  const Tensor g = weight.defined() ? at::mul(grad, weight) : grad, xhat = at::mul(input, rstd);
  Tensor grad_input, grad_weight;
  if (output_mask[0]) {
    const Tensor projection = at::mean(at::mul(g, xhat), normalized, /*keepdim=*/true);
    grad_input = at::mul(rstd, at::sub(g, at::mul(xhat, projection))).to(input.scalar_type());
  }
  if (output_mask[1] && weight.defined()) {
    const Tensor products = at::mul(grad, xhat);
    grad_weight = (outer > 0 ? at::sum(products, rows) : products).to(weight.scalar_type());
  }
  return {grad_input, grad_weight};
}

}  // namespace

// PyTorch has no derivative of the fused operator for complex numbers.
Tensor rms_norm(const Tensor& input, at::IntArrayRef normalized_shape,
                const OptionalTensor& weight_opt, std::optional<double> eps) {
  const Tensor weight = weight_opt.value_or(Tensor());
  check_inputs(input, normalized_shape, weight);
  const bool mixed = weight.defined() && weight.scalar_type() != input.scalar_type();
  if (mixed || at::isComplexType(input.scalar_type())) {
    return std::get<0>(
        at::compositeimplicitautograd::_fused_rms_norm(input, normalized_shape, weight_opt, eps));
  }
  return std::get<0>(at::_fused_rms_norm(input, normalized_shape, weight_opt, eps));
}

std::tuple<Tensor, Tensor> fused_rms_norm(const Tensor& input, at::IntArrayRef normalized_shape,
                                          const OptionalTensor& weight_opt,
                                          std::optional<double> eps) {
  const Tensor weight = weight_opt.value_or(Tensor());
  const auto [rows, width] = check_inputs(input, normalized_shape, weight);
  if (alt::cuda::on_gpu() || at::isComplexType(input.scalar_type())) {
    return at::compositeimplicitautograd::_fused_rms_norm(input, normalized_shape, weight_opt, eps);
  }
  std::vector<int64_t> shape = input.sizes().vec();
  std::fill(shape.end() - normalized_shape.size(), shape.end(), 1);
  const Tensor output = at::empty(input.sizes(), input.options());
  Tensor rstds;
  visit<FloatingAndHalfTypes>(
      input.scalar_type(), "rms_norm", [&, n = width, count = rows]<class T>() {
        using A = opmath_t<T>;
        const auto computed = c10::CppTypeToScalarType<A>::value;
        const double epsilon = eps.value_or(std::numeric_limits<A>::epsilon());
        const Tensor dense = input.contiguous(), w = parameter(weight, computed);
        rstds = at::empty(shape, input.options().dtype(computed));
        const T* x = dense.const_data_ptr<T>();
        const A* w_data = data_or_null<A>(w);
        A* rstd = rstds.mutable_data_ptr<A>();
        T* y = output.mutable_data_ptr<T>();
        parallel_for(0, count, rows_per_task(n), [&](int64_t begin, int64_t end) {
          const RowWriter<T> writer(count * n);
          for (int64_t row = begin; row < end; ++row) {
            normalize_row<T>(writer, x + row * n, y + row * n, n, w_data, epsilon, rstd[row]);
          }
        });
      });
  return {output, rstds};
}

std::tuple<Tensor, Tensor> fused_rms_norm_backward(const Tensor& grad_out, const Tensor& input,
                                                   at::IntArrayRef normalized_shape,
                                                   const Tensor& rstd,
                                                   const OptionalTensor& weight_opt,
                                                   std::array<bool, 2> output_mask) {
  const Tensor weight = weight_opt.value_or(Tensor());
  const auto [rows, width] = check_inputs(input, normalized_shape, weight);
  TORCH_CHECK(grad_out.sizes() == input.sizes(), "rms_norm_backward: grad_out has shape ",
              grad_out.sizes(), " but the input has shape ", input.sizes());
  if (alt::cuda::on_gpu()) {
    return composite_backward(grad_out, input, normalized_shape, rstd, weight, output_mask);
  }
  Tensor grad_input, grad_weight;
  visit<FloatingAndHalfTypes>(
      input.scalar_type(), "rms_norm_backward", [&, n = width, count = rows]<class T>() {
        using A = opmath_t<T>;
        const auto computed = c10::CppTypeToScalarType<A>::value;
        const Tensor dense = input.contiguous(),
                     grad = in_dtype(grad_out, input.scalar_type()).contiguous();
        const Tensor w = parameter(weight, computed), r = parameter(rstd, computed);
        const T *x = dense.const_data_ptr<T>(), *dy = grad.const_data_ptr<T>();
        const A *w_data = data_or_null<A>(w), *r_data = r.const_data_ptr<A>();
        if (output_mask[0]) grad_input = at::empty(input.sizes(), input.options());
        T* dx = output_mask[0] ? grad_input.mutable_data_ptr<T>() : nullptr;
        const bool parameters = output_mask[1] && weight.defined();
        RowSums<A> sums(count, n, parameters ? n : 0);
        sums.template run<T>([&](const RowWriter<T>& writer, int64_t row, A* dw) {
          const T *x_row = x + row * n, *dy_row = dy + row * n;
          T* const dx_row = dx ? dx + row * n : nullptr;
          if (parameters) {
            gradient_row<true>(writer, dy_row, x_row, dx_row, n, w_data, r_data[row], dw);
          } else {
            gradient_row<false>(writer, dy_row, x_row, dx_row, n, w_data, r_data[row], nullptr);
          }
        });
        if (parameters) {
          const Tensor sum = at::empty(normalized_shape, input.options().dtype(computed));
          sums.join(0, n, sum.mutable_data_ptr<A>());
          grad_weight = in_dtype(sum, weight.scalar_type());
        }
      });
  return {grad_input, grad_weight};
}

}  // namespace alt::kernels
