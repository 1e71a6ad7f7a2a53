// altbackend/cuda/kernels/optim.cuh.
#include "kernels/cuda/optim.h"

#include <algorithm>

#include "kernels/cuda/launches.h"
#include "kernels/cuda/tensor_lists.h"
#include "kernels/multi_tensor.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;

constexpr size_t kStep = 5;  // of a parameter's words

/// The tensors of one parameter, laid out alike and of one dtype; what had to be copied for that is
/// written back at the end.
class Parameter {
 public:
  Parameter(std::vector<Tensor> given, const Tensor& step) : aligned_(in_one_dtype(given)) {
    given_ = std::move(given);
    if (step.defined()) step_ = step.to(given_[0].device(), at::kFloat);
  }
  at::ScalarType dtype() const { return aligned_[0].scalar_type(); }
  TensorLists::Words words() const {
    TensorLists::Words result{};
    for (size_t k = 0; k < given_.size(); ++k) result[k] = address_of(aligned_[k]);
    if (step_.defined()) result[kStep] = address_of(step_);
    result[TensorLists::kSize] = aligned_.numel();
    return result;
  }
  void write_back() const {
    for (size_t k = 0; k < given_.size(); ++k) {
      aligned_.write_back(k);
      if (!converted_.empty() && converted_[k].scalar_type() != given_[k].scalar_type()) {
        given_[k].copy_(converted_[k]);
      }
    }
  }

 private:
  /// A half parameter beside float state is computed in float.
  std::vector<Tensor> in_one_dtype(const std::vector<Tensor>& given) {
    at::ScalarType dtype = given[0].scalar_type();
    for (const Tensor& tensor : given) dtype = c10::promoteTypes(dtype, tensor.scalar_type());
    const bool one = std::all_of(given.begin(), given.end(),
                                 [&](const Tensor& t) { return t.scalar_type() == dtype; });
    if (one) return given;
    for (const Tensor& tensor : given) converted_.push_back(tensor.to(dtype));
    return converted_;
  }

  std::vector<Tensor> converted_, given_;
  Aligned aligned_;
  Tensor step_;
};

/// `rule` is what the kernel gets beside the tables.
void run(const char* name, const std::vector<Parameter>& parameters, const KernelArgs& rule,
         c10::Device device) {
  TensorLists lists;
  for (const Parameter& parameter : parameters) lists.add(parameter.dtype(), parameter.words());
  lists.launch(name, rule, device);
  for (const Parameter& parameter : parameters) parameter.write_back();
}

TensorArgs number_on(const std::optional<Tensor>& number) {
  return number.has_value() && number->defined() ? dense_args(*number, {}) : TensorArgs{};
}

}  // namespace

void run_optimizer(const char* name, const OptimizerStep& step,
                   const std::optional<Tensor>& grad_scale,
                   const std::optional<Tensor>& found_inf) {
  const at::TensorList params = step.lists[0];
  if (params.empty()) return;
  std::vector<Parameter> parameters;
  parameters.reserve(params.size());
  for (size_t i = 0; i < params.size(); ++i) {
    std::vector<Tensor> tensors;
    for (const at::TensorList& list : step.lists) {
      if (!list.empty()) tensors.push_back(list[i]);
    }
    parameters.emplace_back(std::move(tensors), step.steps.empty() ? Tensor() : step.steps[i]);
  }
  KernelArgs rule{};
  std::copy(step.numbers.begin(), step.numbers.end(), rule.numbers);
  std::copy(step.integers.begin(), step.integers.end(), rule.integers);
  rule.tensors[2] = number_on(grad_scale);
  rule.tensors[3] = number_on(found_inf);
  run(name, parameters, rule, params[0].device());
}

void unscale(at::TensorList gradients, const Tensor& inv_scale, const Tensor& found_inf) {
  std::vector<Parameter> parameters;
  parameters.reserve(gradients.size());
  for (const Tensor& gradient : gradients) {
    parameters.emplace_back(std::vector<Tensor>{gradient}, Tensor());
  }
  KernelArgs rule{};
  rule.tensors[2] = dense_args(inv_scale, {});
  rule.tensors[3] = dense_args(found_inf, {});
  run("unscale", parameters, rule, gradients[0].device());
}

void update_scale(const Tensor& scale, const Tensor& growth_tracker, const Tensor& found_inf,
                  double growth, double backoff, int64_t interval) {
  launch(kernel("update_scale", {at::kFloat}), {1}, {1},
         dense_arguments({scale, growth_tracker, found_inf}, {interval}, {growth, backoff}));
}

}  // namespace alt::kernels::cuda
