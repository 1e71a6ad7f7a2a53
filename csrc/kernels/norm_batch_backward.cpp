// The gradient of batch normalisation: one pass for sum(dy) and sum(dy * (x - mean)), one for dx.
// Layouts: norm_batch.h.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <cmath>

#include "kernels/cuda/norm.h"
#include "kernels/norm_batch.h"
#include "kernels/operands.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

using Extent = BatchNormExtent;

// In training, dx = (dy - mean(dy) - (x - mean) * projection) * scale; in evaluation, dx = dy *
// scale.
template <class A>
struct Gradient {
  std::vector<A> mean, grad_mean, projection, scale;
  explicit Gradient(int64_t channels)
      : mean(channels), grad_mean(channels), projection(channels), scale(channels) {}
};

template <class T>
std::array<double, 2> channel_gradient_sums(const T* dy, const T* x, const Extent& extent,
                                            opmath_t<T> mean) {
  using A = opmath_t<T>;
  using V = Vec<A>;
  const V m(mean);
  std::array<double, 2> total{};
  for (int64_t n = 0; n < extent.outer; ++n) {
    const int64_t row = n * extent.channels * extent.inner;
    const auto sums = sum_lanes<A, 2>(extent.inner, [&](int64_t i, auto lanes) {
      const V g = load_lanes(dy + row + i, lanes);
      return std::array<V, 2>{g, g * (load_lanes(x + row + i, lanes) - m)};
    });
    total[0] += sums[0];
    total[1] += sums[1];
  }
  return total;
}

template <class T, class A>
std::vector<std::array<double, 2>> row_gradient_sums(const T* dy, const T* x, const Extent& extent,
                                                     const std::vector<A>& mean) {
  const int64_t channels = extent.channels;
  const auto partials = row_chunks<A>(extent, 2, [&](int64_t first, int64_t last, A* sum) {
    A* dot = sum + channels;
    for (int64_t row = first; row < last; ++row) {
      for_lanes<A>(0, channels, [&](int64_t i, auto lanes) {
        const auto g = load_lanes(dy + row * channels + i, lanes);
        const auto apart =
            load_lanes(x + row * channels + i, lanes) - load_lanes(mean.data() + i, lanes);
        add_lanes<A>(sum, g, i, lanes);
        add_lanes<A>(dot, g * apart, i, lanes);
      });
    }
  });
  std::vector<std::array<double, 2>> total(channels);
  for (size_t at = 0; at < partials.size(); at += 2 * channels) {
    for (int64_t c = 0; c < channels; ++c) {
      total[c][0] += partials[at + c];
      total[c][1] += partials[at + channels + c];
    }
  }
  return total;
}

template <class T, class A>
void input_gradient_channel(const RowWriter<T>& writer, const T* dy, const T* x, T* dx,
                            const Extent& extent, int64_t c, const Gradient<A>& gradient,
                            bool training) {
  const Vec<A> mean(gradient.mean[c]), grad_mean(gradient.grad_mean[c]),
      projection(gradient.projection[c]), scale(gradient.scale[c]);
  for (int64_t n = 0; n < extent.outer; ++n) {
    const int64_t row = (n * extent.channels + c) * extent.inner;
    const T *const dy_row = dy + row, *const x_row = x + row;
    writer.write(dx + row, extent.inner, [&](int64_t i, auto lanes) {
      Vec<A> g = load_lanes(dy_row + i, lanes);
      if (training) g = g - grad_mean - (load_lanes(x_row + i, lanes) - mean) * projection;
      return g * scale;
    });
  }
}

template <class T, class A>
void input_gradient_rows(const T* dy, const T* x, T* dx, const Extent& extent,
                         const Gradient<A>& gradient, bool training) {
  const int64_t channels = extent.channels;
  parallel_for(0, extent.outer, std::max<int64_t>(1, kChunk / channels),
               [&](int64_t begin, int64_t end) {
                 const RowWriter<T> writer(extent.elements());
                 for (int64_t row = begin; row < end; ++row) {
                   writer.write(dx + row * channels, channels, [&](int64_t i, auto lanes) {
                     const int64_t at = row * channels + i;
                     Vec<A> g = load_lanes(dy + at, lanes);
                     if (training) {
                       const Vec<A> apart =
                           load_lanes(x + at, lanes) - load_lanes(gradient.mean.data() + i, lanes);
                       g = g - load_lanes(gradient.grad_mean.data() + i, lanes) -
                           apart * load_lanes(gradient.projection.data() + i, lanes);
                     }
                     return g * load_lanes(gradient.scale.data() + i, lanes);
                   });
                 }
               });
}

// What native_batch_norm_backward does on a GPU with operands that were checked.
ThreeTensors gradients_on_gpu(const Tensor& grad_out, const Tensor& self,
                              const OptionalTensor& weight, const OptionalTensor& mean_given,
                              const OptionalTensor& spread_given, bool training, double eps,
                              const std::array<bool, 3>& output_mask, at::ScalarType stored) {
  check_type<FloatingAndHalfTypes>(self.scalar_type(), "batch_norm_backward_cpu");
  const at::ScalarType computed = opmath_dtype(self.scalar_type());
  const Tensor input = dense(self);
  const Extent extent(input);
  const auto shape = cuda::NormShape::batch(extent.outer, extent.channels, extent.inner);
  const auto format =
      input.is_contiguous() ? at::MemoryFormat::Contiguous : input.suggest_memory_format();
  const Tensor grad = in_dtype(grad_out, self.scalar_type()).contiguous(format);
  const auto numbers = [&](bool wanted) {
    return wanted ? at::empty({extent.channels}, self.options().dtype(computed)) : Tensor();
  };
  const Tensor mean = parameter(mean_given, computed);
  Tensor scale = parameter(spread_given, computed);
  if (!training) {
    const Tensor variance = scale;
    scale = numbers(true);
    cuda::norm_finish(variance, eps, scale);
  }
  Tensor grad_input;
  if (output_mask[0]) {
    grad_input = at::empty_like(input);
    if (self.numel() > 0) {
      cuda::norm_backward(shape, grad, input, mean, scale, parameter(weight, computed), !training,
                          grad_input);
    }
  }
  const Tensor grad_weight = numbers(output_mask[1]), grad_bias = numbers(output_mask[2]);
  if (output_mask[1] || output_mask[2]) {
    cuda::norm_weight_backward(shape, grad, input, mean, scale, grad_weight, grad_bias);
  }
  return {grad_input, output_mask[1] ? in_dtype(grad_weight, stored) : Tensor(),
          output_mask[2] ? in_dtype(grad_bias, stored) : Tensor()};
}

}  // namespace

ThreeTensors native_batch_norm_backward(const Tensor& grad_out, const Tensor& self,
                                        const OptionalTensor& weight,
                                        const OptionalTensor& running_mean,
                                        const OptionalTensor& running_var,
                                        const OptionalTensor& save_mean,
                                        const OptionalTensor& save_invstd, bool training,
                                        double eps, std::array<bool, 3> output_mask) {
  const int64_t channels = self.size(1);
  TORCH_CHECK(grad_out.sizes() == self.sizes(), "batch_norm_backward: grad_out has shape ",
              grad_out.sizes(), " but the input has shape ", self.sizes());
  const at::ScalarType stored =
      parameter_dtype(self, given(weight), given(running_mean), given(running_var));
  if (alt::cuda::on_gpu()) {
    return gradients_on_gpu(grad_out, self, weight, training ? save_mean : running_mean,
                            training ? save_invstd : running_var, training, eps, output_mask,
                            stored);
  }

  ThreeTensors result;
  visit<FloatingAndHalfTypes>(self.scalar_type(), "batch_norm_backward_cpu", [&]<class T>() {
    using A = opmath_t<T>;
    const auto computed = c10::CppTypeToScalarType<A>::value;
    const Tensor input = dense(self);
    const Extent extent(input);
    const auto format =
        input.is_contiguous() ? at::MemoryFormat::Contiguous : input.suggest_memory_format();
    const Tensor grad = in_dtype(grad_out, self.scalar_type()).contiguous(format);
    const T *x = input.const_data_ptr<T>(), *dy = grad.const_data_ptr<T>();
    Tensor grad_input;
    T* dx = nullptr;
    if (output_mask[0]) {
      grad_input = at::empty_like(input);
      dx = grad_input.mutable_data_ptr<T>();
    }
    const Tensor grad_weight = at::empty({channels}, self.options().dtype(computed));
    const Tensor grad_bias = at::empty({channels}, self.options().dtype(computed));
    A *dw = grad_weight.mutable_data_ptr<A>(), *db = grad_bias.mutable_data_ptr<A>();

    const Tensor w = parameter(weight, computed);
    const A* w_data = data_or_null<A>(w);
    const Tensor mean = parameter(training ? save_mean : running_mean, computed);
    const Tensor spread = parameter(training ? save_invstd : running_var, computed);
    const A *means = mean.const_data_ptr<A>(), *spreads = spread.const_data_ptr<A>();
    Gradient<A> gradient(channels);
    std::vector<A> invstd(channels);
    for (int64_t c = 0; c < channels; ++c) {
      const A s = spreads[c];
      invstd[c] = training ? s : static_cast<A>(1 / std::sqrt(s + static_cast<A>(eps)));
      gradient.mean[c] = means[c];
      gradient.scale[c] = w_data ? invstd[c] * w_data[c] : invstd[c];
    }
    const auto finish = [&](int64_t c, const std::array<double, 2>& sums) {
      db[c] = static_cast<A>(sums[0]);
      dw[c] = static_cast<A>(sums[1] * invstd[c]);
      gradient.grad_mean[c] = static_cast<A>(sums[0] / extent.count());
      gradient.projection[c] = static_cast<A>(sums[1] * invstd[c] * invstd[c] / extent.count());
    };
    if (extent.inner > 1) {
      const int64_t grain = std::max<int64_t>(1, kChunk / extent.count());
      parallel_for(0, channels, grain, [&](int64_t begin, int64_t end) {
        const RowWriter<T> writer(extent.elements());
        for (int64_t c = begin; c < end; ++c) {
          const int64_t at = c * extent.inner;
          finish(c, channel_gradient_sums(dy + at, x + at, extent, gradient.mean[c]));
          if (dx) input_gradient_channel(writer, dy, x, dx, extent, c, gradient, training);
        }
      });
    } else if (self.numel() > 0) {
      const auto sums = row_gradient_sums(dy, x, extent, gradient.mean);
      for (int64_t c = 0; c < channels; ++c) finish(c, sums[c]);
      if (dx) input_gradient_rows(dy, x, dx, extent, gradient, training);
    } else {
      for (int64_t c = 0; c < channels; ++c) dw[c] = db[c] = A(0);
    }
    result = {grad_input, output_mask[1] ? in_dtype(grad_weight, stored) : Tensor(),
              output_mask[2] ? in_dtype(grad_bias, stored) : Tensor()};
  });
  return result;
}

ThreeTensors batch_norm_backward(const Tensor& grad_out, const Tensor& input, const Tensor& weight,
                                 const OptionalTensor& running_mean,
                                 const OptionalTensor& running_var, const OptionalTensor& save_mean,
                                 const OptionalTensor& save_var, bool update, double eps,
                                 std::array<bool, 3> output_mask, const Tensor& /*reserve*/) {
  return kernels::native_batch_norm_backward(grad_out, input, weight, running_mean, running_var,
                                             save_mean, save_var, update, eps, output_mask);
}

}  // namespace alt::kernels
