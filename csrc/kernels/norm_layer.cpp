// Layer normalisation: each row of the normalised dimensions to mean 0 and variance 1, then weight
// and bias.
//
// One task is some whole rows. A row takes three passes (sum, squared distance, result) and stays
// in cache meanwhile. The gradient takes two passes a row, those of weight and bias are summed on
// the way for fixed chunks of rows, the chunks then in order, so the result does not depend on the
// threads.
#include <ATen/core/Tensor.h>
#include <ATen/native/layer_norm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <array>
#include <cmath>
#include <optional>
#include <tuple>
#include <vector>

#include "kernels/cuda/norm.h"
#include "kernels/norm_lanes.h"
#include "kernels/norm_rows.h"
#include "kernels/operands.h"
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
                   const opmath_t<T>* weight, const opmath_t<T>* bias, double eps,
                   opmath_t<T>& mean_out, opmath_t<T>& rstd_out) {
  using A = opmath_t<T>;
  using V = Vec<A>;
  const double sum = sum_lanes<A, 1>(
      width, [&](int64_t i, auto lanes) { return std::array<V, 1>{load_lanes(x + i, lanes)}; })[0];
  mean_out = static_cast<A>(sum / width);
  const V mean(mean_out);
  const double squares = sum_lanes<A, 1>(width, [&](int64_t i, auto lanes) {
    const V apart = load_lanes(x + i, lanes) - mean;
    return std::array<V, 1>{apart * apart};
  })[0];
  rstd_out = static_cast<A>(1 / std::sqrt(squares / width + eps));
  const V rstd(rstd_out);
  writer.write(y, width, [&](int64_t i, auto lanes) {
    V value = (load_lanes(x + i, lanes) - mean) * rstd;
    if (weight) value = value * load_lanes(weight + i, lanes);
    if (bias) value = value + load_lanes(bias + i, lanes);
    return value;
  });
}

// The sums over rows that the gradients of weight and bias are.
template <class A>
struct ParameterSums {
  A *weight = nullptr, *bias = nullptr;
};

// dx = rstd * (g - mean(g) - xhat * mean(g * xhat)), where g = dy * weight and xhat = (x - mean) *
// rstd. The row's share of the parameters' gradients, dy * xhat and dy, is added on the way.
template <bool parameters, class T>
void gradient_row(const RowWriter<T>& writer, const T* dy, const T* x, T* dx, int64_t width,
                  const opmath_t<T>* weight, opmath_t<T> mean, opmath_t<T> rstd,
                  ParameterSums<opmath_t<T>> sums) {
  using A = opmath_t<T>;
  using V = Vec<A>;
  const V m(mean), r(rstd);
  const auto totals = sum_lanes<A, 2>(width, [&](int64_t i, auto lanes) {
    const V grad = load_lanes(dy + i, lanes), xhat = (load_lanes(x + i, lanes) - m) * r;
    if constexpr (parameters) {
      store_lanes<A>(fma(grad, xhat, load_lanes(sums.weight + i, lanes)), sums.weight + i, lanes);
      store_lanes<A>(load_lanes(sums.bias + i, lanes) + grad, sums.bias + i, lanes);
    }
    const V g = grad * weight_lanes(weight, i, lanes);
    return std::array<V, 2>{g, g * xhat};
  });
  if (!dx) return;
  const V grad_mean(static_cast<A>(totals[0] / width)),
      projection(static_cast<A>(totals[1] / width));
  writer.write(dx, width, [&](int64_t i, auto lanes) {
    const V g = load_lanes(dy + i, lanes) * weight_lanes(weight, i, lanes);
    const V xhat = (load_lanes(x + i, lanes) - m) * r;
    return (g - grad_mean - xhat * projection) * r;
  });
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor> native_layer_norm(const Tensor& self,
                                                     at::IntArrayRef normalized_shape,
                                                     const OptionalTensor& weight_opt,
                                                     const OptionalTensor& bias_opt, double eps) {
  const Tensor weight = weight_opt.value_or(Tensor()), bias = bias_opt.value_or(Tensor());
  const auto [rows, width] =
      at::native::_check_layer_norm_inputs(self, normalized_shape, weight, bias);
  const at::ScalarType stored = parameter_dtype(self, weight, bias);
  std::vector<int64_t> shape = self.sizes().vec();
  std::fill(shape.end() - normalized_shape.size(), shape.end(), 1);

  const Tensor output = at::empty(self.sizes(), self.options());
  Tensor means, rstds;
  if (alt::cuda::on_gpu()) {
    check_type<FloatingAndHalfTypes>(self.scalar_type(), "LayerNormKernelImpl");
    const at::ScalarType computed = opmath_dtype(self.scalar_type());
    const auto extent = cuda::NormShape::layer(rows, width);
    const Tensor input = self.contiguous();
    means = at::empty(shape, self.options().dtype(computed));
    rstds = at::empty(shape, self.options().dtype(computed));
    if (rows > 0) {
      cuda::norm_moments(extent, input, eps, means, rstds);
      cuda::norm_apply(extent, input, means, rstds, parameter(weight, computed),
                       parameter(bias, computed), output);
    }
    return {output, in_dtype(means, stored), in_dtype(rstds, stored)};
  }
  visit<FloatingAndHalfTypes>(self.scalar_type(), "LayerNormKernelImpl", [&]<class T>() {
    using A = opmath_t<T>;
    const auto computed = c10::CppTypeToScalarType<A>::value;
    const Tensor input = self.contiguous(), w = parameter(weight, computed),
                 b = parameter(bias, computed);
    const A *w_data = data_or_null<A>(w), *b_data = data_or_null<A>(b);
    const T* x = input.const_data_ptr<T>();
    T* y = output.mutable_data_ptr<T>();
    means = at::empty(shape, self.options().dtype(computed));
    rstds = at::empty(shape, self.options().dtype(computed));
    A *mean = means.mutable_data_ptr<A>(), *rstd = rstds.mutable_data_ptr<A>();
    const int64_t n = width, count = rows;
    parallel_for(0, count, rows_per_task(n), [&](int64_t begin, int64_t end) {
      const RowWriter<T> writer(count * n);
      for (int64_t row = begin; row < end; ++row) {
        normalize_row<T>(writer, x + row * n, y + row * n, n, w_data, b_data, eps, mean[row],
                         rstd[row]);
      }
    });
  });
  return {output, in_dtype(means, stored), in_dtype(rstds, stored)};
}

std::tuple<Tensor, Tensor, Tensor> native_layer_norm_backward(
    const Tensor& grad_out, const Tensor& self, at::IntArrayRef normalized_shape,
    const Tensor& mean, const Tensor& rstd, const OptionalTensor& weight_opt,
    const OptionalTensor& bias_opt, std::array<bool, 3> output_mask) {
  const Tensor weight = weight_opt.value_or(Tensor()), bias = bias_opt.value_or(Tensor());
  const auto [rows, width] =
      at::native::_check_layer_norm_inputs(self, normalized_shape, weight, bias);
  TORCH_CHECK(grad_out.sizes() == self.sizes(), "layer_norm_backward: grad_out has shape ",
              grad_out.sizes(), " but the input has shape ", self.sizes());
  const at::ScalarType stored = parameter_dtype(self, weight, bias);

  Tensor grad_input, grad_weight, grad_bias;
  if (alt::cuda::on_gpu()) {
    check_type<FloatingAndHalfTypes>(self.scalar_type(), "LayerNormBackwardKernelImpl");
    const at::ScalarType computed = opmath_dtype(self.scalar_type());
    const auto extent = cuda::NormShape::layer(rows, width);
    const Tensor input = self.contiguous(), m = parameter(mean, computed),
                 r = parameter(rstd, computed);
    const Tensor grad = in_dtype(grad_out, self.scalar_type()).contiguous();
    if (output_mask[0]) {
      grad_input = at::empty(self.sizes(), self.options());
      if (rows > 0) {
        cuda::norm_backward(extent, grad, input, m, r, parameter(weight, computed),
                            /*given=*/false, grad_input);
      }
    }
    const auto sums = [&](bool wanted) {
      return wanted ? at::empty(normalized_shape, self.options().dtype(computed)) : Tensor();
    };
    grad_weight = sums(output_mask[1] && weight.defined());
    grad_bias = sums(output_mask[2] && bias.defined());
    if (grad_weight.defined() || grad_bias.defined()) {
      cuda::norm_weight_backward(extent, grad, input, m, r, grad_weight, grad_bias);
    }
    if (grad_weight.defined()) grad_weight = in_dtype(grad_weight, stored);
    if (grad_bias.defined()) grad_bias = in_dtype(grad_bias, stored);
    return {grad_input, grad_weight, grad_bias};
  }
  visit<FloatingAndHalfTypes>(self.scalar_type(), "LayerNormBackwardKernelImpl", [&]<class T>() {
    using A = opmath_t<T>;
    const auto computed = c10::CppTypeToScalarType<A>::value;
    const int64_t n = width;
    const Tensor input = self.contiguous(),
                 grad = in_dtype(grad_out, self.scalar_type()).contiguous();
    const Tensor w = parameter(weight, computed), m = parameter(mean, computed),
                 r = parameter(rstd, computed);
    const T *x = input.const_data_ptr<T>(), *dy = grad.const_data_ptr<T>();
    const A *w_data = data_or_null<A>(w), *m_data = m.const_data_ptr<A>(),
            *r_data = r.const_data_ptr<A>();
    if (output_mask[0]) grad_input = at::empty(self.sizes(), self.options());
    T* dx = output_mask[0] ? grad_input.mutable_data_ptr<T>() : nullptr;
    const bool parameters = output_mask[1] || output_mask[2];
    RowSums<A> sums(rows, n, parameters ? 2 * n : 0);
    sums.template run<T>([&](const RowWriter<T>& writer, int64_t row, A* dw) {
      const T *x_row = x + row * n, *dy_row = dy + row * n;
      T* const dx_row = dx ? dx + row * n : nullptr;
      if (parameters) {
        gradient_row<true>(writer, dy_row, x_row, dx_row, n, w_data, m_data[row], r_data[row],
                           {dw, dw + n});
      } else {
        gradient_row<false>(writer, dy_row, x_row, dx_row, n, w_data, m_data[row], r_data[row], {});
      }
    });
    const auto join = [&](int64_t offset) {
      const Tensor sum = at::empty(normalized_shape, self.options().dtype(computed));
      sums.join(offset, n, sum.mutable_data_ptr<A>());
      return in_dtype(sum, stored);
    };
    if (output_mask[1] && weight.defined()) grad_weight = join(0);
    if (output_mask[2] && bias.defined()) grad_bias = join(n);
  });
  return {grad_input, grad_weight, grad_bias};
}

}  // namespace alt::kernels
