// RMSprop in one pass over memory. PyTorch has no operator of it; altbackend/_optimizers.py calls
// it.
//
// Each line is one of the operators that stock's loop over parameters calls, with its rounding.
#include "kernels/optim_rmsprop.h"

#include "kernels/foreach.h"
#include "kernels/optim_rules.h"
#include "loops/math.h"
#include "ops/arithmetic.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

struct Rmsprop {
  static constexpr const char* kName = "rmsprop";
  RmspropOptions options;

  /// Of parameter, gradient, square_avg, and where there are such grad_avg and momentum's buffer.
  template <class T, size_t N, class Lanes>
  void step(const std::array<T*, N>& at, const Lanes& lanes) const {
    using V = Vec<T>;
    const auto c = [](double x) { return V(static_cast<T>(x)); };
    const V p = lanes.load(at[0]);
    V g = lanes.load(at[1]);
    if (options.maximize) g = -g;
    if (options.weight_decay != 0) g = fma(p, c(options.weight_decay), g);
    const V square = ops::addcmul(lanes.load(at[2]) * c(options.alpha), g, g, c(1 - options.alpha));
    lanes.store(at[2], square);
    V variance = square;
    if constexpr (N > 3) {
      if (options.centered) {
        const V mean = ops::lerp(lanes.load(at[3]), g, c(1 - options.alpha));
        lanes.store(at[3], mean);
        variance = ops::addcmul(square, mean, mean, c(-1));
      }
    }
    const V deviation = math::sqrt(variance) + c(options.eps);
    if constexpr (N > 3) {
      if (options.momentum > 0) {
        const V buffer =
            ops::addcdiv(lanes.load(at[N - 1]) * c(options.momentum), g, deviation, c(1));
        lanes.store(at[N - 1], buffer);
        lanes.store(at[0], fma(buffer, c(-options.lr), p));
        return;
      }
    }
    lanes.store(at[0], ops::addcdiv(p, g, deviation, c(-options.lr)));
  }
};

}  // namespace

bool rmsprop(at::TensorList params, at::TensorList grads, at::TensorList square_avgs,
             at::TensorList grad_avgs, at::TensorList momentum_buffers,
             const RmspropOptions& options) {
  std::vector<at::TensorList> lists{params, grads, square_avgs};
  if (options.centered) lists.push_back(grad_avgs);
  if (options.momentum > 0) lists.push_back(momentum_buffers);
  if (alt::cuda::on_gpu()) return false;
  for (const at::TensorList& list : lists) {
    if (list.size() != params.size()) return false;
    for (const at::Tensor& tensor : list) {
      if (!tensor.is_privateuseone() || !at::isFloatingType(tensor.scalar_type())) return false;
    }
  }
  std::vector<Aligned> parameters;
  for (size_t i = 0; i < params.size(); ++i) {
    std::vector<at::Tensor> tensors;
    for (const at::TensorList& list : lists) tensors.push_back(list[i]);
    parameters.emplace_back(std::move(tensors));
  }
  const std::vector<Rmsprop> rules(params.size(), Rmsprop{options});
  if (lists.size() == 3) {
    run_rules<3>(parameters, rules, /*grad_written=*/false);
  } else if (lists.size() == 4) {
    run_rules<4>(parameters, rules, /*grad_written=*/false);
  } else {
    run_rules<5>(parameters, rules, /*grad_written=*/false);
  }
  for (size_t k = 0; k < lists.size(); ++k) {
    if (k != 1) increment_versions(lists[k]);
  }
  return true;
}

}  // namespace alt::kernels
