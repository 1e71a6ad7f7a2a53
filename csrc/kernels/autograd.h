// What functions do alike that stand in autograd's place (`autograd` rows of dispatch/ops.yaml).
#pragma once

#include <ATen/SavedTensorHooks.h>
#include <ATen/TensorSubclassLikeUtils.h>
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/graph_task.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <vector>

namespace alt::kernels {

using torch::autograd::variable_list;

inline bool any_defined(const variable_list& tensors) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const at::Tensor& tensor) { return tensor.defined(); });
}

/// Whether memory holds other numbers than the tensor: the dispatcher resolves that below autograd.
inline bool is_lazy(const at::Tensor& tensor) {
  return tensor.is_neg() || tensor.is_conj() || tensor._is_zerotensor();
}

/// Whether the kernels may look at these tensors: ordinary ones of one device and of one dtype that
/// they know, and nothing follows the operators but autograd.
inline bool are_plain(const std::vector<at::Tensor>& tensors) {
  const at::Tensor& first = tensors.front();
  const auto plain = [&](const at::Tensor& tensor) {
    return tensor.defined() && tensor.device() == first.device() &&
           tensor.layout() == at::kStrided && tensor.scalar_type() == first.scalar_type() &&
           !is_lazy(tensor) && !tensor._fw_grad(0).defined();
  };
  const bool transformed =
      c10::impl::tls_is_dispatch_key_included(c10::DispatchKey::FuncTorchDynamicLayerFrontMode) ||
      c10::impl::tls_is_dispatch_key_included(c10::DispatchKey::FuncTorchDynamicLayerBackMode);
  return first.defined() && first.is_privateuseone() && at::isFloatingType(first.scalar_type()) &&
         !transformed && !at::areAnyTensorSubclassLike(tensors) &&
         std::all_of(tensors.begin(), tensors.end(), plain);
}

/// While one lives, operators reach PyTorch's own derivatives where ours would stand in their
/// place: those are registered for devices that PyTorch has no key of (AutogradOther) as well.
class PytorchDerivatives {
 public:
  PytorchDerivatives()
      : passed_by_(c10::DispatchKeySet(c10::DispatchKey::AutogradFunctionality)),
        reached_(c10::DispatchKeySet(c10::DispatchKey::AutogradOther)) {}

 private:
  c10::impl::ExcludeDispatchKeyGuard passed_by_;
  c10::impl::IncludeDispatchKeyGuard reached_;
};

/// Whether autograd wants to know of what is made of these tensors.
inline bool is_differentiated(const std::vector<at::Tensor>& tensors) {
  return at::GradMode::is_enabled() &&
         std::any_of(tensors.begin(), tensors.end(),
                     [](const at::Tensor& t) { return t.defined() && t.requires_grad(); });
}

/// In forward: whether hooks take what is saved.
inline bool hooks_take_saved() {
  return at::SavedTensorDefaultHooks::get_hooks().has_value();
}

/// In backward: whether what was saved may be overwritten. It is ours alone unless hooks gave it
/// away, and has served its time unless the graph is kept for another backward pass.
inline bool may_overwrite_saved(bool hooked) {
  return !hooked && !torch::autograd::get_current_graph_task_keep_graph();
}

/// In backward: whether operators have to make the gradients. They are to be differentiated again,
/// or these are no ordinary tensors (is_grads_batched).
inline bool wants_operators(const variable_list& grads) {
  const auto special = [](const at::Tensor& grad) {
    return grad.defined() && (at::isTensorSubclassLike(grad) || is_lazy(grad));
  };
  return at::GradMode::is_enabled() || std::any_of(grads.begin(), grads.end(), special);
}

/// The gradients of the `inputs` that are wanted, through the operators that `function` makes its
/// outputs of; where the mode is on, they can be differentiated again.
template <class Function>
variable_list gradients_through(variable_list inputs, const std::vector<bool>& wanted,
                                const variable_list& grads, Function&& function) {
  const bool create_graph = at::GradMode::is_enabled();
  const at::AutoGradMode recorded(true);
  // Aliases, so that an input that depends on another does not pass its gradient on to that one:
  // the graph outside of this node does.
  variable_list asked;
  for (size_t i = 0; i < inputs.size(); ++i) {
    inputs[i] = inputs[i].view_as(inputs[i]);
    if (wanted[i]) asked.push_back(inputs[i]);
  }
  const variable_list outputs = function(inputs);
  variable_list results, weights;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!grads[i].defined() || !outputs[i].requires_grad()) continue;
    results.push_back(outputs[i]);
    weights.push_back(grads[i]);
  }
  variable_list found(asked.size());
  if (!results.empty() && !asked.empty()) {
    found = torch::autograd::grad(results, asked, weights, /*retain_graph=*/create_graph,
                                  create_graph, /*allow_unused=*/true);
  }
  variable_list gradients(inputs.size());
  for (size_t i = 0, next = 0; i < inputs.size(); ++i) {
    if (wanted[i]) gradients[i] = found[next++];
  }
  return gradients;
}

}  // namespace alt::kernels
