// The gates of LSTM and GRU cells: what remains of a step beside its two matrix products.
//
// A thread has one hidden unit of one example. Gates are batch x (4 or 3) hidden, contiguous; the
// cell's own order is PyTorch's: input, forget, cell, output; reset, update, new. integers: batch,
// hidden. Biases may be missing.
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace rnn {
enum Integers { kBatch, kHidden };

template <class A>
ALT_FN A sigmoid(A x) {
  return A(1) / (A(1) + math::exp(-x));
}
template <class T>
ALT_FN opmath_t<T> at(const TensorArgs& a, int64_t i) {
  return a.data == nullptr ? opmath_t<T>(0) : convert<opmath_t<T>>(data_of<T>(a)[i]);
}

/// A thread's unit and example, and its place in a row of `gates` gates.
struct Unit {
  int64_t hidden, row, column;
  ALT_FN Unit(const KernelArgs& a, int64_t i)
      : hidden(a.integers[kHidden]), row(i / hidden), column(i % hidden) {}
  ALT_FN int64_t gate(int k, int gates) const { return (row * gates + k) * hidden + column; }
  ALT_FN int64_t bias(int k) const { return k * hidden + column; }
};

/// body(unit, i) for all units of all examples.
template <class Body>
ALT_FN void for_units(const KernelArgs& a, Body&& body) {
  const int64_t n = a.integers[kBatch] * a.integers[kHidden];
  for (int64_t i = first_index(); i < n; i += grid_step()) body(Unit(a, i), i);
}
}  // namespace rnn

/// tensors: hy, cy, workspace (the gates, activated), gates of the input, gates of the hidden
/// state, cx, bias of the input, bias of the hidden state.
template <class T>
ALT_FN void lstm_cell(const KernelArgs& a) {
  using A = opmath_t<T>;
  rnn::for_units(a, [&](const rnn::Unit& unit, int64_t i) {
    A gates[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const A sum = rnn::at<T>(a.tensors[3], unit.gate(k, 4)) +
                    rnn::at<T>(a.tensors[4], unit.gate(k, 4)) +
                    rnn::at<T>(a.tensors[6], unit.bias(k)) + rnn::at<T>(a.tensors[7], unit.bias(k));
      gates[k] = k == 2 ? math::tanh(sum) : rnn::sigmoid(sum);
      data_of<T>(a.tensors[2])[unit.gate(k, 4)] = convert<T>(gates[k]);
    }
    const A cy = gates[1] * rnn::at<T>(a.tensors[5], i) + gates[0] * gates[2];
    data_of<T>(a.tensors[1])[i] = convert<T>(cy);
    data_of<T>(a.tensors[0])[i] = convert<T>(gates[3] * math::tanh(cy));
  });
}

/// tensors: gradient of the gates, gradient of cx, gradient of hy (or none), of cy (or none), cx,
/// cy, workspace.
template <class T>
ALT_FN void lstm_cell_backward(const KernelArgs& a) {
  using A = opmath_t<T>;
  rnn::for_units(a, [&](const rnn::Unit& unit, int64_t i) {
    A gates[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) gates[k] = rnn::at<T>(a.tensors[6], unit.gate(k, 4));
    const A grad_hy = rnn::at<T>(a.tensors[2], i);
    const A tanh_cy = math::tanh(rnn::at<T>(a.tensors[5], i));
    const A grad_cy = rnn::at<T>(a.tensors[3], i) + grad_hy * gates[3] * (A(1) - tanh_cy * tanh_cy);
    const A inner[4] = {grad_cy * gates[2], grad_cy * rnn::at<T>(a.tensors[4], i),
                        grad_cy * gates[0], grad_hy * tanh_cy};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const A slope = k == 2 ? A(1) - gates[k] * gates[k] : gates[k] * (A(1) - gates[k]);
      data_of<T>(a.tensors[0])[unit.gate(k, 4)] = convert<T>(inner[k] * slope);
    }
    data_of<T>(a.tensors[1])[i] = convert<T>(grad_cy * gates[1]);
  });
}

/// tensors: hy, workspace (batch x 5 hidden: reset, update, new, hx, the hidden state's part of
/// new), gates of the input, gates of the hidden state, hx, bias of the input, of the hidden state.
template <class T>
ALT_FN void gru_cell(const KernelArgs& a) {
  using A = opmath_t<T>;
  rnn::for_units(a, [&](const rnn::Unit& unit, int64_t i) {
    A from_input[3], from_hidden[3];
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      from_input[k] =
          rnn::at<T>(a.tensors[2], unit.gate(k, 3)) + rnn::at<T>(a.tensors[5], unit.bias(k));
      from_hidden[k] =
          rnn::at<T>(a.tensors[3], unit.gate(k, 3)) + rnn::at<T>(a.tensors[6], unit.bias(k));
    }
    const A hx = rnn::at<T>(a.tensors[4], i);
    const A reset = rnn::sigmoid(from_input[0] + from_hidden[0]);
    const A update = rnn::sigmoid(from_input[1] + from_hidden[1]);
    const A fresh = math::tanh(from_input[2] + reset * from_hidden[2]);
    const A kept[5] = {reset, update, fresh, hx, from_hidden[2]};
#pragma unroll
    for (int k = 0; k < 5; ++k) data_of<T>(a.tensors[1])[unit.gate(k, 5)] = convert<T>(kept[k]);
    data_of<T>(a.tensors[0])[i] = convert<T>(fresh + update * (hx - fresh));
  });
}

/// tensors: gradient of the input's gates, of the hidden state's gates, of hx, gradient of hy,
/// workspace.
template <class T>
ALT_FN void gru_cell_backward(const KernelArgs& a) {
  using A = opmath_t<T>;
  rnn::for_units(a, [&](const rnn::Unit& unit, int64_t i) {
    A kept[5];
#pragma unroll
    for (int k = 0; k < 5; ++k) kept[k] = rnn::at<T>(a.tensors[4], unit.gate(k, 5));
    const A reset = kept[0], update = kept[1], fresh = kept[2], hx = kept[3], hidden = kept[4];
    const A grad = rnn::at<T>(a.tensors[3], i);
    const A grad_fresh = grad * (A(1) - update) * (A(1) - fresh * fresh);
    const A grad_update = grad * (hx - fresh) * (A(1) - update) * update;
    const A grad_reset = grad_fresh * hidden * (A(1) - reset) * reset;
    const A of_input[3] = {grad_reset, grad_update, grad_fresh};
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      data_of<T>(a.tensors[0])[unit.gate(k, 3)] = convert<T>(of_input[k]);
      const A of_hidden = k == 2 ? grad_fresh * reset : of_input[k];
      data_of<T>(a.tensors[1])[unit.gate(k, 3)] = convert<T>(of_hidden);
    }
    data_of<T>(a.tensors[2])[i] = convert<T>(grad * update);
  });
}

}  // namespace alt::kernels
