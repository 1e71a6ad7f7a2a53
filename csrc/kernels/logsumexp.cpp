// logsumexp: log(sum(exp(x))) over some dimensions, in one pass over memory where PyTorch's
// operators (amax, sub, exp, sum) take four.
//
// A reduction (loops/reduce.h) of pairs: the largest x so far, and the sum of exp(x - largest). An
// element costs one exponential: of its distance from the largest, which scales the sum where the
// element is larger and is added to it where it is not.
#include <ATen/core/Tensor.h>
#include <ATen/native/ReduceOpsUtils.h>
#include <ATen/ops/logsumexp_compositeexplicitautogradnonfunctional_dispatch.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/norm_lanes.h"
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
    constexpr int64_t kChains = 4;
    Part<V> chain[kChains];
    std::fill_n(chain, kChains, columns<V>());
    int64_t i = 0;
    for (; i + kChains * V::size <= n; i += kChains * V::size) {
#pragma GCC unroll 4
      for (int64_t k = 0; k < kChains; ++k) step(chain[k], V::load(x + i + k * V::size), 0);
    }
    for (; i + V::size <= n; i += V::size) step(chain[0], V::load(x + i), 0);
    if (i < n) {  // -infinity adds nothing
      step(chain[1], load_lanes(x + i, static_cast<int>(n - i), identity().largest), 0);
    }
    return folded(joined(joined(chain[0], chain[1]), joined(chain[2], chain[3])));
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

 private:
  static Acc folded(Part<V> part) {
    const T largest = reduce_max(part.largest);
    return {largest, reduce_add(joined<V>(part, {V(largest), V(T(0))}).sum)};
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
