// layer, group and batch normalisation.
//
// All three see their input as outer x channels x inner (integers: the sizes), contiguous but for
// batch norm's strides, and share a mean and 1 / deviation among the elements of
// outer * kStatOuter + channel / kStatChannels * kStatChannel: a row each in layer and group norm,
// a channel each in batch norm. Weight and bias have a number for each channel.
//
//               outer  channels  inner  kStatOuter  kStatChannels  kStatChannel
//   layer norm  rows   n         1      1           n              0
//   group norm  N      C         HW     groups      C / groups     1
//   batch norm  N      C         HW     0           1              1
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace norm {
enum Integers { kAcross, kOuter, kChannels, kInner, kStatOuter, kStatChannels, kStatChannel };
enum Numbers { kEpsilon };

/// Mean, sum of squared deviations, and of how many: Chan's rule joins two.
template <class A>
struct Moments {
  A mean, squares;
  int64_t count;
};
template <class A>
ALT_FN Moments<A> join(Moments<A> a, Moments<A> b) {
  if (a.count == 0) return b;
  if (b.count == 0) return a;
  const int64_t count = a.count + b.count;
  const A delta = b.mean - a.mean;
  const A share = static_cast<A>(b.count) / static_cast<A>(count);
  return {a.mean + delta * share,
          a.squares + b.squares + delta * delta * static_cast<A>(a.count) * share, count};
}
template <class A>
ALT_FN Moments<A> step(Moments<A> acc, A x) {
  const int64_t count = acc.count + 1;
  const A delta = x - acc.mean;
  const A mean = acc.mean + delta / static_cast<A>(count);
  return {mean, acc.squares + delta * (x - mean), count};
}

/// Where element i of the group of elements that share statistics lies, as (outer, channel, inner).
struct Place {
  int64_t outer, channel, inner;
};
struct Shape {
  int64_t outer, channels, inner, stat_outer, stat_channels, stat_channel;
  ALT_FN explicit Shape(const KernelArgs& a)
      : outer(a.integers[kOuter]),
        channels(a.integers[kChannels]),
        inner(a.integers[kInner]),
        stat_outer(a.integers[kStatOuter]),
        stat_channels(a.integers[kStatChannels]),
        stat_channel(a.integers[kStatChannel]) {}
  ALT_FN int64_t stats() const {
    return stat_outer != 0 ? outer * stat_outer : channels / stat_channels;
  }
  /// Elements of one mean.
  ALT_FN int64_t shared() const {
    return stat_outer != 0 ? stat_channels * inner : outer * stat_channels * inner;
  }
  ALT_FN int64_t stat(Place p) const {
    return p.outer * stat_outer + p.channel / stat_channels * stat_channel;
  }
  ALT_FN Place place(int64_t stat, int64_t i) const {
    const int64_t groups = channels / stat_channels;
    const int64_t group = stat_outer != 0 ? stat % groups : stat;
    const int64_t outer_index = stat_outer != 0 ? stat / groups : i / (stat_channels * inner);
    const int64_t rest = i % (stat_channels * inner);
    return {outer_index, group * stat_channels + rest / inner, rest % inner};
  }
};
/// A tensor of sizes outer, channels, inner.
ALT_FN int64_t at(const TensorArgs& a, Place p) {
  return p.outer * a.strides[0] + p.channel * a.strides[1] + p.inner * a.strides[2];
}
template <class T>
ALT_FN opmath_t<T> or_else(const TensorArgs& a, int64_t i, opmath_t<T> missing) {
  return a.data == nullptr ? missing : convert<opmath_t<T>>(data_of<T>(a)[i * a.strides[0]]);
}
}  // namespace norm

/// The mean and 1 / sqrt(variance + epsilon), or the variance itself where epsilon is NaN.
/// tensors: mean, 1 / deviation (of S), input. A row of lanes for each.
template <class S, class T>
ALT_FN void norm_moments(const KernelArgs& a) {
  using A = opmath_t<T>;
  using norm::Moments;
  const Lanes lanes(a.integers[norm::kAcross] != 0);
  const norm::Shape shape(a);
  const TensorArgs& input = a.tensors[2];
  const bool exists = lanes.row < shape.stats();
  Moments<A> acc = {A(0), A(0), 0};
  const int64_t n = exists ? shape.shared() : 0;
  for (int64_t i = lanes.lane; i < n; i += lanes.count) {
    const auto place = shape.place(lanes.row, i);
    acc = norm::step(acc, convert<A>(data_of<T>(input)[norm::at(input, place)]));
  }
  acc = lanes.all(acc, [](Moments<A> p, Moments<A> q) { return norm::join(p, q); });
  if (!exists || lanes.lane != 0) return;
  const A variance = acc.squares / static_cast<A>(acc.count);
  const A epsilon = static_cast<A>(a.numbers[norm::kEpsilon]);
  data_of<S>(a.tensors[0])[lanes.row] = convert<S>(acc.mean);
  data_of<S>(a.tensors[1])[lanes.row] =
      convert<S>(epsilon != epsilon ? variance : A(1) / math::sqrt(variance + epsilon));
}

/// tensors: output, input, mean, 1 / deviation, weight, bias. A thread an element.
template <class S, class T>
ALT_FN void norm_apply(const KernelArgs& a) {
  using A = opmath_t<T>;
  const norm::Shape shape(a);
  const int64_t n = shape.outer * shape.channels * shape.inner;
  for (int64_t i = first_index(); i < n; i += grid_step()) {
    const int64_t row = i / shape.inner;
    const norm::Place place = {row / shape.channels, row % shape.channels, i % shape.inner};
    const int64_t stat = shape.stat(place);
    const A mean = convert<A>(data_of<S>(a.tensors[2])[stat]);
    const A scale = convert<A>(data_of<S>(a.tensors[3])[stat]);
    const A x = convert<A>(data_of<T>(a.tensors[1])[norm::at(a.tensors[1], place)]);
    const A weight = norm::or_else<S>(a.tensors[4], place.channel, A(1));
    const A bias = norm::or_else<S>(a.tensors[5], place.channel, A(0));
    data_of<T>(a.tensors[0])[norm::at(a.tensors[0], place)] =
        convert<T>((x - mean) * scale * weight + bias);
  }
}

/// The gradient of the input; where statistics were given and not computed, kAcross is -1 and a
/// thread needs no other. tensors: result, gradient of the output, input, mean, 1 / deviation,
/// weight. A row of lanes for each mean.
template <class S, class T>
ALT_FN void norm_backward(const KernelArgs& a) {
  using A = opmath_t<T>;
  const bool given = a.integers[norm::kAcross] < 0;
  const Lanes lanes(a.integers[norm::kAcross] > 0);
  const norm::Shape shape(a);
  const TensorArgs &result = a.tensors[0], &gradient = a.tensors[1], &input = a.tensors[2];
  const bool exists = lanes.row < shape.stats();
  const int64_t n = exists ? shape.shared() : 0;
  const A mean = exists ? convert<A>(data_of<S>(a.tensors[3])[lanes.row]) : A(0);
  const A scale = exists ? convert<A>(data_of<S>(a.tensors[4])[lanes.row]) : A(0);
  // The gradient under the weight, and the normalised input.
  const auto both = [&](norm::Place place) {
    const A weight = norm::or_else<S>(a.tensors[5], place.channel, A(1));
    const A g = convert<A>(data_of<T>(gradient)[norm::at(gradient, place)]) * weight;
    const A x = convert<A>(data_of<T>(input)[norm::at(input, place)]);
    return Two<A>{g, (x - mean) * scale};
  };
  A sum(0), dot(0);
  if (!given) {
    for (int64_t i = lanes.lane; i < n; i += lanes.count) {
      const Two<A> at = both(shape.place(lanes.row, i));
      sum += at.first;
      dot += at.first * at.second;
    }
    sum = lanes.sum(sum) / static_cast<A>(shape.shared());
    dot = lanes.sum(dot) / static_cast<A>(shape.shared());
  }
  for (int64_t i = lanes.lane; i < n; i += lanes.count) {
    const auto place = shape.place(lanes.row, i);
    const Two<A> at = both(place);
    data_of<T>(result)[norm::at(result, place)] =
        convert<T>((at.first - sum - at.second * dot) * scale);
  }
}

/// The gradients of weight and bias (either may be missing). tensors: both, gradient of the output,
/// input, mean, 1 / deviation. A row of lanes for each channel.
template <class S, class T>
ALT_FN void norm_weight_backward(const KernelArgs& a) {
  using A = opmath_t<T>;
  const Lanes lanes(a.integers[norm::kAcross] != 0);
  const norm::Shape shape(a);
  const TensorArgs &gradient = a.tensors[2], &input = a.tensors[3];
  const bool exists = lanes.row < shape.channels;
  const int64_t n = exists ? shape.outer * shape.inner : 0;
  A weight(0), bias(0);
  for (int64_t i = lanes.lane; i < n; i += lanes.count) {
    const norm::Place place = {i / shape.inner, lanes.row, i % shape.inner};
    const int64_t stat = shape.stat(place);
    const A mean = convert<A>(data_of<S>(a.tensors[4])[stat]);
    const A scale = convert<A>(data_of<S>(a.tensors[5])[stat]);
    const A g = convert<A>(data_of<T>(gradient)[norm::at(gradient, place)]);
    const A x = convert<A>(data_of<T>(input)[norm::at(input, place)]);
    weight += g * (x - mean) * scale;
    bias += g;
  }
  weight = lanes.sum(weight);
  bias = lanes.sum(bias);
  if (!exists || lanes.lane != 0) return;
  if (a.tensors[0].data != nullptr) data_of<S>(a.tensors[0])[lanes.row] = convert<S>(weight);
  if (a.tensors[1].data != nullptr) data_of<S>(a.tensors[1])[lanes.row] = convert<S>(bias);
}

namespace norm {
enum Finish { kFinishChannels, kFinishCount };
enum FinishNumbers { kFinishEpsilon, kMomentum };
}  // namespace norm

/// From the variances of batch norm's channels their 1 / deviation, and the running statistics.
/// tensors: 1 / deviation, mean (for the running mean) or none, variance, running mean and running
/// variance, or none. kFinishCount is the number of elements of a channel.
template <class S>
ALT_FN void norm_finish(const KernelArgs& a) {
  using A = opmath_t<S>;
  const double momentum = a.numbers[norm::kMomentum], epsilon = a.numbers[norm::kFinishEpsilon];
  const double count = static_cast<double>(a.integers[norm::kFinishCount]);
  for (int64_t c = first_index(); c < a.integers[norm::kFinishChannels]; c += grid_step()) {
    const double variance = static_cast<double>(convert<A>(data_of<S>(a.tensors[2])[c]));
    // Where there is neither, 0, which is what stock gives in training.
    const double scale = variance + epsilon == 0.0 && a.tensors[1].data != nullptr
                             ? 0.0
                             : 1.0 / math::sqrt(variance + epsilon);
    data_of<S>(a.tensors[0])[c] = convert<S>(static_cast<A>(scale));
    const auto update = [&](const TensorArgs& running, double value) {
      if (running.data == nullptr) return;
      S& held = data_of<S>(running)[c];
      held = convert<S>(static_cast<A>(momentum * value +
                                       (1.0 - momentum) * static_cast<double>(convert<A>(held))));
    };
    if (a.tensors[1].data == nullptr) continue;
    update(a.tensors[3], static_cast<double>(convert<A>(data_of<S>(a.tensors[1])[c])));
    update(a.tensors[4], variance * count / (count - 1.0));
  }
}

}  // namespace alt::kernels
