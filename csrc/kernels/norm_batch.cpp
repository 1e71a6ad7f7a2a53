// Batch normalisation: each channel (dimension 1) to mean 0 and variance 1, then weight and bias.
//
// Layouts are those of norm_batch.h. Moments take two passes over a chunk of about 16,384 elements
// that stays in cache (mean, then squared distance from it); chunks are joined in double, by Chan's
// rule: no cancellation at large means.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <cmath>
#include <limits>

#include "kernels/cuda/norm.h"
#include "kernels/norm_batch.h"
#include "kernels/operands.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

using Extent = BatchNormExtent;

// Count, mean and summed squared distance from the mean, joinable.
struct Moments {
  double count = 0, mean = 0, squares = 0;

  void join(double other_count, double other_mean, double other_squares) {
    const double total = count + other_count, apart = other_mean - mean;
    mean += apart * other_count / total;
    squares += other_squares + apart * apart * count * other_count / total;
    count = total;
  }
};

// ---- channels apart: one channel's rows are `inner` contiguous elements, `stride` elements from
// each other

template <class T>
Moments channel_moments(const T* x, const Extent& extent) {
  using A = opmath_t<T>;
  using V = Vec<A>;
  const int64_t stride = extent.channels * extent.inner, chunk = extent.chunk();
  Moments all;
  for (int64_t first = 0; first < extent.outer; first += chunk) {
    const int64_t last = std::min(first + chunk, extent.outer);
    const double count = static_cast<double>((last - first) * extent.inner);
    double sum = 0, squares = 0;
    for (int64_t row = first; row < last; ++row) {
      sum += sum_lanes<A, 1>(extent.inner, [&](int64_t i, auto lanes) {
        return std::array<V, 1>{load_lanes(x + row * stride + i, lanes)};
      })[0];
    }
    const V mean(static_cast<A>(sum / count));
    for (int64_t row = first; row < last; ++row) {
      squares += sum_lanes<A, 1>(extent.inner, [&](int64_t i, auto lanes) {
        const V apart = load_lanes(x + row * stride + i, lanes) - mean;
        return std::array<V, 1>{apart * apart};
      })[0];
    }
    all.join(count, sum / count, squares);
  }
  return all;
}

template <class T>
std::vector<Moments> row_moments(const T* x, const Extent& extent) {
  using A = opmath_t<T>;
  const int64_t channels = extent.channels, chunk = extent.chunk();
  const auto partials = row_chunks<A>(extent, 2, [&](int64_t first, int64_t last, A* mean) {
    A* squares = mean + channels;
    for (int64_t row = first; row < last; ++row) {
      for_lanes<A>(0, channels, [&](int64_t i, auto lanes) {
        add_lanes<A>(mean, load_lanes(x + row * channels + i, lanes), i, lanes);
      });
    }
    for (int64_t c = 0; c < channels; ++c) mean[c] /= static_cast<A>(last - first);
    for (int64_t row = first; row < last; ++row) {
      for_lanes<A>(0, channels, [&](int64_t i, auto lanes) {
        const auto apart = load_lanes(x + row * channels + i, lanes) - load_lanes(mean + i, lanes);
        add_lanes<A>(squares, apart * apart, i, lanes);
      });
    }
  });
  std::vector<Moments> moments(channels);
  for (int64_t first = 0, at = 0; first < extent.outer; first += chunk, at += 2 * channels) {
    const double rows = static_cast<double>(std::min(chunk, extent.outer - first));
    for (int64_t c = 0; c < channels; ++c)
      moments[c].join(rows, partials[at + c], partials[at + channels + c]);
  }
  return moments;
}

// Per channel, y = (x - mean) * scale + shift.
template <class A>
struct Affine {
  std::vector<A> mean, scale, shift;

  explicit Affine(int64_t channels) : mean(channels), scale(channels), shift(channels) {}
  void set(int64_t c, A channel_mean, A invstd, const A* weight, const A* bias) {
    mean[c] = channel_mean;
    scale[c] = weight ? invstd * weight[c] : invstd;
    shift[c] = bias ? bias[c] : A(0);
  }
};

/// One image's plane of a channel, the `plane`-th in memory.
template <class T, class A>
void normalize_plane(const RowWriter<T>& writer, const T* x, T* y, const Extent& extent,
                     int64_t plane, int64_t c, const Affine<A>& affine) {
  const Vec<A> mean(affine.mean[c]), scale(affine.scale[c]), shift(affine.shift[c]);
  const T* const from = x + plane * extent.inner;
  writer.write(y + plane * extent.inner, extent.inner, [&](int64_t i, auto lanes) {
    return fma(load_lanes(from + i, lanes) - mean, scale, shift);
  });
}

/// A channel whose moments were just found: much of it is still in cache.
template <class T, class A>
void normalize_channel(const RowWriter<T>& writer, const T* x, T* y, const Extent& extent,
                       int64_t c, const Affine<A>& affine) {
  for (int64_t n = 0; n < extent.outer; ++n) {
    normalize_plane(writer, x, y, extent, n * extent.channels + c, c, affine);
  }
}

/// All of it, in the order of memory.
template <class T, class A>
void normalize_planes(const T* x, T* y, const Extent& extent, const Affine<A>& affine) {
  const int64_t grain = std::max<int64_t>(1, kChunk / extent.inner);
  parallel_for(0, extent.outer * extent.channels, grain, [&](int64_t begin, int64_t end) {
    const RowWriter<T> writer(extent.elements());
    for (int64_t plane = begin; plane < end; ++plane) {
      normalize_plane(writer, x, y, extent, plane, plane % extent.channels, affine);
    }
  });
}

template <class T, class A>
void normalize_rows(const T* x, T* y, const Extent& extent, const Affine<A>& affine) {
  const int64_t channels = extent.channels;
  parallel_for(0, extent.outer, std::max<int64_t>(1, kChunk / channels),
               [&](int64_t begin, int64_t end) {
                 const RowWriter<T> writer(extent.elements());
                 for (int64_t row = begin; row < end; ++row) {
                   const T* const from = x + row * channels;
                   writer.write(y + row * channels, channels, [&](int64_t i, auto lanes) {
                     const auto apart =
                         load_lanes(from + i, lanes) - load_lanes(affine.mean.data() + i, lanes);
                     return fma(apart, load_lanes(affine.scale.data() + i, lanes),
                                load_lanes(affine.shift.data() + i, lanes));
                   });
                 }
               });
}

double inverse_deviation(double variance, double eps) {
  return variance == 0 && eps == 0 ? 0 : 1 / std::sqrt(variance + eps);
}

// A statistic that the call updates: in the type of computation, written back once.
struct Running {
  const Tensor* target = nullptr;
  Tensor values;

  Running(const OptionalTensor& stat, at::ScalarType dtype) {
    if (!stat.has_value() || !stat->defined()) return;
    target = &*stat;
    values = parameter(stat, dtype);
  }
  template <class A>
  A* data() const {
    return target ? values.mutable_data_ptr<A>() : nullptr;
  }
  void write_back() const {
    if (target && !values.is_same(*target)) target->copy_(values);
  }
};

void check_feature_count(const char* name, const OptionalTensor& value, int64_t channels) {
  if (!value.has_value() || !value->defined()) return;
  TORCH_CHECK(value->numel() == channels, name, " should contain ", channels, " elements not ",
              value->numel());
}

struct Forward {
  Tensor output, save_mean,
      save_spread;  // spread: 1 / deviation, or the variance for batch_norm_update_stats
};

// What batch_norm does on a GPU with operands that were checked; see there.
Forward batch_norm_on_gpu(const Tensor& self, const OptionalTensor& weight,
                          const OptionalTensor& bias, const OptionalTensor& running_mean,
                          const OptionalTensor& running_var, bool training, double momentum,
                          double eps, bool normalise, at::ScalarType stored) {
  check_type<FloatingAndHalfTypes>(self.scalar_type(), "batch_norm");
  const at::ScalarType computed = opmath_dtype(self.scalar_type());
  const Tensor input = dense(self);
  const Extent extent(input);
  const auto shape = cuda::NormShape::batch(extent.outer, extent.channels, extent.inner);
  const auto numbers = [&](int64_t n, at::ScalarType dtype) {
    return at::empty({n}, self.options().dtype(dtype));
  };
  const Tensor scale = numbers(extent.channels, computed);
  Forward result;
  Tensor mean;
  if (training) {
    mean = numbers(extent.channels, computed);
    const Tensor variance = numbers(extent.channels, computed);
    cuda::norm_moments(shape, input, std::numeric_limits<double>::quiet_NaN(), mean, variance);
    const Running kept_mean(running_mean, computed), kept_variance(running_var, computed);
    cuda::norm_finish(variance, eps, scale, mean, kept_mean.values, kept_variance.values, momentum,
                      extent.count());
    kept_mean.write_back();
    kept_variance.write_back();
    result.save_mean = in_dtype(mean, stored);
    result.save_spread = in_dtype(normalise ? scale : variance, stored);
  } else {
    mean = parameter(running_mean, computed);
    cuda::norm_finish(parameter(running_var, computed), eps, scale);
    result.save_mean = numbers(0, stored);
    result.save_spread = numbers(0, stored);
  }
  if (normalise) {
    result.output = at::empty_like(input);
    cuda::norm_apply(shape, input, mean, scale, parameter(weight, computed),
                     parameter(bias, computed), result.output);
  }
  return result;
}

// normalise: false finds the statistics only.
Forward batch_norm(const Tensor& self, const OptionalTensor& weight, const OptionalTensor& bias,
                   const OptionalTensor& running_mean, const OptionalTensor& running_var,
                   bool training, double momentum, double eps, bool normalise = true) {
  const int64_t channels = self.size(1);
  const at::ScalarType stored =
      parameter_dtype(self, given(weight), given(bias), given(running_mean), given(running_var));
  TORCH_CHECK(!training || self.numel() > 0,
              "input tensor must have at least one element, but got input_sizes = ", self.sizes());
  if (self.numel() == 0) {  // of no elements, and of any number of features
    return {at::empty_like(self), at::empty({0}, self.options().dtype(stored)),
            at::empty({0}, self.options().dtype(stored))};
  }
  check_feature_count("running_mean", running_mean, channels);
  check_feature_count("running_var", running_var, channels);
  check_feature_count("weight", weight, channels);
  check_feature_count("bias", bias, channels);
  TORCH_CHECK(training || (running_mean.has_value() && running_mean->defined()),
              "running_mean must be defined in evaluation mode");
  TORCH_CHECK(training || (running_var.has_value() && running_var->defined()),
              "running_var must be defined in evaluation mode");
  if (alt::cuda::on_gpu()) {
    return batch_norm_on_gpu(self, weight, bias, running_mean, running_var, training, momentum, eps,
                             normalise, stored);
  }

  Forward result;
  visit<FloatingAndHalfTypes>(self.scalar_type(), "batch_norm", [&]<class T>() {
    using A = opmath_t<T>;
    const auto computed = c10::CppTypeToScalarType<A>::value;
    const Tensor input = dense(self);
    const Tensor w = parameter(weight, computed), b = parameter(bias, computed);
    const A *w_data = data_or_null<A>(w), *b_data = data_or_null<A>(b);
    const Extent extent(input);
    const T* x = input.const_data_ptr<T>();
    T* y = nullptr;
    if (normalise) {
      result.output = at::empty_like(input);
      y = result.output.mutable_data_ptr<T>();
    }

    Affine<A> affine(channels);
    const bool per_channel = extent.inner > 1;
    const int64_t channel_grain =
        std::max<int64_t>(1, kChunk / std::max<int64_t>(1, extent.count()));
    if (!training) {
      const Tensor mean = parameter(running_mean, computed),
                   variance = parameter(running_var, computed);
      const A *m = mean.const_data_ptr<A>(), *v = variance.const_data_ptr<A>();
      for (int64_t c = 0; c < channels; ++c) {
        affine.set(c, m[c], static_cast<A>(1 / std::sqrt(v[c] + static_cast<A>(eps))), w_data,
                   b_data);
      }
      if (per_channel) {
        normalize_planes(x, y, extent, affine);
      } else {
        normalize_rows(x, y, extent, affine);
      }
      result.save_mean = at::empty({0}, self.options().dtype(stored));
      result.save_spread = at::empty({0}, self.options().dtype(stored));
      return;
    }

    const Tensor save_mean = at::empty({channels}, self.options().dtype(computed));
    const Tensor save_spread = at::empty({channels}, self.options().dtype(computed));
    A *mean_data = save_mean.mutable_data_ptr<A>(),
      *spread_data = save_spread.mutable_data_ptr<A>();
    const Running mean(running_mean, computed), variance(running_var, computed);
    A *running_mean_data = mean.data<A>(), *running_var_data = variance.data<A>();

    const auto finish = [&](int64_t c, const Moments& moments) {
      const double biased = moments.squares / moments.count;
      const double spread = normalise ? inverse_deviation(biased, eps) : biased;
      mean_data[c] = static_cast<A>(moments.mean);
      spread_data[c] = static_cast<A>(spread);
      if (normalise) affine.set(c, mean_data[c], spread_data[c], w_data, b_data);
      if (running_mean_data) {
        running_mean_data[c] =
            static_cast<A>(momentum * moments.mean + (1 - momentum) * running_mean_data[c]);
      }
      if (running_var_data) {
        const double unbiased = moments.squares / (moments.count - 1);
        running_var_data[c] =
            static_cast<A>(momentum * unbiased + (1 - momentum) * running_var_data[c]);
      }
    };
    if (per_channel) {
      parallel_for(0, channels, channel_grain, [&](int64_t begin, int64_t end) {
        const RowWriter<T> writer(extent.elements());
        for (int64_t c = begin; c < end; ++c) {
          finish(c, channel_moments(x + c * extent.inner, extent));
          if (normalise) normalize_channel(writer, x, y, extent, c, affine);
        }
      });
    } else {
      const auto moments = row_moments(x, extent);
      for (int64_t c = 0; c < channels; ++c) finish(c, moments[c]);
      if (normalise) normalize_rows(x, y, extent, affine);
    }
    mean.write_back();
    variance.write_back();
    result.save_mean = in_dtype(save_mean, stored);
    result.save_spread = in_dtype(save_spread, stored);
  });
  return result;
}

}  // namespace

ThreeTensors native_batch_norm(const Tensor& input, const OptionalTensor& weight,
                               const OptionalTensor& bias, const OptionalTensor& running_mean,
                               const OptionalTensor& running_var, bool training, double momentum,
                               double eps) {
  Forward f =
      kernels::batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps);
  return {std::move(f.output), std::move(f.save_mean), std::move(f.save_spread)};
}

std::tuple<Tensor&, Tensor&, Tensor&> native_batch_norm_out(
    const Tensor& input, const OptionalTensor& weight, const OptionalTensor& bias,
    const OptionalTensor& running_mean, const OptionalTensor& running_var, bool training,
    double momentum, double eps, Tensor& out, Tensor& save_mean, Tensor& save_invstd) {
  const auto saved_dtype =
      parameter_dtype(input, given(weight), given(bias), given(running_mean), given(running_var));
  check_dtype(out, input.scalar_type());
  check_dtype(save_mean, saved_dtype);
  check_dtype(save_invstd, saved_dtype);
  const auto [output, mean, invstd] = kernels::native_batch_norm(
      input, weight, bias, running_mean, running_var, training, momentum, eps);
  copy_to_output(output, out);
  copy_to_output(mean, save_mean);
  copy_to_output(invstd, save_invstd);
  return {out, save_mean, save_invstd};
}

ThreeTensors native_batch_norm_legit(const Tensor& input, const OptionalTensor& weight,
                                     const OptionalTensor& bias, Tensor& running_mean,
                                     Tensor& running_var, bool training, double momentum,
                                     double eps) {
  return kernels::native_batch_norm(input, weight, bias, running_mean, running_var, training,
                                    momentum, eps);
}

std::tuple<Tensor&, Tensor&, Tensor&> native_batch_norm_legit_out(
    const Tensor& input, const OptionalTensor& weight, const OptionalTensor& bias,
    Tensor& running_mean, Tensor& running_var, bool training, double momentum, double eps,
    Tensor& out, Tensor& save_mean, Tensor& save_invstd) {
  return kernels::native_batch_norm_out(input, weight, bias, running_mean, running_var, training,
                                        momentum, eps, out, save_mean, save_invstd);
}

ThreeTensors native_batch_norm_legit_no_stats(const Tensor& input, const OptionalTensor& weight,
                                              const OptionalTensor& bias, bool training,
                                              double momentum, double eps) {
  return kernels::native_batch_norm(input, weight, bias, Tensor(), Tensor(), training, momentum,
                                    eps);
}

std::tuple<Tensor&, Tensor&, Tensor&> native_batch_norm_legit_no_stats_out(
    const Tensor& input, const OptionalTensor& weight, const OptionalTensor& bias, bool training,
    double momentum, double eps, Tensor& out, Tensor& save_mean, Tensor& save_invstd) {
  return kernels::native_batch_norm_out(input, weight, bias, Tensor(), Tensor(), training, momentum,
                                        eps, out, save_mean, save_invstd);
}

std::tuple<Tensor, Tensor, Tensor, Tensor> batch_norm_with_update(
    const Tensor& input, const OptionalTensor& weight, const OptionalTensor& bias,
    Tensor& running_mean, Tensor& running_var, double momentum, double eps) {
  auto [output, mean, invstd] = kernels::native_batch_norm(
      input, weight, bias, running_mean, running_var, /*training=*/true, momentum, eps);
  return {std::move(output), std::move(mean), std::move(invstd),
          at::empty({0}, input.options().dtype(at::kByte))};
}

std::tuple<Tensor&, Tensor&, Tensor&, Tensor&> batch_norm_with_update_out(
    const Tensor& input, const OptionalTensor& weight, const OptionalTensor& bias,
    Tensor& running_mean, Tensor& running_var, double momentum, double eps, Tensor& out,
    Tensor& save_mean, Tensor& save_invstd, Tensor& reserve) {
  kernels::native_batch_norm_out(input, weight, bias, running_mean, running_var, true, momentum,
                                 eps, out, save_mean, save_invstd);
  return {out, save_mean, save_invstd, reserve};
}

std::tuple<Tensor, Tensor> batch_norm_update_stats(const Tensor& input,
                                                   const OptionalTensor& running_mean,
                                                   const OptionalTensor& running_var,
                                                   double momentum) {
  Forward f = kernels::batch_norm(input, {}, {}, running_mean, running_var, /*training=*/true,
                                  momentum, /*eps=*/0,
                                  /*normalise=*/false);
  return {std::move(f.save_mean), std::move(f.save_spread)};
}

}  // namespace alt::kernels
