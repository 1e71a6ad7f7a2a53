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

#include <optional>
#include <vector>

#include "dispatch/autocast.h"
#include "kernels/autograd.h"
#include "kernels/autograd_nodes.h"
#include "kernels/loss_cross_entropy.h"
#include "kernels/loss_node.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

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

template <LossName name>
void record(const Call& call, const cross_entropy::Result& result) {
  Call kept = call;  // without its tensors: the node keeps those
  kept.input = kept.target = kept.weight = Tensor();
  record_loss<name>(result.loss, call.input, {call.target, call.weight}, result.gradient,
                    LossNode::Unchanged::kNothing,
                    [kept](const Tensor& input, const variable_list& operands) {
                      Call again = kept;
                      again.input = input;
                      again.target = operands[0];
                      again.weight = operands[1];
                      return composite(again);
                    });
}

/// What PyTorch's composition ends with names the node.
void record(const Call& call, const cross_entropy::Result& result) {
  const int64_t dims = call.input.dim();
  if (call.label_smoothing > 0) return record<"AddBackward0">(call, result);
  if (dims <= 2) return record<"NllLossBackward0">(call, result);
  if (call.reduction == at::Reduction::None && dims != 4) {
    return record<"ViewBackward0">(call, result);
  }
  record<"NllLoss2DBackward0">(call, result);
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

}  // namespace

std::vector<NodeName> cross_entropy_nodes() {
  return names_of_loss_nodes<"AddBackward0", "NllLossBackward0", "ViewBackward0",
                             "NllLoss2DBackward0">();
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
