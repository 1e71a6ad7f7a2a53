// softmax and log_softmax along one dimension, and their derivatives.
//
// Tensors are seen as outer x n x inner, any strides. A row is one (outer, inner); its lanes keep
// the largest element so far and the sum of exponentials under it, so that the input is read twice:
// once for both, once to write. numbers: none.
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace softmax {
enum Integers { kAcross };

template <class A>
struct Sum {
  A largest, sum;
};

/// exp(a - b), and 1 where both are the same infinity.
template <class A>
ALT_FN A exp_difference(A a, A b) {
  return a == b ? A(1) : math::exp(a - b);
}
template <class A>
ALT_FN Sum<A> join(Sum<A> a, Sum<A> b) {
  const A largest = maximum(a.largest, b.largest);
  return {largest,
          a.sum * exp_difference(a.largest, largest) + b.sum * exp_difference(b.largest, largest)};
}

struct Row {
  int64_t outer, inner, n;
  bool exists;
  ALT_FN Row(const TensorArgs& a, int64_t row)
      : outer(row / a.sizes[2]),
        inner(row % a.sizes[2]),
        n(a.sizes[1]),
        exists(row < a.sizes[0] * a.sizes[2]) {}
  ALT_FN int64_t start(const TensorArgs& a) const {
    return exists ? outer * a.strides[0] + inner * a.strides[2] : 0;
  }
};
}  // namespace softmax

/// tensors: output, input.
template <class O, class T, bool is_log>
ALT_FN void softmax_rows(const KernelArgs& a) {
  using A = opmath_t<T>;
  using softmax::Sum;
  const Lanes lanes(a.integers[softmax::kAcross] != 0);
  const TensorArgs &output = a.tensors[0], &input = a.tensors[1];
  const softmax::Row row(output, lanes.row);
  const T* x = data_of<T>(input) + row.start(input);
  O* y = data_of<O>(output) + row.start(output);
  const int64_t n = row.exists ? row.n : 0;

  Sum<A> sum = {-std::numeric_limits<A>::infinity(), A(0)};
  for (int64_t i = lanes.lane; i < n; i += lanes.count) {
    sum = softmax::join(sum, Sum<A>{convert<A>(x[i * input.strides[1]]), A(1)});
  }
  sum = lanes.all(sum, [](Sum<A> p, Sum<A> q) { return softmax::join(p, q); });
  sum.sum += sum.largest - sum.largest;  // NaN under an infinity, as the difference to it is
  const A scale = is_log ? math::log(sum.sum) : A(1) / sum.sum;
  for (int64_t i = lanes.lane; i < n; i += lanes.count) {
    const A z = convert<A>(x[i * input.strides[1]]) - sum.largest;
    y[i * output.strides[1]] = convert<O>(is_log ? z - scale : math::exp(z) * scale);
  }
}
template <class O, class T>
ALT_FN void softmax_forward(const KernelArgs& a) {
  softmax_rows<O, T, false>(a);
}
template <class O, class T>
ALT_FN void log_softmax_forward(const KernelArgs& a) {
  softmax_rows<O, T, true>(a);
}

/// tensors: gradient of the input, gradient of the output, output.
template <class I, class T, bool is_log>
ALT_FN void softmax_rows_backward(const KernelArgs& a) {
  using A = opmath_t<T>;
  const Lanes lanes(a.integers[softmax::kAcross] != 0);
  const TensorArgs &result = a.tensors[0], &gradient = a.tensors[1], &output = a.tensors[2];
  const softmax::Row row(result, lanes.row);
  const T* g = data_of<T>(gradient) + row.start(gradient);
  const T* y = data_of<T>(output) + row.start(output);
  I* to = data_of<I>(result) + row.start(result);
  const int64_t n = row.exists ? row.n : 0;

  A sum(0);
  for (int64_t i = lanes.lane; i < n; i += lanes.count) {
    const A grad = convert<A>(g[i * gradient.strides[1]]);
    sum += is_log ? grad : grad * convert<A>(y[i * output.strides[1]]);
  }
  sum = lanes.sum(sum);
  for (int64_t i = lanes.lane; i < n; i += lanes.count) {
    const A grad = convert<A>(g[i * gradient.strides[1]]);
    const A value = convert<A>(y[i * output.strides[1]]);
    to[i * result.strides[1]] =
        convert<I>(is_log ? grad - math::exp(value) * sum : value * (grad - sum));
  }
}
template <class I, class T>
ALT_FN void softmax_backward(const KernelArgs& a) {
  softmax_rows_backward<I, T, false>(a);
}
template <class I, class T>
ALT_FN void log_softmax_backward(const KernelArgs& a) {
  softmax_rows_backward<I, T, true>(a);
}

}  // namespace alt::kernels
