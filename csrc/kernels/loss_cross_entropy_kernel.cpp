// Cross entropy of class indices, and its gradient in the same pass over memory.
//
//   loss(i)        = weight(target) * (log(sum) - (1 - s) * (x(target) - max) - s * mean(x - max))
//   gradient(i, c) = weight(target) * (exp(x(c) - max) / sum - (1 - s) * [c is target] - s /
//   classes)
//
// with s the label smoothing, sum that of exp(x - max), all over the classes of target i; for a
// mean both are divided by the sum of the targets' weights, which is known before. PyTorch composes
// this of log_softmax and nll_loss: 6 passes of memory, where there are 2 here, input read and
// gradient written. What the loss's own gradient is can only scale it.
//
// Classes that are adjacent are a row: maximum, exponentials and their sum, gradient are three
// passes over it, and it stays in cache. Otherwise lanes run across positions, in blocks of 128
// columns that are as many passes down the classes, as softmax.cpp does. Exponentials wait for
// their sum in memory of the thread. A task is some rows or a block of columns; sums of tasks are
// added in order, in double.
#include <ATen/core/Reduction.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/loss_cross_entropy.h"
#include "kernels/loss_targets.h"
#include "kernels/row_writer.h"
#include "kernels/scratch.h"
#include "kernels/softmax_lanes.h"
#include "kernels/sum_of_tasks.h"
#include "loops/exp.h"
#include "runtime/thread_pool.h"

namespace alt::kernels::cross_entropy {
namespace {

constexpr int64_t kColumns = kSoftmaxColumns;
constexpr int64_t kElementsPerTask = 16384;

/// What each exponential becomes: times `scale`, less `shift`.
template <class V>
struct Finish {
  V scale, shift;
};

template <class T>
class Kernel {
 public:
  using A = opmath_t<T>;
  using V = Vec<A>;

  /// losses: of each target, or null. gradient: of the input, or null.
  Kernel(const T* x, const Targets& targets, const T* weight, const Problem& problem, T* losses,
         T* gradient)
      : x_(x),
        targets_(targets),
        weight_(weight),
        problem_(problem),
        losses_(losses),
        gradient_(gradient),
        smoothing_(static_cast<A>(problem.label_smoothing)),
        total_(problem.reduction == at::Reduction::Mean ? total_weight() : 1) {}

  /// The loss of all targets.
  double run() {
    const double sum = problem_.positions == 1 ? run_rows() : run_columns();
    return sum / total_;  // no targets: 0 / 0, NaN as PyTorch has it
  }

 private:
  int64_t elements() const { return problem_.images * problem_.classes * problem_.positions; }
  A weight_of(int64_t i) const { return weight_ ? static_cast<A>(weight_[targets_[i]]) : A(1); }

  double total_weight() const {
    const int64_t tasks = (targets_.size() + kTargetsPerTask - 1) / kTargetsPerTask;
    return sum_of_tasks(tasks, [&](int64_t task) {
      const int64_t end = std::min((task + 1) * kTargetsPerTask, targets_.size());
      double sum = 0;
      for (int64_t i = task * kTargetsPerTask; i < end; ++i) {
        if (!targets_.ignored(i)) sum += static_cast<double>(weight_of(i));
      }
      return sum;
    });
  }

  /// The loss of target i, whose input less the maximum is `x`.
  double loss_of(int64_t i, A log_sum, A x, A mean) {
    const A loss = weight_of(i) * (log_sum - (A(1) - smoothing_) * x - smoothing_ * mean);
    if (losses_) losses_[i] = static_cast<T>(loss);
    return static_cast<double>(loss);
  }
  double ignore(int64_t i) {
    if (losses_) losses_[i] = T(0);
    return 0;
  }

  Finish<A> finish_of(int64_t i, double sum) const {
    const double factor = static_cast<double>(weight_of(i)) / total_;
    return {static_cast<A>(factor / sum),
            static_cast<A>(factor * problem_.label_smoothing / problem_.classes)};
  }

  // -- Rows ---------------------------------------------------------------------------------------

  double run_rows() {
    const int64_t rows = std::max<int64_t>(1, kElementsPerTask / problem_.classes);
    const double sum = sum_of_tasks((problem_.images + rows - 1) / rows, [&](int64_t task) {
      const RowWriter<T> writer(elements());
      const Scratch<A, Kernel> exponentials(gradient_ ? problem_.classes : 0);
      const int64_t end = std::min((task + 1) * rows, problem_.images);
      double sum = 0;
      for (int64_t i = task * rows; i < end; ++i) {
        sum +=
            gradient_ ? row<true>(writer, i, exponentials.data()) : row<false>(writer, i, nullptr);
      }
      return sum;
    });
    return sum;
  }

  template <bool with_gradient>
  double row(const RowWriter<T>& writer, int64_t i, A* exponentials) {
    const int64_t n = problem_.classes;
    if (targets_.ignored(i)) {
      if (with_gradient) std::fill_n(gradient_ + i * n, n, T(0));
      return ignore(i);
    }
    const T* const x = x_ + i * n;
    const A max = largest_of_row(x, n);
    const double sum = sum_lanes<A, 1>(n, [&](int64_t at, auto count) {
      const V e = math::exp_below(load_lanes(x + at, count), V(max));
      if constexpr (with_gradient) store_lanes<A>(e, exponentials + at, count);
      return std::array<V, 1>{e};
    })[0];
    if constexpr (with_gradient) {
      A& target = exponentials[targets_[i]];
      target = static_cast<A>(static_cast<double>(target) - (1 - problem_.label_smoothing) * sum);
      const Finish<A> finish = finish_of(i, sum);
      writer.write(gradient_ + i * n, n, [&](int64_t at, auto count) {
        return load_lanes(exponentials + at, count) * V(finish.scale) - V(finish.shift);
      });
    }
    const A mean = smoothing_ == A(0) ? A(0) : static_cast<A>(sum_of(x) / n) - max;
    return loss_of(i, static_cast<A>(std::log(sum)), static_cast<A>(x[targets_[i]]) - max, mean);
  }

  double sum_of(const T* x) const {
    return sum_lanes<A, 1>(problem_.classes, [&](int64_t at, auto count) {
      return std::array<V, 1>{load_lanes(x + at, count)};
    })[0];
  }

  // -- Columns ------------------------------------------------------------------------------------

  double run_columns() {
    const int64_t blocks = (problem_.positions + kColumns - 1) / kColumns;
    const double sum = sum_of_tasks(problem_.images * blocks, [&](int64_t task) {
      const RowWriter<T> writer(elements());
      const Scratch<A, Kernel> exponentials(gradient_ ? problem_.classes * kColumns : 0);
      const int64_t image = task / blocks, first = task % blocks * kColumns;
      const int64_t width = std::min(kColumns, problem_.positions - first);
      const double sum = gradient_ ? columns<true>(writer, image, first, width, exponentials.data())
                                   : columns<false>(writer, image, first, width, nullptr);
      return sum;
    });
    return sum;
  }

  template <bool with_gradient>
  double columns(const RowWriter<T>& writer, int64_t image, int64_t first, int64_t width,
                 A* exponentials) {
    const int64_t stride = problem_.positions, classes = problem_.classes;
    const int64_t offset = image * classes * stride + first;
    const T* const x = x_ + offset;
    alignas(64) A max[kColumns], sum[kColumns], mean[kColumns], logs[kColumns];
    std::fill_n(max, width, -std::numeric_limits<A>::infinity());
    for (A* const sums : {sum, mean}) std::fill_n(sums, width, A(0));

    for (int64_t c = 0; c < classes; ++c) {
      for_lanes<A>(0, width, [&](int64_t i, auto count) {
        const V value = load_lanes(x + c * stride + i, count);
        store_lanes<A>(larger(value, load_lanes(max + i, count)), max + i, count);
      });
    }
    for (int64_t c = 0; c < classes; ++c) {
      for_lanes<A>(0, width, [&](int64_t i, auto count) {
        const V value = load_lanes(x + c * stride + i, count), m = load_lanes(max + i, count);
        const V e = math::exp_below(value, m);
        if constexpr (with_gradient) store_lanes<A>(e, exponentials + c * kColumns + i, count);
        store_lanes<A>(load_lanes(sum + i, count) + e, sum + i, count);
        if (smoothing_ != A(0)) {
          store_lanes<A>(load_lanes(mean + i, count) + (value - m), mean + i, count);
        }
      });
    }
    for_lanes<A>(0, width, [&](int64_t i, auto count) {
      store_lanes<A>(math::log(load_lanes(sum + i, count)), logs + i, count);
    });

    double loss = 0;
    A scale[kColumns], shift[kColumns];
    for (int64_t i = 0; i < width; ++i) {
      const int64_t at = image * stride + first + i;
      if (targets_.ignored(at)) {
        loss += ignore(at);
        scale[i] = shift[i] = A(0);
        for (int64_t c = 0; with_gradient && c < classes; ++c) exponentials[c * kColumns + i] = 0;
        continue;
      }
      const A of_target = static_cast<A>(x[targets_[at] * stride + i]) - max[i];
      loss += loss_of(at, logs[i], of_target, mean[i] / static_cast<A>(classes));
      if constexpr (with_gradient) {
        exponentials[targets_[at] * kColumns + i] -= (A(1) - smoothing_) * sum[i];
        const Finish<A> finish = finish_of(at, sum[i]);
        scale[i] = finish.scale;
        shift[i] = finish.shift;
      }
    }
    if constexpr (with_gradient) {
      for (int64_t c = 0; c < classes; ++c) {
        writer.write(gradient_ + offset + c * stride, width, [&](int64_t i, auto count) {
          const V e = load_lanes(exponentials + c * kColumns + i, count);
          return e * load_lanes(scale + i, count) - load_lanes(shift + i, count);
        });
      }
    }
    return loss;
  }

  const T* x_;
  const Targets& targets_;
  const T* weight_;
  const Problem& problem_;
  T* losses_;
  T* gradient_;
  A smoothing_;
  double total_;
};

}  // namespace

Result compute(const at::Tensor& input, const at::Tensor& target, const at::Tensor& weight,
               const Problem& problem, bool with_gradient) {
  const Targets targets(target, problem.classes, problem.ignore_index);
  const at::Tensor w = weight.defined() ? weight.contiguous() : weight;
  const bool elementwise = problem.reduction == at::Reduction::None;
  Result result;
  result.loss = at::empty(elementwise ? target.sizes() : at::IntArrayRef{}, input.options());
  if (with_gradient) result.gradient = at::empty(input.sizes(), input.options());
  visit<FloatingAndHalfTypes>(input.scalar_type(), "cross_entropy_loss", [&]<class T>() {
    T* const loss = result.loss.mutable_data_ptr<T>();
    T* const gradient = with_gradient ? result.gradient.mutable_data_ptr<T>() : nullptr;
    Kernel<T> kernel(input.const_data_ptr<T>(), targets, data_or_null<T>(w), problem,
                     elementwise ? loss : nullptr, gradient);
    const double all = kernel.run();
    if (!elementwise) *loss = static_cast<T>(all);
  });
  return result;
}

}  // namespace alt::kernels::cross_entropy
