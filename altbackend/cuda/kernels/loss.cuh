// Negative log likelihood: -weight[target] * input[target], over rows and over images.
//
// The input is batch x classes x positions, positions being 1 for rows; targets are int64, all
// contiguous. A target that is no class is noted (loops/failure.cuh) and skipped. Sums are in
// double: each block's, then, where there are several, the blocks' in their order.
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace nll {
enum Integers { kClasses, kPositions, kIgnored, kTargets, kMean, kEach };

/// A target's loss without its sign, and its weight; zeros where it is ignored.
struct Term {
  double loss, weight;
};

template <class T>
struct Problem {
  const KernelArgs& a;
  const int64_t* targets;
  const T* weights;  // or null

  ALT_FN Problem(const KernelArgs& args, int target, int weight)
      : a(args),
        targets(data_of<int64_t>(args.tensors[target])),
        weights(data_of<T>(args.tensors[weight])) {}
  /// The class of target i, or -1 where it is ignored or bad.
  ALT_FN int64_t of(int64_t i) const {
    const int64_t target = targets[i];
    if (target == a.integers[kIgnored]) return -1;
    if (target >= 0 && target < a.integers[kClasses]) return target;
    fail(FailureKind::kIndexOutOfRange, target, a.integers[kClasses]);
    return -1;
  }
  ALT_FN opmath_t<T> weight(int64_t target) const {
    return weights == nullptr ? opmath_t<T>(1) : convert<opmath_t<T>>(weights[target]);
  }
  ALT_FN int64_t at(int64_t i, int64_t target) const {
    const int64_t positions = a.integers[kPositions];
    return (i / positions * a.integers[kClasses] + target) * positions + i % positions;
  }
};

template <class T>
ALT_FN void finish(const KernelArgs& a, Term sum) {
  const double loss = a.integers[kMean] != 0 ? sum.loss / sum.weight : sum.loss;
  data_of<T>(a.tensors[0])[0] = convert<T>(static_cast<opmath_t<T>>(loss));
  data_of<T>(a.tensors[1])[0] = convert<T>(static_cast<opmath_t<T>>(sum.weight));
}

ALT_FN Term over_block(const Lanes& lanes, Term mine) {
  return lanes.all(mine, [](Term p, Term q) { return Term{p.loss + q.loss, p.weight + q.weight}; });
}
}  // namespace nll

/// A loss for each target. tensors: output, input, targets, weights or none.
template <class T>
ALT_FN void nll_each(const KernelArgs& a) {
  using A = opmath_t<T>;
  const nll::Problem<T> problem(a, 2, 3);
  const T* x = data_of<T>(a.tensors[1]);
  for (int64_t i = first_index(); i < a.integers[nll::kTargets]; i += grid_step()) {
    const int64_t target = problem.of(i);
    data_of<T>(a.tensors[0])[i] = convert<T>(
        target < 0 ? A(0) : -convert<A>(x[problem.at(i, target)]) * problem.weight(target));
  }
}

/// One loss for all. tensors: output, total weight, input, targets, weights or none, parts (two
/// doubles a block; used where there are several). A block is one row of lanes.
template <class T>
ALT_FN void nll_sum(const KernelArgs& a) {
  using A = opmath_t<T>;
  const Lanes lanes(false);
  const nll::Problem<T> problem(a, 3, 4);
  const T* x = data_of<T>(a.tensors[2]);
  nll::Term sum = {0.0, 0.0};
  for (int64_t i = first_index(); i < a.integers[nll::kTargets]; i += grid_step()) {
    const int64_t target = problem.of(i);
    if (target < 0) continue;
    const A weight = problem.weight(target);
    sum.loss += static_cast<double>(-convert<A>(x[problem.at(i, target)]) * weight);
    sum.weight += static_cast<double>(weight);
  }
  sum = nll::over_block(lanes, sum);
  if (threadIdx.x != 0) return;
  if (gridDim.x == 1) {
    nll::finish<T>(a, sum);
  } else {
    data_of<nll::Term>(a.tensors[5])[blockIdx.x] = sum;
  }
}

/// The sum of the blocks' parts, in one block. tensors: output, total weight, parts; kTargets is
/// the number of the blocks.
template <class T>
ALT_FN void nll_join(const KernelArgs& a) {
  const Lanes lanes(false);
  nll::Term sum = {0.0, 0.0};
  for (int64_t i = threadIdx.x; i < a.integers[nll::kTargets]; i += blockDim.x) {
    const nll::Term part = data_of<nll::Term>(a.tensors[2])[i];
    sum = {sum.loss + part.loss, sum.weight + part.weight};
  }
  sum = nll::over_block(lanes, sum);
  if (threadIdx.x == 0) nll::finish<T>(a, sum);
}

/// The gradient of the input, which was zeroed. tensors: result, gradient (of each target where
/// kEach, or one number), targets, weights or none, total weight.
template <class T>
ALT_FN void nll_backward(const KernelArgs& a) {
  using A = opmath_t<T>;
  const nll::Problem<T> problem(a, 2, 3);
  const T* gradient = data_of<T>(a.tensors[1]);
  const bool each = a.integers[nll::kEach] != 0;
  for (int64_t i = first_index(); i < a.integers[nll::kTargets]; i += grid_step()) {
    const int64_t target = problem.of(i);
    if (target < 0) continue;
    A g = convert<A>(gradient[each ? i : 0]);
    if (a.integers[nll::kMean] != 0) g /= convert<A>(data_of<T>(a.tensors[4])[0]);
    data_of<T>(a.tensors[0])[problem.at(i, target)] = convert<T>(-problem.weight(target) * g);
  }
}

namespace cross_entropy {
enum Integers { kCount };
enum Numbers { kScale };

/// A probability; what is none is noted.
template <class T>
ALT_FN opmath_t<T> probability(const TensorArgs& a, int64_t i) {
  const opmath_t<T> p = convert<opmath_t<T>>(data_of<T>(a)[i]);
  if (!(p >= 0 && p <= 1)) fail(FailureKind::kBadValue, static_cast<int64_t>(p), 1);
  return p;
}
}  // namespace cross_entropy

/// Binary cross entropy of each element, logarithms at least -100. tensors: output, input, target,
/// weight or none, contiguous.
template <class T>
ALT_FN void binary_cross_entropy(const KernelArgs& a) {
  using A = opmath_t<T>;
  for (int64_t i = first_index(); i < a.integers[cross_entropy::kCount]; i += grid_step()) {
    const A x = cross_entropy::probability<T>(a.tensors[1], i);
    const A target = cross_entropy::probability<T>(a.tensors[2], i);
    A loss = (target - A(1)) * maximum(math::log1p(-x), A(-100)) -
             target * maximum(math::log(x), A(-100));
    if (a.tensors[3].data != nullptr) loss *= convert<A>(data_of<T>(a.tensors[3])[i]);
    data_of<T>(a.tensors[0])[i] = convert<T>(loss);
  }
}

/// tensors: gradient of the input, gradient of each output, input, target, weight or none.
template <class T>
ALT_FN void binary_cross_entropy_backward(const KernelArgs& a) {
  using A = opmath_t<T>;
  const A scale = static_cast<A>(a.numbers[cross_entropy::kScale]);
  for (int64_t i = first_index(); i < a.integers[cross_entropy::kCount]; i += grid_step()) {
    const A x = convert<A>(data_of<T>(a.tensors[2])[i]);
    const A apart = x - convert<A>(data_of<T>(a.tensors[3])[i]);
    A grad = convert<A>(data_of<T>(a.tensors[1])[i]) * apart / maximum((A(1) - x) * x, A(1e-12f));
    if (a.tensors[4].data != nullptr) grad *= convert<A>(data_of<T>(a.tensors[4])[i]);
    data_of<T>(a.tensors[0])[i] = convert<T>(grad * scale);
  }
}

}  // namespace alt::kernels
