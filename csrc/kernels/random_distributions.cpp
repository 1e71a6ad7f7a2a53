// Poisson, binomial, gamma and Dirichlet samples, and the gradients of the last two.
//
// Stock compiles these without fused multiply-adds, and a rejection sampler that rounds otherwise
// sooner or later accepts otherwise: they rely on -ffp-contract=off.
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Distributions.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <mutex>
#include <tuple>

#include "kernels/random.h"

namespace alt::kernels {
namespace {

using draws::unit_uniform;

template <class Out, class... In, class Body>
void serial_map(at::TensorIteratorBase& iter, Body&& body) {
  if (iter.numel() == 0) {
    return;
  }
  constexpr int operands = 1 + sizeof...(In);
  iter.serial_for_each(
      [&](char** data, const int64_t* strides, int64_t size0, int64_t size1) {
        for (int64_t j = 0; j < size1; ++j) {
          for (int64_t i = 0; i < size0; ++i) {
            const auto at = [&](int k) {
              return data[k] + i * strides[k] + j * strides[operands + k];
            };
            [&]<size_t... K>(std::index_sequence<K...>) {
              *reinterpret_cast<Out*>(at(0)) = static_cast<Out>(
                  body(*reinterpret_cast<const In*>(at(static_cast<int>(K) + 1))...));
            }(std::index_sequence_for<In...>{});
          }
        }
      },
      {0, iter.numel()});
}

/// Multiplication of uniforms below a rate of 10, Hoermann's transformed rejection (1993) above.
int64_t sample_poisson(double rate, HostGenerator& generator) {
  if (rate == 0) {
    return 0;
  }
  if (rate < 10) {
    const double threshold = std::exp(-rate);
    int64_t count = 0;
    double product = unit_uniform<double>(generator);
    while (product > threshold) {
      ++count;
      product *= unit_uniform<double>(generator);
    }
    return count;
  }
  const double log_rate = std::log(rate);
  const double b = 0.931 + 2.53 * std::sqrt(rate);
  const double a = -0.059 + 0.02483 * b;
  const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
  const double v_limit = 0.9277 - 3.6224 / (b - 2);
  while (true) {
    const double u = unit_uniform<double>(generator) - 0.5;
    const double v = unit_uniform<double>(generator);
    const double us = 0.5 - std::fabs(u);
    const auto k = static_cast<int64_t>(std::floor((2 * a / us + b) * u + rate + 0.43));
    if (us >= 0.07 && v <= v_limit) {
      return k;
    }
    if (k < 0 || (us < 0.013 && v > us)) {
      continue;
    }
    const double acceptance = std::log(v) + std::log(inverse_alpha) - std::log(a / (us * us) + b);
    const auto count = static_cast<double>(k);
    if (acceptance <= -rate + count * log_rate - std::lgamma(count + 1)) {
      return k;
    }
  }
}

/// The two sources that PyTorch's samplers read from.
template <class Body>
void with_samplers(HostGenerator& generator, int64_t samples, Body&& body) {
  draws::Words words(generator, samples);
  auto uniform = [&] { return unit_uniform<double>(words); };
  auto normal = [&] { return draws::normal(words, 0.0, 1.0); };
  BaseSampler<double, decltype(uniform)> uniform_sampler(uniform);
  BaseSampler<double, decltype(normal)> normal_sampler(normal);
  body(uniform_sampler, normal_sampler);
}

template <class T, class In>
void fill_gamma(at::TensorIteratorBase& iter, HostGenerator& generator) {
  with_samplers(generator, iter.numel(),
                [&]<class Uniform, class Normal>(BaseSampler<double, Uniform>& uniform,
                                                 BaseSampler<double, Normal>& normal) {
                  serial_map<T, In>(iter, [&](In alpha) {
                    const T sample =
                        sample_gamma<T, double, Uniform, Normal>(alpha, uniform, normal);
                    return std::max(std::numeric_limits<T>::min(), sample);
                  });
                });
}

at::TensorIterator iterator(const at::Tensor& out, std::initializer_list<at::Tensor> inputs,
                            bool same_dtype = true) {
  at::TensorIteratorConfig config;
  config.add_owned_output(out);
  for (const auto& input : inputs) {
    config.add_owned_const_input(input);
  }
  return config.check_all_same_dtype(same_dtype).build();
}

}  // namespace

at::Tensor poisson(const at::Tensor& self, std::optional<at::Generator> generator_argument) {
  auto out = at::zeros(self.sizes(), self.options());
  auto iter = iterator(out, {self});
  HostGenerator& generator = *get_generator(generator_argument);
  visit<FloatingAndHalfTypes>(out.scalar_type(), "poisson_cpu", [&]<class T>() {
    std::lock_guard lock(generator.mutex_);
    serial_map<T, T>(iter, [&](T rate) {
      TORCH_CHECK(rate >= 0, "invalid Poisson rate, expected rate to be non-negative");
      return static_cast<opmath_t<T>>(sample_poisson(static_cast<double>(rate), generator));
    });
  });
  return out;
}

at::Tensor binomial(const at::Tensor& count, const at::Tensor& prob,
                    std::optional<at::Generator> generator_argument) {
  auto out = at::zeros(count.sizes(), count.options());
  auto iter = iterator(out, {count, prob});
  HostGenerator& generator = *get_generator(generator_argument);
  visit<FloatingTypes>(out.scalar_type(), "binomial_cpu", [&]<class T>() {
    std::lock_guard lock(generator.mutex_);
    auto uniform = [&] { return unit_uniform<double>(generator); };
    BaseSampler<double, decltype(uniform)> sampler(uniform);
    serial_map<T, T, T>(iter, [&](T n, T p) {
      return sample_binomial<T, double, decltype(uniform)>(n, p, sampler);
    });
  });
  return out;
}

at::Tensor standard_gamma(const at::Tensor& self, std::optional<at::Generator> generator_argument) {
  auto out = at::zeros(self.sizes(), self.options());
  auto iter = iterator(out, {self});
  HostGenerator& generator = *get_generator(generator_argument);
  visit<FloatingTypes>(out.scalar_type(), "gamma_cpu", [&]<class T>() {
    std::lock_guard lock(generator.mutex_);
    fill_gamma<T, T>(iter, generator);
  });
  return out;
}

at::Tensor sample_dirichlet(const at::Tensor& self,
                            std::optional<at::Generator> generator_argument) {
  auto out = at::zeros(self.sizes(), self.options());
  // Gammas in double: those of small alpha underflow in float.
  auto gamma = at::zeros(self.sizes(), self.options().dtype(at::kDouble));
  HostGenerator& generator = *get_generator(generator_argument);
  visit<FloatingTypes>(out.scalar_type(), "dirichlet", [&]<class T>() {
    {
      std::lock_guard lock(generator.mutex_);
      auto iter = iterator(gamma, {self}, /*same_dtype=*/false);
      with_samplers(generator, iter.numel(),
                    [&]<class Uniform, class Normal>(BaseSampler<double, Uniform>& uniform,
                                                     BaseSampler<double, Normal>& normal) {
                      serial_map<double, T>(iter, [&](T alpha) {
                        return sample_gamma<double, double, Uniform, Normal>(alpha, uniform,
                                                                             normal);
                      });
                    });
    }
    const auto sum = gamma.sum({-1}, /*keepdim=*/true).expand(self.sizes());
    auto iter = iterator(out, {gamma, sum}, /*same_dtype=*/false);
    serial_map<T, double, double>(iter, [](double value, double total) {
      constexpr T smallest = std::numeric_limits<T>::min();
      constexpr T largest = T(1) - std::numeric_limits<T>::epsilon();
      return std::min(largest, std::max(smallest, static_cast<T>(value / total)));
    });
  });
  return out;
}

at::Tensor standard_gamma_grad(const at::Tensor& self, const at::Tensor& output) {
  auto out = at::empty(self.sizes(), self.options());
  auto iter = iterator(out, {self, output});
  visit<FloatingTypes>(self.scalar_type(), "_standard_gamma_grad_cpu", [&]<class T>() {
    serial_map<T, T, T>(
        iter, [](T alpha, T sample) { return standard_gamma_grad_one<T, double>(alpha, sample); });
  });
  return out;
}

at::Tensor dirichlet_grad(const at::Tensor& x, const at::Tensor& alpha, const at::Tensor& total) {
  auto out = at::empty(x.sizes(), x.options());
  auto iter = iterator(out, {x, alpha, total});
  visit<FloatingTypes>(x.scalar_type(), "_dirichlet_grad_cpu", [&]<class T>() {
    serial_map<T, T, T, T>(iter, [](T value, T concentration, T sum) {
      return dirichlet_grad_one<T, double>(value, concentration, sum);
    });
  });
  return out;
}

}  // namespace alt::kernels
