// cross_entropy_loss, which PyTorch composes of log_softmax and nll_loss: of class indices it is
// one operator here.
//
// The gradient is computed with the loss (loss_cross_entropy_kernel.cpp) and kept for backward,
// which scales it by the loss's own gradient where that is not 1. It takes the place of
// log_softmax's result, which is what PyTorch keeps. Float16 is composed, as a gradient that is
// rounded before it is scaled would lose what a loss scale is for; so are probabilities, weights
// with label smoothing, and whatever is an error.
#include <ATen/core/Reduction.h>
#include <ATen/ops/cross_entropy_loss_native.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <vector>

#include "dispatch/autocast.h"
#include "kernels/autograd.h"
#include "kernels/autograd_nodes.h"
#include "kernels/loss_cross_entropy.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using torch::autograd::Node;
using torch::autograd::SavedVariable;

struct Call {
  Tensor input, target, weight;
  int64_t reduction, ignore_index;
  double label_smoothing;
};

Tensor composite(const Call& call) {
  const OptionalTensor weight = call.weight.defined() ? OptionalTensor(call.weight) : std::nullopt;
  return at::native::cross_entropy_loss_symint(call.input, call.target, weight, call.reduction,
                                               call.ignore_index, call.label_smoothing);
}

/// As the kernel reads memory: the classes of rows are adjacent, those of images a plane apart.
/// Images that lie in memory with adjacent classes are rows.
struct Layout {
  Tensor input;
  bool classes_last;
  cross_entropy::Problem problem;

  explicit Layout(const Call& call)
      : input(call.input),
        classes_last(call.input.dim() > 2 && call.input.movedim(1, -1).is_contiguous()),
        problem{.images = call.target.numel(),
                .classes = call.input.size(call.input.dim() == 1 ? 0 : 1),
                .positions = 1,
                .reduction = call.reduction,
                .ignore_index = call.ignore_index,
                .label_smoothing = call.label_smoothing} {
    if (classes_last) {
      input = input.movedim(1, -1);
    } else if (input.dim() > 2) {
      problem.images = input.size(0);
      problem.positions = call.target.numel() / problem.images;
    }
    input = input.contiguous();
  }

  /// In the order of the call's dimensions.
  Tensor restored(const Tensor& gradient) const {
    return classes_last && gradient.defined() ? gradient.movedim(-1, 1) : gradient;
  }
};

/// Whether the kernel takes this call, which is then without error but for its targets.
bool is_served(const Call& call, bool with_gradient) {
  std::vector<Tensor> operands{call.input};
  if (call.weight.defined()) operands.push_back(call.weight);
  if (!are_plain(operands) || call.input.dim() == 0 || call.input.numel() == 0) return false;
  const int64_t classes = call.input.size(call.input.dim() == 1 ? 0 : 1);
  std::vector<int64_t> places = call.input.sizes().vec();
  places.erase(places.begin() + (call.input.dim() == 1 ? 0 : 1));
  const Tensor& target = call.target;
  const bool targets_fit = target.scalar_type() == at::kLong &&
                           target.device() == call.input.device() &&
                           target.layout() == at::kStrided && target.sizes().equals(places) &&
                           !at::isTensorSubclassLike(target) && !is_lazy(target);
  const bool weight_fits =
      !call.weight.defined() || (call.weight.dim() == 1 && call.weight.size(0) == classes &&
                                 !call.weight.requires_grad() && call.label_smoothing == 0);
  const bool loses_scale = with_gradient && call.input.scalar_type() == at::kHalf;
  return targets_fit && weight_fits && !loses_scale && call.label_smoothing >= 0 &&
         call.label_smoothing <= 1 &&
         (call.reduction == at::Reduction::None || call.reduction == at::Reduction::Mean ||
          call.reduction == at::Reduction::Sum);
}

/// What PyTorch's composition ends with, which gives the node its name.
enum class Last { kNllLoss, kNllLoss2d, kView, kAdd };

Last last_of(const Call& call) {
  const int64_t dims = call.input.dim();
  if (call.label_smoothing > 0) return Last::kAdd;
  if (dims <= 2) return Last::kNllLoss;
  return call.reduction == at::Reduction::None && dims != 4 ? Last::kView : Last::kNllLoss2d;
}

class CrossEntropyNode : public Node {
 public:
  void save(const Call& call, const Tensor& gradient) {
    hooked_ = hooks_take_saved();
    input_ = SavedVariable(call.input, /*is_output=*/false);
    target_ = SavedVariable(call.target, false);
    weight_ = SavedVariable(call.weight, false);
    gradient_ = SavedVariable(gradient, false);
    call_ = {{}, {}, {}, call.reduction, call.ignore_index, call.label_smoothing};
  }

  variable_list apply(variable_list&& grads) override {
    const std::lock_guard lock(mutex_);
    if (!grads[0].defined() || !task_should_compute_output(0)) return {Tensor()};
    if (wants_operators(grads)) return gradients_of_operators(grads);
    const Tensor gradient = gradient_.unpack();
    const bool ours = may_overwrite_saved(hooked_);
    if (grads[0].dim() == 0 && grads[0].item<double>() == 1) {
      return {ours ? gradient : gradient.clone()};
    }
    const Tensor factor = grads[0].dim() == 0 ? grads[0] : grads[0].unsqueeze(1);
    return {ours ? gradient.mul_(factor) : gradient.mul(factor)};
  }

  void release_variables() override {
    const std::lock_guard lock(mutex_);
    for (SavedVariable* saved : {&input_, &target_, &weight_, &gradient_}) saved->reset_data();
  }

 private:
  variable_list gradients_of_operators(const variable_list& grads) {
    Call call = call_;
    call.target = target_.unpack();
    call.weight = weight_.unpack();
    return gradients_through({input_.unpack()}, {true}, grads, [&](const variable_list& inputs) {
      call.input = inputs[0];
      return variable_list{composite(call)};
    });
  }

  Call call_;  // its tensors are the saved ones
  SavedVariable input_, target_, weight_, gradient_;
  bool hooked_ = false;
};

template <Last last>
class CrossEntropyBackward final : public CrossEntropyNode {
 public:
  static constexpr const char* kName = last == Last::kNllLoss     ? "NllLossBackward0"
                                       : last == Last::kNllLoss2d ? "NllLoss2DBackward0"
                                       : last == Last::kView      ? "ViewBackward0"
                                                                  : "AddBackward0";
  std::string name() const override { return kName; }
};

/// A node that PyTorch's pointer of this version holds: intrusive from 2.13 on.
template <class T>
auto make_node() {
  using Pointer = std::decay_t<decltype(std::declval<Node&>().getptr())>;
  if constexpr (std::is_same_v<Pointer, std::shared_ptr<Node>>) {
    return std::make_shared<T>();
  } else {
    return c10::make_intrusive<T>();
  }
}

template <Last last>
void record(const Call& call, const cross_entropy::Result& result) {
  const auto node = make_node<CrossEntropyBackward<last>>();
  node->set_next_edges(torch::autograd::collect_next_edges(call.input));
  node->save(call, result.gradient);
  torch::autograd::set_history(result.loss, node);
}

void record(const Call& call, const cross_entropy::Result& result) {
  switch (last_of(call)) {
    case Last::kNllLoss:
      return record<Last::kNllLoss>(call, result);
    case Last::kNllLoss2d:
      return record<Last::kNllLoss2d>(call, result);
    case Last::kView:
      return record<Last::kView>(call, result);
    case Last::kAdd:
      return record<Last::kAdd>(call, result);
  }
}

Tensor computed(const Call& call, bool with_gradient) {
  cross_entropy::Result result;
  {
    const at::AutoDispatchBelowADInplaceOrView below;
    const Layout layout(call);
    result = cross_entropy::compute(layout.input, call.target.contiguous(), call.weight,
                                    layout.problem, with_gradient);
    result.gradient = layout.restored(result.gradient);
  }
  if (with_gradient) record(call, result);
  return result.loss;
}

template <Last last>
NodeName name_of_node() {
  return {typeid(CrossEntropyBackward<last>), CrossEntropyBackward<last>::kName};
}

}  // namespace

std::vector<NodeName> cross_entropy_nodes() {
  return {name_of_node<Last::kNllLoss>(), name_of_node<Last::kNllLoss2d>(),
          name_of_node<Last::kView>(), name_of_node<Last::kAdd>()};
}

Tensor cross_entropy_loss(const Tensor& self, const Tensor& target, const OptionalTensor& weight,
                          int64_t reduction, int64_t ignore_index, double label_smoothing) {
  const Call call{self.is_privateuseone() ? in_autocast_float32(self) : self,
                  target,
                  weight.value_or(Tensor()),
                  reduction,
                  ignore_index,
                  label_smoothing};
  const bool with_gradient = is_differentiated({call.input});
  return is_served(call, with_gradient) ? computed(call, with_gradient) : composite(call);
}

}  // namespace alt::kernels
