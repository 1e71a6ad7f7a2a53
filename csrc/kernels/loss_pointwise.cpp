// Losses that are a mean or a sum over pairs of an input and a target, each as one operator with
// its gradient (loss_pointwise_kernel.cpp), which is kept for backward (loss_node.h).
//
// PyTorch has operators for these losses, and others for their gradients. Whatever one pass does
// not do is left to those: losses of single elements, operands of different shapes, strides or
// dtypes, weights, a target that is differentiated. Float16 is trained by them too, as a gradient
// that is rounded before it is scaled would lose what a loss scale is for.
#include <ATen/core/Reduction.h>
#include <ATen/ops/binary_cross_entropy_ops.h>
#include <ATen/ops/binary_cross_entropy_with_logits_ops.h>
#include <ATen/ops/huber_loss_ops.h>
#include <ATen/ops/kl_div_native.h>
#include <ATen/ops/l1_loss_native.h>
#include <ATen/ops/mse_loss_ops.h>
#include <ATen/ops/smooth_l1_loss_ops.h>

#include <cmath>
#include <optional>
#include <vector>

#include "kernels/autograd.h"
#include "kernels/autograd_nodes.h"
#include "kernels/loss_node.h"
#include "kernels/loss_pointwise.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using pointwise_loss::Kind;
using pointwise_loss::Problem;

/// PyTorch's loss of the input and the target, given as {input, target}.
using Operators = LossNode::Composite;

/// Whether the kernel takes this call, which is then without error but for what it looks at.
bool is_served(const Tensor& input, const Tensor& target, const Problem& problem) {
  const bool reduced =
      problem.reduction == at::Reduction::Mean || problem.reduction == at::Reduction::Sum;
  return reduced && are_plain({input, target}) && input.numel() > 0 &&
         input.sizes() == target.sizes() && !is_differentiated({target}) &&
         input.is_non_overlapping_and_dense() && input.strides() == target.strides() &&
         !(input.scalar_type() == at::kHalf && is_differentiated({input})) && !alt::cuda::on_gpu();
}

template <LossName name>
Tensor loss_of(const Tensor& input, const Tensor& target, const Problem& problem,
               LossNode::Unchanged unchanged, const Operators& operators) {
  if (!is_served(input, target, problem)) return operators(input, {target});
  const bool with_gradient = is_differentiated({input});
  pointwise_loss::Result result;
  {
    const at::AutoDispatchBelowADInplaceOrView below;
    result = pointwise_loss::compute(input, target, problem, with_gradient);
  }
  if (problem.kind == Kind::kBinaryCrossEntropy && !std::isfinite(result.sum)) {
    return operators(input, {target});  // which says what is wrong
  }
  if (with_gradient) {
    record_loss<name>(result.loss, input, {target}, result.gradient, unchanged, operators);
  }
  return result.loss;
}

/// Of what PyTorch composes, and keeps neither operand of; its last operator names the node.
Tensor composed_loss_of(const Tensor& input, const Tensor& target, const Problem& problem,
                        const Operators& operators) {
  const auto unchanged = LossNode::Unchanged::kNothing;
  return problem.reduction == at::Reduction::Mean
             ? loss_of<"MeanBackward0">(input, target, problem, unchanged, operators)
             : loss_of<"SumBackward0">(input, target, problem, unchanged, operators);
}

/// PyTorch's operator and its derivative.
template <class Op, class... Arguments>
Operators differentiable(Arguments... arguments) {
  return [=](const Tensor& input, const variable_list& operands) {
    const PytorchDerivatives derivatives;
    return Op::call(input, operands[0], arguments...);
  };
}

bool is_given(const OptionalTensor& weight) {
  return weight.has_value() && weight->defined();
}

/// The weight of positive targets, if it is one number, and nothing wants its gradient.
std::optional<double> number_of(const OptionalTensor& pos_weight, const Tensor& self) {
  if (!is_given(pos_weight)) return 1;
  const bool served = are_plain({self, *pos_weight}) && pos_weight->numel() == 1 &&
                      !pos_weight->requires_grad() && !alt::cuda::on_gpu();
  return served ? std::optional(pos_weight->item<double>()) : std::nullopt;
}

}  // namespace

std::vector<NodeName> pointwise_loss_nodes() {
  return names_of_loss_nodes<"MseLossBackward0", "SmoothL1LossBackward0", "HuberLossBackward0",
                             "BinaryCrossEntropyBackward0", "BinaryCrossEntropyWithLogitsBackward0",
                             "MeanBackward0", "SumBackward0">();
}

Tensor mse_loss(const Tensor& self, const Tensor& target, int64_t reduction) {
  return loss_of<"MseLossBackward0">(self, target, {Kind::kSquare, 0, reduction},
                                     LossNode::Unchanged::kOperands,
                                     differentiable<at::_ops::mse_loss>(reduction));
}

Tensor smooth_l1_loss(const Tensor& self, const Tensor& target, int64_t reduction, double beta) {
  const Operators operators = differentiable<at::_ops::smooth_l1_loss>(reduction, beta);
  if (!(beta > 0)) return operators(self, {target});
  return loss_of<"SmoothL1LossBackward0">(self, target, {Kind::kSmoothL1, beta, reduction},
                                          LossNode::Unchanged::kOperands, operators);
}

Tensor huber_loss(const Tensor& self, const Tensor& target, int64_t reduction, double delta) {
  const Operators operators = differentiable<at::_ops::huber_loss>(reduction, delta);
  if (!(delta > 0)) return operators(self, {target});
  return loss_of<"HuberLossBackward0">(self, target, {Kind::kHuber, delta, reduction},
                                       LossNode::Unchanged::kOperands, operators);
}

Tensor binary_cross_entropy_loss(const Tensor& self, const Tensor& target,
                                 const OptionalTensor& weight, int64_t reduction) {
  const Operators operators = differentiable<at::_ops::binary_cross_entropy>(weight, reduction);
  if (is_given(weight)) return operators(self, {target});
  return loss_of<"BinaryCrossEntropyBackward0">(self, target,
                                                {Kind::kBinaryCrossEntropy, 0, reduction},
                                                LossNode::Unchanged::kOperands, operators);
}

Tensor binary_cross_entropy_with_logits(const Tensor& self, const Tensor& target,
                                        const OptionalTensor& weight,
                                        const OptionalTensor& pos_weight, int64_t reduction) {
  const Operators operators =
      differentiable<at::_ops::binary_cross_entropy_with_logits>(weight, pos_weight, reduction);
  const auto positive = number_of(pos_weight, self);
  if (is_given(weight) || !positive) return operators(self, {target});
  return loss_of<"BinaryCrossEntropyWithLogitsBackward0">(
      self, target, {Kind::kBinaryCrossEntropyWithLogits, *positive, reduction},
      LossNode::Unchanged::kOperands, operators);
}

Tensor l1_loss(const Tensor& self, const Tensor& target, int64_t reduction) {
  return composed_loss_of(self, target, {Kind::kAbsolute, 0, reduction},
                          [=](const Tensor& input, const variable_list& operands) {
                            return at::native::l1_loss(input, operands[0], reduction);
                          });
}

Tensor kl_div(const Tensor& self, const Tensor& target, int64_t reduction, bool log_target) {
  const Kind kind = log_target ? Kind::kKullbackLeiblerOfLogarithms : Kind::kKullbackLeibler;
  return composed_loss_of(self, target, {kind, 0, reduction},
                          [=](const Tensor& input, const variable_list& operands) {
                            return at::native::kl_div(input, operands[0], reduction, log_target);
                          });
}

}  // namespace alt::kernels
