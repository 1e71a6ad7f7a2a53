// Negative log likelihood: -weight[target] * input[target], over rows (nll_loss) and over images
// (nll_loss2d).
//
// Both are (batch, classes, positions), positions being 1 for rows. All targets are checked before
// anything is written. Targets pick single elements, so there is nothing to vectorise; a sum is
// kept for each task of 4,096 targets and tasks are added in order, in double.
#include <ATen/core/Reduction.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <limits>
#include <optional>
#include <tuple>
#include <vector>

#include "kernels/cuda/loss_nll.h"
#include "kernels/loss_targets.h"
#include "kernels/norm_lanes.h"
#include "kernels/operands.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

// `fill(data)` on contiguous memory that ends up in `out`.
template <class T, class F>
void write(const Tensor& out, F&& fill) {
  write_dense(out, [&](const Tensor& memory) { fill(memory.mutable_data_ptr<T>()); });
}

void forward(const Tensor& self, const Tensor& target, const OptionalTensor& weight_opt,
             const NllProblem& problem, const Tensor& output, const Tensor& total_weight) {
  visit<FloatingAndHalfTypes>(self.scalar_type(), "nll_loss_out_frame", [&]<class T>() {
    using A = opmath_t<T>;
    const Tensor weight = checked_weight(weight_opt, self);
    if (alt::cuda::on_gpu()) {
      return cuda::nll_forward(self, plain_targets(target), weight, problem, output, total_weight);
    }
    const Targets targets(target, problem.classes, problem.ignore_index);
    const Tensor input = self.contiguous();
    const T *x = input.const_data_ptr<T>(), *w = data_or_null<T>(weight);
    const auto weight_of = [&](int64_t i) { return w ? static_cast<A>(w[targets[i]]) : A(1); };
    const auto loss_of = [&](int64_t i, auto&& at) {
      return -static_cast<A>(x[at(targets[i])]) * weight_of(i);
    };

    if (problem.elementwise) {
      write<T>(output, [&](T* out) {
        parallel_for(0, targets.size(), kTargetsPerTask, [&](int64_t begin, int64_t end) {
          problem.for_each(begin, end, [&](int64_t i, auto&& at) {
            out[i] = targets.ignored(i) ? T(0) : static_cast<T>(loss_of(i, at));
          });
        });
      });
      total_weight.zero_();
      return;
    }
    const int64_t tasks = (targets.size() + kTargetsPerTask - 1) / kTargetsPerTask;
    std::vector<double> losses(tasks), weights(tasks);
    parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        double loss = 0, weight = 0;
        const int64_t last = std::min((task + 1) * kTargetsPerTask, targets.size());
        problem.for_each(task * kTargetsPerTask, last, [&](int64_t i, auto&& at) {
          if (targets.ignored(i)) return;
          loss += static_cast<double>(loss_of(i, at));
          weight += static_cast<double>(weight_of(i));
        });
        losses[task] = loss;
        weights[task] = weight;
      }
    });
    double loss = 0, total = 0;
    for (int64_t task = 0; task < tasks; ++task) {
      loss += losses[task];
      total += weights[task];
    }
    if (problem.mean) loss /= total;  // no targets: 0 / 0, NaN as PyTorch has it
    *output.mutable_data_ptr<T>() = static_cast<T>(loss);
    *total_weight.mutable_data_ptr<T>() = static_cast<T>(total);
  });
}

void backward(const Tensor& grad_output, const Tensor& self, const Tensor& target,
              const OptionalTensor& weight_opt, const NllProblem& problem,
              const Tensor& total_weight, const Tensor& grad_input) {
  visit<FloatingAndHalfTypes>(self.scalar_type(), "nll_loss_backward_out_frame", [&]<class T>() {
    using A = opmath_t<T>;
    const Tensor weight = checked_weight(weight_opt, self);
    if (alt::cuda::on_gpu()) {
      return cuda::nll_backward(grad_output, plain_targets(target), weight, problem, total_weight,
                                grad_input);
    }
    const Targets targets(target, problem.classes, problem.ignore_index);
    const bool elementwise = problem.elementwise;
    const Tensor grad = grad_output.contiguous();
    const T *g = grad.const_data_ptr<T>(), *w = data_or_null<T>(weight);
    A shared = 0;
    if (!elementwise && targets.size() > 0) {
      shared = static_cast<A>(*g);
      if (problem.mean) shared /= static_cast<A>(*total_weight.const_data_ptr<T>());
    }
    grad_input.zero_();
    write<T>(grad_input, [&](T* out) {
      if (!grad_input.is_contiguous()) std::fill_n(out, grad_input.numel(), T(0));
      parallel_for(0, targets.size(), kTargetsPerTask, [&](int64_t begin, int64_t end) {
        problem.for_each(begin, end, [&](int64_t i, auto&& at) {
          if (targets.ignored(i)) return;
          const A factor = w ? static_cast<A>(w[targets[i]]) : A(1);
          out[at(targets[i])] =
              static_cast<T>(-factor * (elementwise ? static_cast<A>(g[i]) : shared));
        });
      });
    });
  });
}

void check_images(const Tensor& input, const Tensor& target, const OptionalTensor& weight) {
  TORCH_CHECK(
      target.dim() == 3,
      "only batches of spatial targets supported (3D tensors) but got targets of dimension: ",
      target.dim());
  TORCH_CHECK(input.dim() == 4,
              "only batches of spatial inputs supported (4D tensors), but got input of dimension: ",
              input.dim());
  TORCH_CHECK(!weight.has_value() || !weight->defined() || weight->numel() == input.size(1),
              "weight tensor should be defined either for all or no classes");
  TORCH_CHECK(input.size(0) == target.size(0) && input.size(2) == target.size(1) &&
                  input.size(3) == target.size(2),
              "size mismatch (got input: ", input.sizes(), " , target: ", target.sizes());
  check_target_type(target);
}

NllProblem rows(const Tensor& input, int64_t reduction, int64_t ignore_index) {
  return {input.size(-1), 1, ignore_index, reduction == at::Reduction::Mean,
          reduction == at::Reduction::None && input.dim() == 2};
}

NllProblem images(const Tensor& input, int64_t reduction, int64_t ignore_index) {
  return {input.size(1), input.size(2) * input.size(3), ignore_index,
          reduction == at::Reduction::Mean, reduction == at::Reduction::None};
}

}  // namespace

void nll_loss_forward(const Tensor& self, const Tensor& target, at::OptionalTensorRef weight,
                      int64_t reduction, int64_t ignore_index, const Tensor& output,
                      const Tensor& total_weight) {
  check_target_type(target);
  forward(self, target, weight.getTensorRef(), rows(self, reduction, ignore_index), output,
          total_weight);
}

void nll_loss_backward(const Tensor& grad_output, const Tensor& self, const Tensor& target,
                       at::OptionalTensorRef weight, int64_t reduction, int64_t ignore_index,
                       const Tensor& total_weight, const Tensor& grad_input) {
  check_target_type(target);
  backward(grad_output, self, target, weight.getTensorRef(), rows(self, reduction, ignore_index),
           total_weight, grad_input);
}

std::tuple<Tensor&, Tensor&> nll_loss2d_forward_out(const Tensor& self, const Tensor& target,
                                                    const OptionalTensor& weight, int64_t reduction,
                                                    int64_t ignore_index, Tensor& output,
                                                    Tensor& total_weight) {
  check_images(self, target, weight);
  const NllProblem problem = images(self, reduction, ignore_index);
  output.resize_(problem.elementwise ? target.sizes() : at::IntArrayRef{});
  total_weight.resize_({});
  forward(self, target, weight, problem, output, total_weight);
  return {output, total_weight};
}

std::tuple<Tensor, Tensor> nll_loss2d_forward(const Tensor& self, const Tensor& target,
                                              const OptionalTensor& weight, int64_t reduction,
                                              int64_t ignore_index) {
  Tensor output = at::empty({0}, self.options()), total_weight = at::empty({0}, self.options());
  kernels::nll_loss2d_forward_out(self, target, weight, reduction, ignore_index, output,
                                  total_weight);
  return {output, total_weight};
}

Tensor& nll_loss2d_backward_out(const Tensor& grad_output, const Tensor& self, const Tensor& target,
                                const OptionalTensor& weight, int64_t reduction,
                                int64_t ignore_index, const Tensor& total_weight,
                                Tensor& grad_input) {
  check_images(self, target, weight);
  TORCH_CHECK(total_weight.numel() == 1,
              "expected total_weight to be a single element tensor, got: ", total_weight.sizes(),
              " (", total_weight.numel(), " elements)");
  const NllProblem problem = images(self, reduction, ignore_index);
  TORCH_CHECK(
      problem.elementwise ? grad_output.sizes() == target.sizes() : grad_output.numel() == 1,
      "Expected a grad_output of the loss's shape, but got: ", grad_output.sizes());
  grad_input.resize_(self.sizes());
  backward(grad_output, self, target, weight, problem, total_weight, grad_input);
  return grad_input;
}

Tensor nll_loss2d_backward(const Tensor& grad_output, const Tensor& self, const Tensor& target,
                           const OptionalTensor& weight, int64_t reduction, int64_t ignore_index,
                           const Tensor& total_weight) {
  Tensor grad_input = at::empty({0}, self.options());
  kernels::nll_loss2d_backward_out(grad_output, self, target, weight, reduction, ignore_index,
                                   total_weight, grad_input);
  return grad_input;
}

}  // namespace alt::kernels
