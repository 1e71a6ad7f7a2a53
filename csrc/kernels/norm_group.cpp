// Group normalisation: channels in groups, each group of each sample to mean 0 and variance 1, then
// weight and bias.
//
// A tensor is (N, C, HxW); a group is C / group consecutive channels, contiguous memory, and one
// task. Its moments and its result are found while it is in cache. The gradient finds sum(dy) and
// sum(dy * (x - mean)) for each channel of each sample first: what weight and bias need, and the
// group's sums are weighted sums of them.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <array>
#include <cmath>
#include <optional>
#include <tuple>
#include <vector>

#include "kernels/cuda/norm.h"
#include "kernels/norm_lanes.h"
#include "kernels/operands.h"
#include "kernels/parameters.h"
#include "kernels/row_writer.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

void check_group_norm(const Tensor& input, const Tensor& weight, const Tensor& bias,
                      int64_t channels, int64_t group) {
  TORCH_CHECK(group > 0, "Expected num groups to be greater than 0, got ", group);
  TORCH_CHECK(channels % group == 0,
              "Expected number of channels in input to be divisible by num_groups, but got ",
              "input of shape ", input.sizes(), " and num_groups=", group);
  TORCH_CHECK(!weight.defined() || (weight.dim() == 1 && weight.numel() == channels),
              "Expected weight to be a vector of size equal to the number of channels in input, "
              "but got weight of shape ",
              weight.defined() ? weight.sizes() : at::IntArrayRef(), " and input of shape ",
              input.sizes());
  TORCH_CHECK(!bias.defined() || (bias.dim() == 1 && bias.numel() == channels),
              "Expected bias to be a vector of size equal to the number of channels in input, but "
              "got bias of shape ",
              bias.defined() ? bias.sizes() : at::IntArrayRef(), " and input of shape ",
              input.sizes());
}

Tensor in_format_of(const Tensor& result, const Tensor& input) {
  return result.contiguous(input.suggest_memory_format());
}

int64_t tasks_per_chunk(int64_t elements) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, elements));
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor> native_group_norm(const Tensor& self,
                                                     const OptionalTensor& weight_opt,
                                                     const OptionalTensor& bias_opt, int64_t N,
                                                     int64_t C, int64_t HxW, int64_t group,
                                                     double eps) {
  const Tensor weight = weight_opt.value_or(Tensor()), bias = bias_opt.value_or(Tensor());
  check_group_norm(self, weight, bias, C, group);
  TORCH_CHECK(self.numel() == N * C * HxW, "Expected input of ", N * C * HxW, " elements, got ",
              self.sizes());
  const Tensor& X = self;  // stock's message is this text
  const auto memory_format = self.suggest_memory_format();
  TORCH_CHECK(X.is_contiguous(memory_format));
  const at::ScalarType stored = parameter_dtype(self, weight, bias);
  const Tensor output = at::empty(self.sizes(), self.options());
  Tensor means, rstds;
  if (alt::cuda::on_gpu()) {
    check_type<FloatingAndHalfTypes>(self.scalar_type(), "GroupNormKernelImpl");
    const at::ScalarType computed = opmath_dtype(self.scalar_type());
    const auto extent = cuda::NormShape::group(N, C, HxW, group);
    const Tensor input = self.contiguous();
    means = at::empty({N, group}, self.options().dtype(computed));
    rstds = at::empty({N, group}, self.options().dtype(computed));
    if (N > 0 && C > 0) {
      cuda::norm_moments(extent, input, eps, means, rstds);
      cuda::norm_apply(extent, input, means, rstds, parameter(weight, computed),
                       parameter(bias, computed), output);
    }
    return {in_format_of(output, self), in_dtype(means, stored), in_dtype(rstds, stored)};
  }

  visit<FloatingAndHalfTypes>(self.scalar_type(), "GroupNormKernelImpl", [&]<class T>() {
    using A = opmath_t<T>;
    using V = Vec<A>;
    const auto computed = c10::CppTypeToScalarType<A>::value;
    const Tensor input = self.contiguous(), w = parameter(weight, computed),
                 b = parameter(bias, computed);
    const A *w_data = data_or_null<A>(w), *b_data = data_or_null<A>(b);
    const T* x = input.const_data_ptr<T>();
    T* y = output.mutable_data_ptr<T>();
    means = at::empty({N, group}, self.options().dtype(computed));
    rstds = at::empty({N, group}, self.options().dtype(computed));
    A *mean_data = means.mutable_data_ptr<A>(), *rstd_data = rstds.mutable_data_ptr<A>();
    const int64_t members = C / group, size = members * HxW;

    parallel_for(0, N * group, tasks_per_chunk(size), [&](int64_t begin, int64_t end) {
      const RowWriter<T> writer(N * C * HxW);
      for (int64_t task = begin; task < end; ++task) {
        const T* from = x + task * size;
        const double sum = sum_lanes<A, 1>(size, [&](int64_t i, auto lanes) {
          return std::array<V, 1>{load_lanes(from + i, lanes)};
        })[0];
        const V mean(mean_data[task] = static_cast<A>(sum / size));
        const double squares = sum_lanes<A, 1>(size, [&](int64_t i, auto lanes) {
          const V apart = load_lanes(from + i, lanes) - mean;
          return std::array<V, 1>{apart * apart};
        })[0];
        const A rstd = rstd_data[task] = static_cast<A>(1 / std::sqrt(squares / size + eps));
        for (int64_t member = 0; member < members; ++member) {
          const int64_t c = task % group * members + member;
          const V scale(w_data ? rstd * w_data[c] : rstd), shift(b_data ? b_data[c] : A(0));
          const int64_t row = task * size + member * HxW;
          writer.write(y + row, HxW, [&, from = x + row](int64_t i, auto lanes) {
            return fma(load_lanes(from + i, lanes) - mean, scale, shift);
          });
        }
      }
    });
  });
  return {in_format_of(output, self), in_dtype(means, stored), in_dtype(rstds, stored)};
}

std::tuple<Tensor, Tensor, Tensor> native_group_norm_backward(
    const Tensor& grad_out, const Tensor& self, const Tensor& mean, const Tensor& rstd,
    const OptionalTensor& weight_opt, int64_t N, int64_t C, int64_t HxW, int64_t group,
    std::array<bool, 3> output_mask) {
  const Tensor weight = weight_opt.value_or(Tensor());
  check_group_norm(self, weight, Tensor(), C, group);
  TORCH_CHECK(grad_out.sizes() == self.sizes() && self.numel() == N * C * HxW,
              "Expected grad_out of shape ", self.sizes(), ", got ", grad_out.sizes());
  TORCH_CHECK(mean.numel() == N * group && rstd.numel() == N * group, "Expected ", N * group,
              " means and rstds, got ", mean.sizes(), " and ", rstd.sizes());
  const at::ScalarType stored = parameter_dtype(self, weight);

  Tensor grad_input, grad_weight, grad_bias;
  if (alt::cuda::on_gpu()) {
    check_type<FloatingAndHalfTypes>(self.scalar_type(), "GroupNormBackwardKernelImpl");
    const at::ScalarType computed = opmath_dtype(self.scalar_type());
    const auto extent = cuda::NormShape::group(N, C, HxW, group);
    const Tensor input = self.contiguous(), m = parameter(mean, computed),
                 r = parameter(rstd, computed);
    const Tensor grad = in_dtype(grad_out, self.scalar_type()).contiguous();
    if (output_mask[0]) {
      grad_input = at::empty(self.sizes(), self.options());
      if (self.numel() > 0) {
        cuda::norm_backward(extent, grad, input, m, r, parameter(weight, computed),
                            /*given=*/false, grad_input);
      }
      grad_input = in_format_of(grad_input, self);
    }
    const auto sums = [&](bool wanted) {
      return wanted ? at::empty({C}, self.options().dtype(computed)) : Tensor();
    };
    grad_weight = sums(output_mask[1]);
    grad_bias = sums(output_mask[2]);
    if (output_mask[1] || output_mask[2]) {
      cuda::norm_weight_backward(extent, grad, input, m, r, grad_weight, grad_bias);
    }
    if (output_mask[1]) grad_weight = in_dtype(grad_weight, stored);
    if (output_mask[2]) grad_bias = in_dtype(grad_bias, stored);
    return {grad_input, grad_weight, grad_bias};
  }
  visit<FloatingAndHalfTypes>(self.scalar_type(), "GroupNormBackwardKernelImpl", [&]<class T>() {
    using A = opmath_t<T>;
    using V = Vec<A>;
    const auto computed = c10::CppTypeToScalarType<A>::value;
    const Tensor input = self.contiguous(),
                 grad = in_dtype(grad_out, self.scalar_type()).contiguous();
    const Tensor w = parameter(weight, computed), m = parameter(mean, computed),
                 r = parameter(rstd, computed);
    const A *w_data = data_or_null<A>(w), *m_data = m.const_data_ptr<A>(),
            *r_data = r.const_data_ptr<A>();
    const T *x = input.const_data_ptr<T>(), *dy = grad.const_data_ptr<T>();
    if (output_mask[0]) grad_input = at::empty(self.sizes(), self.options());
    T* dx = output_mask[0] ? grad_input.mutable_data_ptr<T>() : nullptr;
    const int64_t members = C / group, size = members * HxW;
    std::vector<std::array<double, 2>> sums(N * C);  // of dy and of dy * (x - mean)

    parallel_for(0, N * group, tasks_per_chunk(size), [&](int64_t begin, int64_t end) {
      const RowWriter<T> writer(N * C * HxW);
      for (int64_t task = begin; task < end; ++task) {
        const V mean_lanes(m_data[task]);
        const A scale = r_data[task];
        double total = 0, dot = 0;
        for (int64_t member = 0; member < members; ++member) {
          const int64_t channel = task * members + member, c = channel % C;
          const T *dy_row = dy + channel * HxW, *x_row = x + channel * HxW;
          sums[channel] = sum_lanes<A, 2>(HxW, [&](int64_t i, auto lanes) {
            const V g = load_lanes(dy_row + i, lanes);
            return std::array<V, 2>{g, g * (load_lanes(x_row + i, lanes) - mean_lanes)};
          });
          const double factor = w_data ? w_data[c] : 1;
          total += factor * sums[channel][0];
          dot += factor * sums[channel][1];
        }
        if (!dx) continue;
        const V grad_mean(static_cast<A>(total / size * scale));
        const V projection(static_cast<A>(dot / size * scale * scale * scale));
        for (int64_t member = 0; member < members; ++member) {
          const int64_t channel = task * members + member, row = channel * HxW;
          const V factor(w_data ? scale * w_data[channel % C] : scale);
          const T *const dy_row = dy + row, *const x_row = x + row;
          writer.write(dx + row, HxW, [&](int64_t i, auto lanes) {
            const V apart = load_lanes(x_row + i, lanes) - mean_lanes;
            return load_lanes(dy_row + i, lanes) * factor - grad_mean - apart * projection;
          });
        }
      }
    });

    const auto join = [&](bool of_weight) {
      const Tensor result = at::empty({C}, self.options().dtype(computed));
      A* to = result.mutable_data_ptr<A>();
      for (int64_t c = 0; c < C; ++c) {
        double total = 0;
        for (int64_t n = 0; n < N; ++n) {
          const auto& channel = sums[n * C + c];
          total += of_weight ? channel[1] * r_data[n * group + c / members] : channel[0];
        }
        to[c] = static_cast<A>(total);
      }
      return in_dtype(result, stored);
    };
    if (output_mask[1]) grad_weight = join(true);
    if (output_mask[2]) grad_bias = join(false);
  });
  if (grad_input.defined()) grad_input = in_format_of(grad_input, self);
  return {grad_input, grad_weight, grad_bias};
}

}  // namespace alt::kernels
