// Losses over pairs of an input x and a target t, and their gradients in the same pass over memory:
// two operands read and the gradient written, where the loss, its reduction and the gradient as
// operators of their own are seven passes or more.
//
// A task is 16,384 pairs, in rows of 4096, whose lanes accumulate what double adds up; a gradient
// that the caches would not keep is written past them (row_writer.h).
#include <ATen/core/Reduction.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <array>
#include <limits>

#include "kernels/loss_pointwise.h"
#include "kernels/row_writer.h"
#include "kernels/sum_of_tasks.h"
#include "loops/exp.h"
#include "loops/log.h"
#include "loops/math.h"
#include "ops/arithmetic.h"
#include "ops/loss.h"
#include "ops/math.h"

namespace alt::kernels::pointwise_loss {
namespace {

constexpr int64_t kTask = 16384, kRow = 4096;

/// A pair's part of the loss, and its derivative by x.
template <class V>
struct Terms {
  V loss, slope;
};

struct Square {
  template <class V>
  Terms<V> operator()(V x, V t) const {
    return {ops::mse(x, t), ops::mse_backward(x, t, V(1), V(2))};
  }
};

struct Absolute {
  template <class V>
  Terms<V> operator()(V x, V t) const {
    return {math::abs(x - t), ops::sign(x - t)};
  }
};

template <class A>
struct SmoothL1 {
  Vec<A> beta;

  Terms<Vec<A>> operator()(Vec<A> x, Vec<A> t) const {
    return {ops::smooth_l1(x, t, beta), ops::smooth_l1_backward(x, t, Vec<A>(1), Vec<A>(1), beta)};
  }
};

template <class A>
struct Huber {
  Vec<A> delta;

  Terms<Vec<A>> operator()(Vec<A> x, Vec<A> t) const {
    return {ops::huber(x, t, delta), ops::huber_backward(x, t, Vec<A>(1), Vec<A>(1), delta)};
  }
};

/// At most 100 where both are in [0, 1], so an infinite sum says that one is not.
struct BinaryCrossEntropy {
  template <class A>
  Terms<Vec<A>> operator()(Vec<A> x, Vec<A> t) const {
    using V = Vec<A>;
    const V zero(0), one(1), infinite(std::numeric_limits<A>::infinity());
    const auto inside = (x >= zero) & (x <= one) & (t >= zero) & (t <= one);
    return {select(inside, ops::binary_cross_entropy(x, t), infinite),
            ops::binary_cross_entropy_slope(x, t)};
  }
};

/// (1 - t) x - (1 + (pos_weight - 1) t) log(sigmoid(x))
template <class A>
struct BinaryCrossEntropyWithLogits {
  Vec<A> pos_weight;

  Terms<Vec<A>> operator()(Vec<A> x, Vec<A> t) const {
    using V = Vec<A>;
    const V zero(0), one(1);
    const V small = math::exp_nonpositive(-math::abs(x)), share = one / (one + small);
    const V log_sigmoid = minimum(zero, x) - math::log1p_of_fraction(small);
    const V sigmoid = select(x < zero, small * share, share);
    const V weight = (pos_weight - one) * t + one;
    return {(one - t) * x - weight * log_sigmoid, weight * sigmoid - pos_weight * t};
  }
};

struct KullbackLeibler {
  template <class V>
  Terms<V> operator()(V x, V t) const {
    return {ops::xlogy(t, t) - t * x, -t};
  }
};

struct KullbackLeiblerOfLogarithms {
  template <class V>
  Terms<V> operator()(V x, V t) const {
    const V p = math::exp(t);
    return {p * (t - x), -p};
  }
};

/// The sum of the losses of n pairs; with slopes times `scale` in `gradient`, unless that is null.
template <class T, class Loss>
double pass(const Loss& loss, const T* x, const T* t, T* gradient, opmath_t<T> scale, int64_t n) {
  using A = opmath_t<T>;
  using V = Vec<A>;
  const auto terms = [&](int64_t i, auto count) {
    return loss(load_lanes(x + i, count), load_lanes(t + i, count));
  };
  const auto sum_of = [&](int64_t begin, int64_t count) {
    return sum_lanes<A, 1>(count, [&](int64_t i, auto lanes) {
      return std::array<V, 1>{terms(begin + i, lanes).loss};
    })[0];
  };
  const auto sum_and_write = [&](int64_t begin, int64_t count, const RowWriter<T>& writer) {
    V sum(A(0));
    writer.write(gradient + begin, count, [&](int64_t i, auto lanes) {
      const Terms<V> found = terms(begin + i, lanes);
      sum += first_lanes(found.loss, lanes);
      return found.slope * V(scale);
    });
    return static_cast<double>(reduce_add(sum));
  };
  return sum_of_tasks((n + kTask - 1) / kTask, [&](int64_t task) {
    const RowWriter<T> writer(n);
    const int64_t end = std::min(n, (task + 1) * kTask);
    double sum = 0;
    for (int64_t begin = task * kTask; begin < end; begin += kRow) {
      const int64_t count = std::min(kRow, end - begin);
      sum += gradient ? sum_and_write(begin, count, writer) : sum_of(begin, count);
    }
    return sum;
  });
}

/// call(loss) with the loss of this problem, in lanes of A.
template <class A, class F>
double with_loss(const Problem& problem, F&& call) {
  const Vec<A> parameter(static_cast<A>(problem.parameter));
  switch (problem.kind) {
    case Kind::kSquare:
      return call(Square{});
    case Kind::kAbsolute:
      return call(Absolute{});
    case Kind::kSmoothL1:
      return call(SmoothL1<A>{parameter});
    case Kind::kHuber:
      return call(Huber<A>{parameter});
    case Kind::kBinaryCrossEntropy:
      return call(BinaryCrossEntropy{});
    case Kind::kBinaryCrossEntropyWithLogits:
      return call(BinaryCrossEntropyWithLogits<A>{parameter});
    case Kind::kKullbackLeibler:
      return call(KullbackLeibler{});
    case Kind::kKullbackLeiblerOfLogarithms:
      return call(KullbackLeiblerOfLogarithms{});
  }
  TORCH_INTERNAL_ASSERT(false, "no such loss");
}

}  // namespace

Result compute(const at::Tensor& input, const at::Tensor& target, const Problem& problem,
               bool with_gradient) {
  const int64_t n = input.numel();
  const bool mean = problem.reduction == at::Reduction::Mean;
  Result result;
  result.loss = at::empty({}, input.options());
  if (with_gradient) result.gradient = at::empty_like(input);
  visit<FloatingAndHalfTypes>(input.scalar_type(), "loss", [&]<class T>() {
    using A = opmath_t<T>;
    T* const gradient = with_gradient ? result.gradient.mutable_data_ptr<T>() : nullptr;
    const A scale = mean ? static_cast<A>(1.0 / static_cast<double>(n)) : A(1);
    result.sum = with_loss<A>(problem, [&](const auto& loss) {
      return pass<T>(loss, input.const_data_ptr<T>(), target.const_data_ptr<T>(), gradient, scale,
                     n);
    });
    *result.loss.mutable_data_ptr<T>() =
        static_cast<T>(mean ? result.sum / static_cast<double>(n) : result.sum);
  });
  return result;
}

}  // namespace alt::kernels::pointwise_loss
