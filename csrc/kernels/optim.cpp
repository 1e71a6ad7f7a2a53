// The fused optimizers: every parameter of the model in one pass over memory and one parallel
// region, and the two operators of gradient scaling.
//
// A rule is a struct with the coefficients of one parameter and a function on vectors;
// optim_rules.h runs it.
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cmath>
#include <optional>

#include "kernels/cuda/optim.h"
#include "kernels/optim_rules.h"
#include "loops/math.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

using OptionalTensor = std::optional<at::Tensor>;

double number(const at::Tensor& tensor) {
  const bool here = tensor.is_cpu() || !alt::cuda::on_gpu();
  return here && tensor.scalar_type() == at::kFloat && tensor.numel() == 1
             ? static_cast<double>(*tensor.const_data_ptr<float>())
             : tensor.item<double>();
}

/// What gradient scaling asks of a step.
struct Scaling {
  bool skip = false;
  std::optional<float> scale;

  Scaling(const OptionalTensor& grad_scale, const OptionalTensor& found_inf) {
    if (found_inf && found_inf->defined()) skip = *found_inf->const_data_ptr<float>() == 1.0f;
    if (grad_scale && grad_scale->defined()) scale = *grad_scale->const_data_ptr<float>();
  }
};

/// The gradient as the rule is to see it; unscaled gradients are written back, as stock does.
template <class T, class Lanes>
Vec<T> gradient(T* grad, const Scaling& scaling, bool maximize, const Lanes& lanes) {
  Vec<T> g = lanes.load(grad);
  if (scaling.scale) {
    g = g / Vec<T>(static_cast<T>(*scaling.scale));
    lanes.store(grad, g);
  }
  return maximize ? -g : g;
}

struct Adam {
  static constexpr const char* kName = "fused_adam_kernel";
  double beta1, beta2, weight_decay, eps, step_size, bias_correction2_sqrt, decay;
  bool amsgrad, maximize, decoupled;
  Scaling scaling;

  template <class T, size_t N, class Lanes>
  void step(const std::array<T*, N>& at, const Lanes& lanes) const {
    using V = Vec<T>;
    auto c = [](double x) { return V(static_cast<T>(x)); };
    V g = gradient(at[1], scaling, maximize, lanes);
    V p = lanes.load(at[0]);
    if (weight_decay != 0) {
      if (decoupled) {
        p = p * c(decay);
      } else {
        g = fma(p, c(weight_decay), g);
      }
    }
    const V mean = fma(g, c(1 - beta1), lanes.load(at[2]) * c(beta1));
    const V square = fma(g * g, c(1 - beta2), lanes.load(at[3]) * c(beta2));
    lanes.store(at[2], mean);
    lanes.store(at[3], square);
    V second = square;
    if constexpr (N == 5) {
      second = maximum(lanes.load(at[4]), square);
      lanes.store(at[4], second);
    }
    const V denominator = math::sqrt(second) / c(bias_correction2_sqrt) + c(eps);
    lanes.store(at[0], p - c(step_size) * mean / denominator);
  }
};

void adam(at::TensorList params, at::TensorList grads, at::TensorList exp_avgs,
          at::TensorList exp_avg_sqs, at::TensorList max_exp_avg_sqs, at::TensorList state_steps,
          double lr, double beta1, double beta2, double weight_decay, double eps, bool amsgrad,
          bool maximize, const OptionalTensor& grad_scale, const OptionalTensor& found_inf,
          bool decoupled) {
  const size_t count = params.size();
  TORCH_CHECK(grads.size() == count);
  TORCH_CHECK(exp_avgs.size() == count);
  TORCH_CHECK(exp_avg_sqs.size() == count);
  TORCH_CHECK(max_exp_avg_sqs.size() == (amsgrad ? count : 0));
  TORCH_CHECK(state_steps.size() == count);
  if (alt::cuda::on_gpu()) {
    return cuda::run_optimizer("adam",
                               {.lists = {params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs},
                                .steps = state_steps,
                                .numbers = {lr, beta1, beta2, weight_decay, eps},
                                .integers = {maximize, amsgrad, decoupled}},
                               grad_scale, found_inf);
  }
  const Scaling scaling(grad_scale, found_inf);
  if (scaling.skip) return;
  std::vector<Aligned> parameters;
  std::vector<Adam> rules;
  for (size_t i = 0; i < count; ++i) {
    std::vector<at::Tensor> tensors{params[i], grads[i], exp_avgs[i], exp_avg_sqs[i]};
    if (amsgrad) tensors.push_back(max_exp_avg_sqs[i]);
    parameters.emplace_back(std::move(tensors));
    const double step = number(state_steps[i]);
    rules.push_back({beta1, beta2, weight_decay, eps, lr / (1 - std::pow(beta1, step)),
                     std::sqrt(1 - std::pow(beta2, step)), 1 - lr * weight_decay, amsgrad, maximize,
                     decoupled, scaling});
  }
  const bool grad_written = scaling.scale.has_value();
  if (amsgrad) {
    run_rules<5>(parameters, rules, grad_written);
  } else {
    run_rules<4>(parameters, rules, grad_written);
  }
}

struct Sgd {
  static constexpr const char* kName = "fused_sgd_kernel";
  double weight_decay, momentum, lr, dampening;
  bool nesterov, maximize, is_first_step;
  Scaling scaling;

  template <class T, size_t N, class Lanes>
  void step(const std::array<T*, N>& at, const Lanes& lanes) const {
    using V = Vec<T>;
    auto c = [](double x) { return V(static_cast<T>(x)); };
    V g = gradient(at[1], scaling, maximize, lanes);
    const V p = lanes.load(at[0]);
    if (weight_decay != 0) g = fma(p, c(weight_decay), g);
    if constexpr (N == 3) {
      const V buffer =
          is_first_step ? g : fma(g, c(1 - dampening), lanes.load(at[2]) * c(momentum));
      lanes.store(at[2], buffer);
      g = nesterov ? fma(buffer, c(momentum), g) : buffer;
    }
    lanes.store(at[0], fma(g, c(-lr), p));
  }
};

struct Adagrad {
  static constexpr const char* kName = "fused_adagrad_kernel";
  double rate, weight_decay, eps;
  bool maximize;
  Scaling scaling;

  template <class T, size_t N, class Lanes>
  void step(const std::array<T*, N>& at, const Lanes& lanes) const {
    using V = Vec<T>;
    auto c = [](double x) { return V(static_cast<T>(x)); };
    V g = gradient(at[1], scaling, maximize, lanes);
    const V p = lanes.load(at[0]);
    if (weight_decay != 0) g = fma(p, c(weight_decay), g);
    const V sum = fma(g, g, lanes.load(at[2]));
    lanes.store(at[2], sum);
    lanes.store(at[0], p - c(rate) * g / (math::sqrt(sum) + c(eps)));
  }
};

}  // namespace

void fused_adam_(at::TensorList self, at::TensorList grads, at::TensorList exp_avgs,
                 at::TensorList exp_avg_sqs, at::TensorList max_exp_avg_sqs,
                 at::TensorList state_steps, double lr, double beta1, double beta2,
                 double weight_decay, double eps, bool amsgrad, bool maximize,
                 const OptionalTensor& grad_scale, const OptionalTensor& found_inf) {
  adam(self, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, lr, beta1, beta2,
       weight_decay, eps, amsgrad, maximize, grad_scale, found_inf, /*decoupled=*/false);
}

void fused_adam_tensor_lr_(at::TensorList self, at::TensorList grads, at::TensorList exp_avgs,
                           at::TensorList exp_avg_sqs, at::TensorList max_exp_avg_sqs,
                           at::TensorList state_steps, const at::Tensor& lr, double beta1,
                           double beta2, double weight_decay, double eps, bool amsgrad,
                           bool maximize, const OptionalTensor& grad_scale,
                           const OptionalTensor& found_inf) {
  adam(self, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, number(lr), beta1, beta2,
       weight_decay, eps, amsgrad, maximize, grad_scale, found_inf, /*decoupled=*/false);
}

void fused_adamw_(at::TensorList self, at::TensorList grads, at::TensorList exp_avgs,
                  at::TensorList exp_avg_sqs, at::TensorList max_exp_avg_sqs,
                  at::TensorList state_steps, double lr, double beta1, double beta2,
                  double weight_decay, double eps, bool amsgrad, bool maximize,
                  const OptionalTensor& grad_scale, const OptionalTensor& found_inf) {
  adam(self, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, lr, beta1, beta2,
       weight_decay, eps, amsgrad, maximize, grad_scale, found_inf, /*decoupled=*/true);
}

void fused_adamw_tensor_lr_(at::TensorList self, at::TensorList grads, at::TensorList exp_avgs,
                            at::TensorList exp_avg_sqs, at::TensorList max_exp_avg_sqs,
                            at::TensorList state_steps, const at::Tensor& lr, double beta1,
                            double beta2, double weight_decay, double eps, bool amsgrad,
                            bool maximize, const OptionalTensor& grad_scale,
                            const OptionalTensor& found_inf) {
  adam(self, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, number(lr), beta1, beta2,
       weight_decay, eps, amsgrad, maximize, grad_scale, found_inf, /*decoupled=*/true);
}

void fused_sgd_(at::TensorList self, at::TensorList grads, at::TensorList momentum_buffer_list,
                double weight_decay, double momentum, double lr, double dampening, bool nesterov,
                bool maximize, bool is_first_step, const OptionalTensor& grad_scale,
                const OptionalTensor& found_inf) {
  TORCH_CHECK(grads.size() == self.size());
  TORCH_CHECK(momentum == 0 ? momentum_buffer_list.empty()
                            : momentum_buffer_list.size() == self.size());
  if (alt::cuda::on_gpu()) {
    return cuda::run_optimizer("sgd",
                               {.lists = {self, grads, momentum_buffer_list},
                                .steps = {},
                                .numbers = {lr, 0, 0, weight_decay, 0, momentum, dampening},
                                .integers = {maximize, 0, 0, nesterov, is_first_step}},
                               grad_scale, found_inf);
  }
  const Scaling scaling(grad_scale, found_inf);
  if (scaling.skip) return;
  std::vector<Aligned> parameters;
  for (size_t i = 0; i < self.size(); ++i) {
    std::vector<at::Tensor> tensors{self[i], grads[i]};
    if (momentum != 0) tensors.push_back(momentum_buffer_list[i]);
    parameters.emplace_back(std::move(tensors));
  }
  const std::vector<Sgd> rules(self.size(), {weight_decay, momentum, lr, dampening, nesterov,
                                             maximize, is_first_step, scaling});
  const bool grad_written = scaling.scale.has_value();
  if (momentum != 0) {
    run_rules<3>(parameters, rules, grad_written);
  } else {
    run_rules<2>(parameters, rules, grad_written);
  }
}

void fused_sgd_tensor_lr_(at::TensorList self, at::TensorList grads,
                          at::TensorList momentum_buffer_list, double weight_decay, double momentum,
                          const at::Tensor& lr, double dampening, bool nesterov, bool maximize,
                          bool is_first_step, const OptionalTensor& grad_scale,
                          const OptionalTensor& found_inf) {
  fused_sgd_(self, grads, momentum_buffer_list, weight_decay, momentum, number(lr), dampening,
             nesterov, maximize, is_first_step, grad_scale, found_inf);
}

void fused_adagrad_(at::TensorList self, at::TensorList grads, at::TensorList state_sums,
                    at::TensorList state_steps, double lr, double lr_decay, double weight_decay,
                    double eps, bool maximize, const OptionalTensor& grad_scale,
                    const OptionalTensor& found_inf) {
  TORCH_CHECK(grads.size() == self.size());
  TORCH_CHECK(state_sums.size() == self.size());
  TORCH_CHECK(state_steps.size() == self.size());
  if (alt::cuda::on_gpu()) {
    return cuda::run_optimizer("adagrad",
                               {.lists = {self, grads, state_sums},
                                .steps = state_steps,
                                .numbers = {lr, 0, 0, weight_decay, eps, 0, 0, lr_decay},
                                .integers = {maximize}},
                               grad_scale, found_inf);
  }
  const Scaling scaling(grad_scale, found_inf);
  if (scaling.skip) return;
  std::vector<Aligned> parameters;
  std::vector<Adagrad> rules;
  for (size_t i = 0; i < self.size(); ++i) {
    parameters.emplace_back(std::vector<at::Tensor>{self[i], grads[i], state_sums[i]});
    const double rate = lr / (1 + (number(state_steps[i]) - 1) * lr_decay);
    rules.push_back({rate, weight_decay, eps, maximize, scaling});
  }
  run_rules<3>(parameters, rules, scaling.scale.has_value());
}

void fused_adagrad_tensor_lr_(at::TensorList self, at::TensorList grads, at::TensorList state_sums,
                              at::TensorList state_steps, const at::Tensor& lr, double lr_decay,
                              double weight_decay, double eps, bool maximize,
                              const OptionalTensor& grad_scale, const OptionalTensor& found_inf) {
  fused_adagrad_(self, grads, state_sums, state_steps, number(lr), lr_decay, weight_decay, eps,
                 maximize, grad_scale, found_inf);
}

void amp_foreach_non_finite_check_and_unscale_(at::TensorList self, at::Tensor& found_inf,
                                               const at::Tensor& inv_scale) {
  if (self.empty()) return;
  TORCH_CHECK(inv_scale.numel() == 1, "inv_scale must be a 1-element tensor.");
  TORCH_CHECK(found_inf.numel() == 1, "found_inf must be a 1-element tensor.");
  TORCH_CHECK(inv_scale.scalar_type() == at::kFloat, "inv_scale must be a float tensor.");
  TORCH_CHECK(found_inf.scalar_type() == at::kFloat, "found_inf must be a float tensor.");
  std::vector<Aligned> grads;
  std::vector<int64_t> sizes;
  for (const at::Tensor& grad : self) {
    TORCH_CHECK(grad.layout() == at::kStrided, "one of scaled_grads was not a strided tensor.");
    TORCH_CHECK_NOT_IMPLEMENTED(at::isFloatingType(grad.scalar_type()),
                                "\"_amp_foreach_non_finite_check_and_unscale_cpu\" not "
                                "implemented for '",
                                grad.scalar_type(), "'");
    grads.emplace_back(std::vector<at::Tensor>{grad});
    sizes.push_back(grad.numel());
  }
  if (alt::cuda::on_gpu()) return cuda::unscale(self, inv_scale, found_inf);
  const float scale = *inv_scale.const_data_ptr<float>();
  std::atomic<bool> finite{true};
  for_each_run(sizes, kStepGrain, [&](size_t i, int64_t begin, int64_t end) {
    auto run = [&]<class T>() {
      as_type<T>(std::array<Slot, 1>{write(grads[i][0])}, begin, end,
                 [&](const std::array<T*, 1>& at, int64_t n) {
                   // x * 0 is 0 for a finite x and NaN for any other: a sum that any of them
                   // spoils.
                   Vec<T> spoilt(T(0));
                   for_lanes<T>(n, [&](int64_t offset, auto lanes) {
                     const Vec<T> x = lanes.load(at[0] + offset);
                     spoilt += x * Vec<T>(T(0));
                     if (scale != 1.0f) {
                       lanes.store(at[0] + offset, x * Vec<T>(static_cast<T>(scale)));
                     }
                   });
                   if (reduce_add(spoilt) != T(0)) finite = false;
                 });
    };
    if (grads[i][0].scalar_type() == at::kDouble) {
      run.template operator()<double>();
    } else {
      run.template operator()<float>();
    }
  });
  for (const Aligned& grad : grads) grad.write_back(0);
  if (!finite) *found_inf.mutable_data_ptr<float>() = 1.0f;
}

at::Tensor& amp_update_scale_(at::Tensor& self, at::Tensor& growth_tracker,
                              const at::Tensor& found_inf, double scale_growth_factor,
                              double scale_backoff_factor, int64_t growth_interval) {
  TORCH_CHECK(growth_tracker.numel() == 1, "growth_tracker must be a 1-element tensor.");
  TORCH_CHECK(self.numel() == 1, "current_scale must be a 1-element tensor.");
  TORCH_CHECK(found_inf.numel() == 1, "found_inf must be a 1-element tensor.");
  TORCH_CHECK(growth_tracker.scalar_type() == at::kInt, "growth_tracker must be an int tensor.");
  TORCH_CHECK(self.scalar_type() == at::kFloat, "current_scale must be a float tensor.");
  TORCH_CHECK(found_inf.scalar_type() == at::kFloat, "found_inf must be a float tensor.");
  if (alt::cuda::on_gpu()) {
    cuda::update_scale(self, growth_tracker, found_inf, scale_growth_factor, scale_backoff_factor,
                       growth_interval);
    return self;
  }
  float* scale = self.mutable_data_ptr<float>();
  int* growth = growth_tracker.mutable_data_ptr<int>();
  if (*found_inf.const_data_ptr<float>() != 0.0f) {
    *scale = static_cast<float>(*scale * scale_backoff_factor);
    *growth = 0;
    return self;
  }
  const int successful = *growth + 1;
  *growth = successful == growth_interval ? 0 : successful;
  if (successful == growth_interval) {
    const auto grown = static_cast<float>(*scale * scale_growth_factor);
    if (std::isfinite(grown)) *scale = grown;
  }
  return self;
}

}  // namespace alt::kernels
