// logsumexp: log(sum(exp(x))) over some dimensions, in one pass over memory where PyTorch's
// operators (amax, sub, exp, sum) take four.
//
// A reduction (loops/reduce.h) of pairs: the largest x so far, and the sum of exp(x - largest). An
// element costs one exponential. In a run it is of the distance from the largest of the run, which
// is found first, in the first-level cache; down the columns of the distance from the largest so
// far, which scales the sum where the element is larger and is added to it where it is not.
#include <ATen/core/Tensor.h>
#include <ATen/native/ReduceOpsUtils.h>
#include <ATen/ops/logsumexp_compositeexplicitautogradnonfunctional_dispatch.h>

#include <array>
#include <cmath>
#include <limits>

#include "kernels/softmax_lanes.h"
#include "loops/exp.h"
#include "loops/reduce.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

/// Of numbers or of lanes. What equals the largest counts 1, infinities too.
template <class V>
struct Part {
  V largest, sum;
};

template <class V>
Part<V> joined(Part<V> a, Part<V> b) {
  const V apart = select(a.largest == b.largest, V(0), -math::abs(a.largest - b.largest));
  const V scale = math::exp_nonpositive(apart);
  const auto first = a.largest >= b.largest;
  return {select(first, a.largest, b.largest),
          select(first, a.sum + b.sum * scale, a.sum * scale + b.sum)};
}

template <class T>
struct LogSumExp {
  using V = Vec<T>;
  using Input = T;
  using Acc = Part<T>;

  Acc identity() const { return {-std::numeric_limits<T>::infinity(), T(0)}; }
  Acc step(Acc acc, T x, int64_t) const { return joined<T>(acc, {x, T(1)}); }
  Acc combine(Acc a, Acc b) const { return joined(a, b); }
  T project(Acc acc, int64_t) const { return std::log(acc.sum) + acc.largest; }

  Acc block(const T* x, int64_t n, int64_t) const {
    const V largest(largest_of_row(x, n));
    const auto [sum] = sum_lanes<T, 1>(n, [&](int64_t at, auto count) -> std::array<V, 1> {
      const V value = load_lanes(x + at, count);
      return {select(value == largest, V(T(1)), math::exp_below(value, largest))};
    });
    return {largest[0], static_cast<T>(sum)};
  }

  static constexpr int64_t group = 256;
  template <class Lanes>
  Part<Lanes> columns() const {
    return {Lanes(identity().largest), Lanes(T(0))};
  }
  void step(Part<V>& held, V x, int64_t) const { held = joined<V>(held, {x, V(T(1))}); }
  void merge(Acc* acc, const Part<V>& held, int64_t, int64_t) const {
    alignas(64) T largest[V::size], sum[V::size];
    for (int lane = 0; lane < V::size; ++lane) {
      largest[lane] = acc[lane].largest;
      sum[lane] = acc[lane].sum;
    }
    const Part<V> both = joined<V>({V::load(largest), V::load(sum)}, held);
    both.largest.store(largest);
    both.sum.store(sum);
    for (int lane = 0; lane < V::size; ++lane) acc[lane] = {largest[lane], sum[lane]};
  }
};

}  // namespace

at::Tensor& logsumexp_out(const at::Tensor& self, at::IntArrayRef dim, bool keepdim,
                          at::Tensor& out) {
  const at::ScalarType dtype = out.scalar_type();
  const bool integral = at::isIntegralType(self.scalar_type(), /*includeBool=*/true);
  if (cuda::on_gpu() || self.numel() == 0 || !at::isFloatingType(dtype) ||
      !(integral || self.scalar_type() == dtype)) {
    return at::compositeexplicitautogradnonfunctional::logsumexp_outf(self, dim, keepdim, out);
  }
  auto iter = at::native::make_reduction("logsumexp", out, self, dim, keepdim, dtype);
  visit<FloatingAndHalfTypes>(dtype, "logsumexp", [&]<class T>() {
    run_reduction(iter, LogSumExp<opmath_t<T>>{}, {"logsumexp"});
  });
  return out;
}

}  // namespace alt::kernels
