// Binary cross entropy of probabilities: -(target * log(x) + (1 - target) * log(1 - x)), logarithms
// at least -100.
//
// Inputs and targets are checked to be within [0, 1] first; then one pass computes, weighs and, for
// a mean or a sum, adds up, in chunks of 16,384 elements whose sums are joined in order.
#include <ATen/ExpandUtils.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <array>
#include <atomic>
#include <limits>
#include <optional>

#include "kernels/cuda/loss_binary_cross_entropy.h"
#include "kernels/norm_lanes.h"
#include "kernels/operands.h"
#include "kernels/sum_of_tasks.h"
#include "ops/loss.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

constexpr int64_t kChunk = 16384;

// One operand of a pass over `shape`: broadcast, contiguous.
Tensor operand(const Tensor& value, at::IntArrayRef shape, at::ScalarType dtype) {
  TORCH_CHECK(value.scalar_type() == dtype, "Found dtype ", value.scalar_type(), " but expected ",
              dtype);
  return value.expand(shape).contiguous();
}

struct Operands {
  Tensor input, target, weight;

  Operands(const Tensor& self, const Tensor& target_, const OptionalTensor& weight_) {
    const auto shape = at::infer_size(self.sizes(), target_.sizes());
    input = operand(self, shape, self.scalar_type());
    target = operand(target_, shape, self.scalar_type());
    if (weight_.has_value() && weight_->defined())
      weight = operand(*weight_, shape, self.scalar_type());
  }
};

// The least and the greatest of the lanes are not enough: NaN must count as outside.
template <class T>
bool within_unit_interval(const T* x, int64_t n) {
  std::atomic<bool> within = true;
  parallel_for(0, n, kChunk, [&](int64_t begin, int64_t end) {
    bool all = true;
    for (int64_t i = begin; i < end; ++i) {
      const auto v = static_cast<opmath_t<T>>(x[i]);
      all &= (v >= 0) & (v <= 1);
    }
    if (!all) within = false;
  });
  return within;
}

}  // namespace

Tensor binary_cross_entropy(const Tensor& self, const Tensor& target, const OptionalTensor& weight,
                            int64_t reduction) {
  Tensor result;
  visit<FloatingAndHalfTypes>(self.scalar_type(), "binary_cross_entropy", [&]<class T>() {
    using A = opmath_t<T>;
    using V = Vec<A>;
    const Operands operands(self, target, weight);
    if (alt::cuda::on_gpu()) {
      const Tensor each = at::empty(operands.input.sizes(), self.options());
      cuda::binary_cross_entropy(operands.input, operands.target, operands.weight, each);
      result = reduction == at::Reduction::None   ? each
               : reduction == at::Reduction::Mean ? each.mean()
                                                  : each.sum();
      return;
    }
    const int64_t n = operands.input.numel(), chunks = (n + kChunk - 1) / kChunk;
    const T *x = operands.input.const_data_ptr<T>(), *t = operands.target.const_data_ptr<T>();
    const T* w = data_or_null<T>(operands.weight);
    TORCH_CHECK(within_unit_interval(x, n), "all elements of input should be between 0 and 1");
    TORCH_CHECK(within_unit_interval(t, n), "all elements of target should be between 0 and 1");

    const bool elementwise = reduction == at::Reduction::None;
    result = at::empty(elementwise ? operands.input.sizes() : at::IntArrayRef{}, self.options());
    T* out = result.mutable_data_ptr<T>();
    const double total = sum_of_tasks(chunks, [&](int64_t chunk) {
      const int64_t first = chunk * kChunk;
      return sum_lanes<A, 1>(std::min(kChunk, n - first), [&](int64_t i, auto lanes) {
        V value = ops::binary_cross_entropy(load_lanes(x + first + i, lanes),
                                            load_lanes(t + first + i, lanes));
        if (w) value = value * load_lanes(w + first + i, lanes);
        if (elementwise) store_lanes<T>(value, out + first + i, lanes);
        return std::array<V, 1>{value};
      })[0];
    });
    if (elementwise) return;
    *out =
        static_cast<T>(reduction == at::Reduction::Mean ? total / static_cast<double>(n) : total);
  });
  return result;
}

Tensor& binary_cross_entropy_out(const Tensor& self, const Tensor& target,
                                 const OptionalTensor& weight, int64_t reduction, Tensor& out) {
  return into(out, kernels::binary_cross_entropy(self, target, weight, reduction));
}

Tensor binary_cross_entropy_backward(const Tensor& grad_output, const Tensor& self,
                                     const Tensor& target, const OptionalTensor& weight,
                                     int64_t reduction) {
  Tensor grad_input;
  visit<FloatingAndHalfTypes>(self.scalar_type(), "binary_cross_entropy_backward", [&]<class T>() {
    using A = opmath_t<T>;
    using V = Vec<A>;
    const Operands operands(self, target, weight);
    const int64_t n = operands.input.numel();
    const Tensor grad = operand(grad_output, operands.input.sizes(), self.scalar_type());
    grad_input = at::empty(operands.input.sizes(), self.options());
    if (alt::cuda::on_gpu()) {
      return cuda::binary_cross_entropy_backward(
          grad, operands.input, operands.target, operands.weight,
          reduction == at::Reduction::Mean ? 1.0 / static_cast<double>(n) : 1.0, grad_input);
    }
    const T *x = operands.input.const_data_ptr<T>(), *t = operands.target.const_data_ptr<T>(),
            *g = grad.const_data_ptr<T>(), *w = data_or_null<T>(operands.weight);
    T* out = grad_input.mutable_data_ptr<T>();
    const V scale(reduction == at::Reduction::Mean ? static_cast<A>(1.0 / n) : A(1));
    parallel_for(0, n, kChunk, [&](int64_t begin, int64_t end) {
      for_lanes<A>(begin, end, [&](int64_t i, auto lanes) {
        V value =
            load_lanes(g + i, lanes) *
            ops::binary_cross_entropy_slope(load_lanes(x + i, lanes), load_lanes(t + i, lanes));
        if (w) value = value * load_lanes(w + i, lanes);
        store_lanes<T>(value * scale, out + i, lanes);
      });
    });
  });
  return grad_input;
}

Tensor& binary_cross_entropy_backward_out(const Tensor& grad_output, const Tensor& self,
                                          const Tensor& target, const OptionalTensor& weight,
                                          int64_t reduction, Tensor& grad_input) {
  return into(grad_input,
              kernels::binary_cross_entropy_backward(grad_output, self, target, weight, reduction));
}

}  // namespace alt::kernels
