// multi_margin_loss and multilabel_margin_loss: hinges between each target class and the others,
// row by row.
//
// Rows are (batch, classes) and independent; a task is some rows. Targets are checked before
// anything is written. Stock has float32 and float64 only, and so have we.
#include <ATen/core/Reduction.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/LossMulti.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <optional>
#include <tuple>
#include <vector>

#include "kernels/operands.h"
#include "loops/dtype.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Scalar;
using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

struct Rows {
  int64_t count = 0, classes = 0;

  template <class F>
  void for_each(F&& row) const {
    const int64_t grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, classes));
    parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) row(r);
    });
  }
};

Tensor as_long(const Tensor& target) {
  check_dtype(target, at::kLong);
  return target.contiguous();
}

// One loss a row, or their sum or mean; of an input without rows of its own a number.
template <class T>
Tensor reduced(const std::vector<double>& losses, const Tensor& self, bool has_rows,
               int64_t reduction) {
  const bool elementwise = reduction == at::Reduction::None && has_rows;
  const Tensor result = at::empty(
      elementwise ? at::IntArrayRef{static_cast<int64_t>(losses.size())} : at::IntArrayRef{},
      self.options());
  T* out = result.mutable_data_ptr<T>();
  if (elementwise) {
    for (size_t r = 0; r < losses.size(); ++r) out[r] = static_cast<T>(losses[r]);
    return result;
  }
  double sum = 0;
  for (const double loss : losses) sum += loss;
  *out = static_cast<T>(reduction == at::Reduction::Mean ? sum / static_cast<double>(losses.size())
                                                         : sum);
  return result;
}

// What a row's gradient is multiplied with.
template <class T>
T row_gradient(const Tensor& grad_output, int64_t row, int64_t reduction, const Rows& rows) {
  const T* g = grad_output.const_data_ptr<T>();
  const T scale =
      T(1) / static_cast<T>(rows.classes * (reduction == at::Reduction::Mean ? rows.count : 1));
  return scale * g[grad_output.numel() > 1 ? row : 0];
}

struct MultiMargin {
  Rows rows;
  Tensor input, target, weight;
  int64_t p;
  double margin;

  MultiMargin(const Tensor& self, const Tensor& target_, const Scalar& p_, const Scalar& margin_,
              const OptionalTensor& weight_)
      : p(p_.toLong()), margin(margin_.toDouble()) {
    at::native::multi_margin_loss_shape_check(rows.count, rows.classes, self.dim(), self, target_,
                                              weight_);
    TORCH_CHECK_VALUE(p == 1 || p == 2, "only p == 1 and p == 2 supported");
    input = self.contiguous();
    target = as_long(target_);
    if (weight_.has_value() && weight_->defined()) weight = weight_->contiguous();
    const int64_t* t = target.const_data_ptr<int64_t>();
    for (int64_t r = 0; r < rows.count; ++r) {
      TORCH_CHECK(t[r] >= 0 && t[r] < rows.classes, "target out of range");
    }
  }
};

}  // namespace

Tensor multi_margin_loss(const Tensor& self, const Tensor& target, const Scalar& p,
                         const Scalar& margin, const OptionalTensor& weight, int64_t reduction) {
  const MultiMargin problem(self, target, p, margin, weight);
  Tensor result;
  visit<FloatingTypes>(self.scalar_type(), "multi_margin_loss_cpu_kernel", [&]<class T>() {
    const T* x = problem.input.const_data_ptr<T>();
    const T* w = problem.weight.defined() ? problem.weight.const_data_ptr<T>() : nullptr;
    const int64_t *t = problem.target.const_data_ptr<int64_t>(), classes = problem.rows.classes;
    std::vector<double> losses(problem.rows.count);
    problem.rows.for_each([&](int64_t r) {
      const T* row = x + r * classes;
      double sum = 0;
      for (int64_t c = 0; c < classes; ++c) {
        const T z = static_cast<T>(problem.margin) - row[t[r]] + row[c];
        if (c != t[r] && z > 0) sum += problem.p == 1 ? z : z * z;
      }
      losses[r] = sum * (w ? w[t[r]] : T(1)) / static_cast<double>(classes);
    });
    result = reduced<T>(losses, self, target.dim() > 0, reduction);
  });
  return result;
}

Tensor& multi_margin_loss_out(const Tensor& self, const Tensor& target, const Scalar& p,
                              const Scalar& margin, const OptionalTensor& weight, int64_t reduction,
                              Tensor& out) {
  return into(out, kernels::multi_margin_loss(self, target, p, margin, weight, reduction));
}

Tensor multi_margin_loss_backward(const Tensor& grad_output, const Tensor& self,
                                  const Tensor& target, const Scalar& p, const Scalar& margin,
                                  const OptionalTensor& weight, int64_t reduction) {
  const MultiMargin problem(self, target, p, margin, weight);
  const Tensor grad = grad_output.contiguous();
  TORCH_CHECK(grad.numel() == 1 || grad.numel() == problem.rows.count,
              "inconsistent size for grad_output: ", grad.sizes());
  const Tensor grad_input = at::zeros(self.sizes(), self.options());
  visit<FloatingTypes>(self.scalar_type(), "multi_margin_loss_backward_cpu_kernel", [&]<class T>() {
    const T* x = problem.input.const_data_ptr<T>();
    const T* w = problem.weight.defined() ? problem.weight.const_data_ptr<T>() : nullptr;
    const int64_t *t = problem.target.const_data_ptr<int64_t>(), classes = problem.rows.classes;
    T* out = grad_input.mutable_data_ptr<T>();
    problem.rows.for_each([&](int64_t r) {
      const T* row = x + r * classes;
      T* to = out + r * classes;
      const T g = row_gradient<T>(grad, r, reduction, problem.rows) * (w ? w[t[r]] : T(1));
      T total = 0;
      for (int64_t c = 0; c < classes; ++c) {
        const T z = static_cast<T>(problem.margin) - row[t[r]] + row[c];
        if (c == t[r] || !(z > 0)) continue;
        to[c] = problem.p == 1 ? g : 2 * g * z;
        total += to[c];
      }
      to[t[r]] = -total;
    });
  });
  return grad_input;
}

Tensor& multi_margin_loss_backward_out(const Tensor& grad_output, const Tensor& self,
                                       const Tensor& target, const Scalar& p, const Scalar& margin,
                                       const OptionalTensor& weight, int64_t reduction,
                                       Tensor& grad_input) {
  return into(grad_input, kernels::multi_margin_loss_backward(grad_output, self, target, p, margin,
                                                              weight, reduction));
}

namespace {

// Targets of a row end at the first -1.
struct MultilabelMargin {
  Rows rows;
  Tensor input, target;

  MultilabelMargin(const Tensor& self, const Tensor& target_) {
    at::native::multilabel_margin_loss_shape_check(rows.count, rows.classes, self.dim(), self,
                                                   target_);
    input = self.contiguous();
    target = as_long(target_);
    const int64_t* t = target.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < target.numel(); ++i) {
      TORCH_CHECK(t[i] >= -1 && t[i] < rows.classes, "argument #2 'target' is out of range");
    }
  }

  template <class F>
  void for_each_target(int64_t row, F&& body) const {
    const int64_t* t = target.const_data_ptr<int64_t>() + row * rows.classes;
    for (int64_t k = 0; k < rows.classes && t[k] >= 0; ++k) body(t[k]);
  }
};

}  // namespace

std::tuple<Tensor, Tensor> multilabel_margin_loss_forward(const Tensor& self, const Tensor& target,
                                                          int64_t reduction) {
  const MultilabelMargin problem(self, target);
  const Tensor is_target = at::zeros(target.sizes(), self.options());
  Tensor result;
  visit<FloatingTypes>(self.scalar_type(), "multilabel_margin_loss_forward_out_frame",
                       [&]<class T>() {
                         const T* x = problem.input.const_data_ptr<T>();
                         T* marked = is_target.mutable_data_ptr<T>();
                         const int64_t classes = problem.rows.classes;
                         std::vector<double> losses(problem.rows.count);
                         problem.rows.for_each([&](int64_t r) {
                           const T* row = x + r * classes;
                           T* mark = marked + r * classes;
                           problem.for_each_target(r, [&](int64_t t) { mark[t] = T(1); });
                           double sum = 0;
                           problem.for_each_target(r, [&](int64_t t) {
                             for (int64_t c = 0; c < classes; ++c) {
                               const T z = T(1) - row[t] + row[c];
                               if (mark[c] == T(0) && z > 0) sum += z;
                             }
                           });
                           losses[r] = sum / static_cast<double>(classes);
                         });
                         result = reduced<T>(losses, self, self.dim() > 1, reduction);
                       });
  return {result, is_target};
}

std::tuple<Tensor&, Tensor&> multilabel_margin_loss_forward_out(const Tensor& self,
                                                                const Tensor& target,
                                                                int64_t reduction, Tensor& output,
                                                                Tensor& is_target) {
  const auto [loss, marked] = kernels::multilabel_margin_loss_forward(self, target, reduction);
  into(output, loss);
  into(is_target, marked);
  return {output, is_target};
}

Tensor multilabel_margin_loss_backward(const Tensor& grad_output, const Tensor& self,
                                       const Tensor& target, int64_t reduction,
                                       const Tensor& is_target) {
  const MultilabelMargin problem(self, target);
  TORCH_CHECK(is_target.sizes() == target.sizes(),
              "inconsistent is_target size: ", is_target.sizes());
  const Tensor grad = grad_output.contiguous(), marked = is_target.contiguous();
  TORCH_CHECK(grad.numel() == 1 || grad.numel() == problem.rows.count,
              "inconsistent size for grad_output: ", grad.sizes());
  const Tensor grad_input = at::zeros(self.sizes(), self.options());
  visit<FloatingTypes>(
      self.scalar_type(), "multilabel_margin_loss_backward_out_frame", [&]<class T>() {
        const T *x = problem.input.const_data_ptr<T>(), *marks = marked.const_data_ptr<T>();
        T* out = grad_input.mutable_data_ptr<T>();
        const int64_t classes = problem.rows.classes;
        problem.rows.for_each([&](int64_t r) {
          const T *row = x + r * classes, *mark = marks + r * classes;
          T* to = out + r * classes;
          const T g = row_gradient<T>(grad, r, reduction, problem.rows);
          problem.for_each_target(r, [&](int64_t t) {
            for (int64_t c = 0; c < classes; ++c) {
              if (mark[c] != T(0) || !(T(1) - row[t] + row[c] > 0)) continue;
              to[t] -= g;
              to[c] += g;
            }
          });
        });
      });
  return grad_input;
}

Tensor& multilabel_margin_loss_backward_out(const Tensor& grad_output, const Tensor& self,
                                            const Tensor& target, int64_t reduction,
                                            const Tensor& is_target, Tensor& grad_input) {
  return into(grad_input, kernels::multilabel_margin_loss_backward(grad_output, self, target,
                                                                   reduction, is_target));
}

}  // namespace alt::kernels
