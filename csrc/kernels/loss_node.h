// The node of a loss whose gradient is computed with it and kept for backward, which scales it by
// the loss's own gradient where that is not 1, or hands it over as it is.
#pragma once

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/autograd.h"
#include "kernels/autograd_nodes.h"

namespace alt::kernels {

class LossNode : public torch::autograd::Node {
 public:
  /// The loss made of PyTorch's operators, of an input and whatever else was kept.
  using Composite =
      std::function<at::Tensor(const at::Tensor& input, const variable_list& operands)>;

  /// Which of what is kept may not change before backward.
  enum class Unchanged { kNothing, kOperands };

  /// `gradient`: of `input`, for a loss whose gradient is 1.
  void save(const at::Tensor& input, const variable_list& operands, const at::Tensor& gradient,
            Unchanged unchanged, Composite composite) {
    hooked_ = hooks_take_saved();
    input_ = {input, /*is_output=*/false};
    for (const at::Tensor& operand : operands) operands_.emplace_back(operand, false);
    gradient_ = {gradient, false};
    unchanged_ = unchanged;
    composite_ = std::move(composite);
  }

  variable_list apply(variable_list&& grads) override {
    const std::lock_guard lock(mutex_);
    const at::Tensor& grad = grads[0];
    if (!grad.defined() || !task_should_compute_output(0)) return {at::Tensor()};
    if (wants_operators(grads)) return gradients_of_operators(grads);
    if (unchanged_ == Unchanged::kOperands) {
      input_.unpack();
      unpacked_operands();
    }
    const at::Tensor gradient = gradient_.unpack();
    const bool ours = may_overwrite_saved(hooked_);
    if (grad.dim() == 0 && grad.item<double>() == 1) return {ours ? gradient : gradient.clone()};
    const at::Tensor factor = grad.dim() == 0 ? grad : grad.unsqueeze(1);
    return {ours ? gradient.mul_(factor) : gradient.mul(factor)};
  }

  void release_variables() override {
    const std::lock_guard lock(mutex_);
    input_.reset_data();
    gradient_.reset_data();
    for (auto& operand : operands_) operand.reset_data();
  }

 private:
  variable_list unpacked_operands() const {
    variable_list operands;
    for (const auto& operand : operands_) operands.push_back(operand.unpack());
    return operands;
  }

  variable_list gradients_of_operators(const variable_list& grads) {
    const variable_list operands = unpacked_operands();
    return gradients_through({input_.unpack()}, {true}, grads, [&](const variable_list& inputs) {
      return variable_list{composite_(inputs[0], operands)};
    });
  }

  torch::autograd::SavedVariable input_, gradient_;
  std::vector<torch::autograd::SavedVariable> operands_;
  Composite composite_;
  Unchanged unchanged_ = Unchanged::kNothing;
  bool hooked_ = false;
};

/// The name that Python gives to a loss's node, as a template's argument: a type has one name.
template <size_t size>
struct LossName {
  char text[size];

  consteval LossName(const char (&name)[size]) { std::copy_n(name, size, text); }
};

template <LossName loss>
class NamedLossNode final : public LossNode {
 public:
  static constexpr const char* kName = loss.text;

  std::string name() const override { return kName; }
};

template <LossName... losses>
std::vector<NodeName> names_of_loss_nodes() {
  return {{typeid(NamedLossNode<losses>), NamedLossNode<losses>::kName}...};
}

/// A node that PyTorch's pointer of this version holds: intrusive from 2.13 on.
template <class T>
auto make_node() {
  using torch::autograd::Node;
  using Pointer = std::decay_t<decltype(std::declval<Node&>().getptr())>;
  if constexpr (std::is_same_v<Pointer, std::shared_ptr<Node>>) {
    return std::make_shared<T>();
  } else {
    return c10::make_intrusive<T>();
  }
}

/// Makes `loss` the output of a node with this gradient.
template <LossName name>
void record_loss(const at::Tensor& loss, const at::Tensor& input, const variable_list& operands,
                 const at::Tensor& gradient, LossNode::Unchanged unchanged,
                 LossNode::Composite composite) {
  const auto node = make_node<NamedLossNode<name>>();
  node->set_next_edges(torch::autograd::collect_next_edges(input));
  node->save(input, operands, gradient, unchanged, std::move(composite));
  torch::autograd::set_history(loss, node);
}

}  // namespace alt::kernels
