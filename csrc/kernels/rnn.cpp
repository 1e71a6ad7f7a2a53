// The cells of LSTM and GRU: all gates of a step in one pass over the two matrix products that feed
// them.
//
// Rows are independent; lanes run along the hidden size, a task is about 4,096 hidden elements
// (some 20 us of exponentials). Biases are added up once a call, in the type of computation. The
// workspace that the gradient needs holds the gates after their activation: (N, 4H) = input,
// forget, cell, output for LSTM, and (N, 5H) = reset, update, new, hidden state, hidden part of new
// for GRU, as PyTorch's fused cells lay it out.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <optional>
#include <tuple>

#include "kernels/cuda/rnn.h"
#include "kernels/norm_lanes.h"
#include "kernels/rnn_gates.h"
#include "loops/math.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

using rnn::joined_bias;
using rnn::sigmoid;

template <class F>
void for_rows(int64_t rows, int64_t hidden, F&& row) {
  const int64_t grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, hidden));
  parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) row(n);
  });
}

bool defined(const OptionalTensor& t) {
  return t.has_value() && t->defined();
}

void check_cell(const char* name, const Tensor& input_gates, const Tensor& hidden_gates,
                const Tensor& state, const OptionalTensor& input_bias,
                const OptionalTensor& hidden_bias, int64_t gates) {
  TORCH_CHECK(input_gates.dim() == 2 && input_gates.sizes() == hidden_gates.sizes(), name,
              ": expected input and hidden gates of one 2-D shape, got ", input_gates.sizes(),
              " and ", hidden_gates.sizes());
  TORCH_CHECK(state.dim() == 2 && state.size(0) == input_gates.size(0) &&
                  state.size(1) * gates == input_gates.size(1),
              name, ": expected a state of shape [", input_gates.size(0), ", ",
              input_gates.size(1) / gates, "], got ", state.sizes());
  TORCH_CHECK(defined(input_bias) == defined(hidden_bias), name, ": expected both biases or none");
  for (const OptionalTensor& bias : {input_bias, hidden_bias}) {
    TORCH_CHECK(!defined(bias) || (bias->dim() == 1 && bias->size(0) == input_gates.size(1)), name,
                ": expected biases of ", input_gates.size(1), " elements");
  }
  TORCH_CHECK(hidden_gates.scalar_type() == input_gates.scalar_type() &&
                  state.scalar_type() == input_gates.scalar_type(),
              name, ": expected gates and state of one dtype, got ", input_gates.scalar_type(),
              ", ", hidden_gates.scalar_type(), " and ", state.scalar_type());
}

// Tensors of one call as contiguous memory.
template <class T>
struct Reader {
  Tensor held;
  const T* data = nullptr;
  explicit Reader(const OptionalTensor& t) {
    if (!defined(t)) return;
    held = t->contiguous();
    data = held.const_data_ptr<T>();
  }
};

template <class T, class Count>
Lanes<T> load_or_zero(const T* from, int64_t i, Count lanes) {
  return from ? load_lanes(from + i, lanes) : Lanes<T>(opmath_t<T>(0));
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor> thnn_fused_lstm_cell(const Tensor& input_gates,
                                                        const Tensor& hidden_gates,
                                                        const Tensor& cx,
                                                        const OptionalTensor& input_bias,
                                                        const OptionalTensor& hidden_bias) {
  check_cell("_thnn_fused_lstm_cell", input_gates, hidden_gates, cx, input_bias, hidden_bias, 4);
  const Tensor workspace = at::empty(input_gates.sizes(), input_gates.options());
  const Tensor hy = at::empty(cx.sizes(), cx.options()), cy = at::empty(cx.sizes(), cx.options());
  if (alt::cuda::on_gpu()) {
    cuda::lstm_cell(input_gates, hidden_gates, cx, input_bias, hidden_bias, hy, cy, workspace);
    return {hy, cy, workspace};
  }
  const int64_t rows = cx.size(0), hidden = cx.size(1);

  visit<FloatingAndHalfTypes>(input_gates.scalar_type(), "_thnn_fused_lstm_cell", [&]<class T>() {
    using A = opmath_t<T>;
    using V = Vec<A>;
    const Reader<T> from_input(input_gates), from_hidden(hidden_gates), state(cx);
    const auto bias = joined_bias<A>(input_bias, hidden_bias, 4 * hidden, 4 * hidden);
    T *gates_out = workspace.mutable_data_ptr<T>(), *hy_out = hy.mutable_data_ptr<T>(),
      *cy_out = cy.mutable_data_ptr<T>();

    for_rows(rows, hidden, [&](int64_t n) {
      const int64_t row = n * 4 * hidden;
      for_lanes<A>(0, hidden, [&](int64_t i, auto lanes) {
        const auto gate = [&](int64_t k) {
          const int64_t at = k * hidden + i;
          return load_lanes(from_input.data + row + at, lanes) +
                 load_lanes(from_hidden.data + row + at, lanes) +
                 load_lanes(bias.data() + at, lanes);
        };
        const V in = sigmoid(gate(0)), forget = sigmoid(gate(1)), cell = rnn::tanh(gate(2)),
                out = sigmoid(gate(3));
        const V c = fma(forget, load_lanes(state.data + n * hidden + i, lanes), in * cell);
        T* saved = gates_out + row + i;
        store_lanes<T>(in, saved, lanes);
        store_lanes<T>(forget, saved + hidden, lanes);
        store_lanes<T>(cell, saved + 2 * hidden, lanes);
        store_lanes<T>(out, saved + 3 * hidden, lanes);
        store_lanes<T>(c, cy_out + n * hidden + i, lanes);
        store_lanes<T>(out * rnn::tanh(c), hy_out + n * hidden + i, lanes);
      });
    });
  });
  return {hy, cy, workspace};
}

std::tuple<Tensor, Tensor, Tensor> thnn_fused_lstm_cell_backward_impl(
    const OptionalTensor& grad_hy, const OptionalTensor& grad_cy, const Tensor& cx,
    const Tensor& cy, const Tensor& workspace, bool has_bias) {
  if (!defined(grad_hy) && !defined(grad_cy)) return {};
  const Tensor grad_gates = at::empty(workspace.sizes(), workspace.options());
  const Tensor grad_cx = at::empty(cx.sizes(), cx.options());
  if (alt::cuda::on_gpu()) {
    cuda::lstm_cell_backward(grad_hy, grad_cy, cx, cy, workspace, grad_gates, grad_cx);
    return {grad_gates, grad_cx, has_bias ? grad_gates.sum(0) : Tensor()};
  }
  const int64_t rows = cx.size(0), hidden = cx.size(1);

  visit<FloatingAndHalfTypes>(
      workspace.scalar_type(), "_thnn_fused_lstm_cell_backward", [&]<class T>() {
        using A = opmath_t<T>;
        using V = Vec<A>;
        const Reader<T> saved(workspace), before(cx), after(cy), from_hy(grad_hy), from_cy(grad_cy);
        T *gates_out = grad_gates.mutable_data_ptr<T>(), *cx_out = grad_cx.mutable_data_ptr<T>();
        const V one(A(1));

        for_rows(rows, hidden, [&](int64_t n) {
          for_lanes<A>(0, hidden, [&](int64_t i, auto lanes) {
            const int64_t at = n * hidden + i, gate_at = n * 4 * hidden + i;
            const T* gates = saved.data + gate_at;
            const V in = load_lanes(gates, lanes), forget = load_lanes(gates + hidden, lanes),
                    cell = load_lanes(gates + 2 * hidden, lanes),
                    out = load_lanes(gates + 3 * hidden, lanes);
            const V squashed = rnn::tanh(load_lanes(after.data + at, lanes));
            const V ghy = load_or_zero(from_hy.data, at, lanes);
            const V gc =
                fma(ghy * out, one - squashed * squashed, load_or_zero(from_cy.data, at, lanes));
            T* to = gates_out + gate_at;
            store_lanes<T>(gc * cell * in * (one - in), to, lanes);
            store_lanes<T>(gc * load_lanes(before.data + at, lanes) * forget * (one - forget),
                           to + hidden, lanes);
            store_lanes<T>(gc * in * (one - cell * cell), to + 2 * hidden, lanes);
            store_lanes<T>(ghy * squashed * out * (one - out), to + 3 * hidden, lanes);
            store_lanes<T>(gc * forget, cx_out + at, lanes);
          });
        });
      });
  return {grad_gates, grad_cx, has_bias ? grad_gates.sum(0) : Tensor()};
}

std::tuple<Tensor, Tensor> thnn_fused_gru_cell(const Tensor& input_gates,
                                               const Tensor& hidden_gates, const Tensor& hx,
                                               const OptionalTensor& input_bias,
                                               const OptionalTensor& hidden_bias) {
  check_cell("_thnn_fused_gru_cell", input_gates, hidden_gates, hx, input_bias, hidden_bias, 3);
  const int64_t rows = hx.size(0), hidden = hx.size(1);
  const Tensor workspace = at::empty({rows, 5 * hidden}, hx.options());
  const Tensor hy = at::empty(hx.sizes(), hx.options());
  if (alt::cuda::on_gpu()) {
    cuda::gru_cell(input_gates, hidden_gates, hx, input_bias, hidden_bias, hy, workspace);
    return {hy, workspace};
  }

  visit<FloatingAndHalfTypes>(input_gates.scalar_type(), "_thnn_fused_gru_cell", [&]<class T>() {
    using A = opmath_t<T>;
    using V = Vec<A>;
    const Reader<T> from_input(input_gates), from_hidden(hidden_gates), state(hx);
    const auto bias = joined_bias<A>(input_bias, hidden_bias, 3 * hidden, 2 * hidden);
    T *saved = workspace.mutable_data_ptr<T>(), *hy_out = hy.mutable_data_ptr<T>();

    for_rows(rows, hidden, [&](int64_t n) {
      for_lanes<A>(0, hidden, [&](int64_t i, auto lanes) {
        const auto part = [&](const T* gates, int64_t k) {
          return load_lanes(gates + (n * 3 + k) * hidden + i, lanes);
        };
        const auto added = [&](int64_t k) {
          return load_lanes(bias.data() + k * hidden + i, lanes);
        };
        const V reset = sigmoid(part(from_input.data, 0) + part(from_hidden.data, 0) + added(0));
        const V update = sigmoid(part(from_input.data, 1) + part(from_hidden.data, 1) + added(1));
        const V from_state = part(from_hidden.data, 2) + added(3);
        const V fresh = rnn::tanh(fma(reset, from_state, part(from_input.data, 2) + added(2)));
        const V h = load_lanes(state.data + n * hidden + i, lanes);
        T* to = saved + n * 5 * hidden + i;
        store_lanes<T>(reset, to, lanes);
        store_lanes<T>(update, to + hidden, lanes);
        store_lanes<T>(fresh, to + 2 * hidden, lanes);
        store_lanes<T>(h, to + 3 * hidden, lanes);
        store_lanes<T>(from_state, to + 4 * hidden, lanes);
        store_lanes<T>(fma(h - fresh, update, fresh), hy_out + n * hidden + i, lanes);
      });
    });
  });
  return {hy, workspace};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> thnn_fused_gru_cell_backward(
    const Tensor& grad_hy, const Tensor& workspace, bool has_bias) {
  const int64_t rows = workspace.size(0), hidden = workspace.size(1) / 5;
  const Tensor grad_input = at::empty({rows, 3 * hidden}, workspace.options());
  const Tensor grad_hidden = at::empty({rows, 3 * hidden}, workspace.options());
  const Tensor grad_hx = at::empty({rows, hidden}, workspace.options());
  const auto results = [&]() -> std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> {
    return {grad_input, grad_hidden, grad_hx, has_bias ? grad_input.sum(0) : Tensor(),
            has_bias ? grad_hidden.sum(0) : Tensor()};
  };
  if (alt::cuda::on_gpu()) {
    cuda::gru_cell_backward(grad_hy, workspace, grad_input, grad_hidden, grad_hx);
    return results();
  }

  visit<FloatingAndHalfTypes>(
      workspace.scalar_type(), "_thnn_fused_gru_cell_backward", [&]<class T>() {
        using A = opmath_t<T>;
        using V = Vec<A>;
        const Reader<T> saved(workspace), grad(grad_hy);
        T *input_out = grad_input.mutable_data_ptr<T>(),
          *hidden_out = grad_hidden.mutable_data_ptr<T>(), *hx_out = grad_hx.mutable_data_ptr<T>();
        const V one(A(1));

        for_rows(rows, hidden, [&](int64_t n) {
          for_lanes<A>(0, hidden, [&](int64_t i, auto lanes) {
            const T* from = saved.data + n * 5 * hidden + i;
            const V reset = load_lanes(from, lanes), update = load_lanes(from + hidden, lanes),
                    fresh = load_lanes(from + 2 * hidden, lanes),
                    h = load_lanes(from + 3 * hidden, lanes),
                    from_state = load_lanes(from + 4 * hidden, lanes);
            const V g = load_lanes(grad.data + n * hidden + i, lanes);
            const V g_update = g * (h - fresh) * (one - update) * update;
            const V g_fresh = g * (one - update) * (one - fresh * fresh);
            const V g_reset = g_fresh * from_state * (one - reset) * reset;
            const int64_t to = n * 3 * hidden + i;
            store_lanes<T>(g_reset, input_out + to, lanes);
            store_lanes<T>(g_update, input_out + to + hidden, lanes);
            store_lanes<T>(g_fresh, input_out + to + 2 * hidden, lanes);
            store_lanes<T>(g_reset, hidden_out + to, lanes);
            store_lanes<T>(g_update, hidden_out + to + hidden, lanes);
            store_lanes<T>(g_fresh * reset, hidden_out + to + 2 * hidden, lanes);
            store_lanes<T>(g * update, hx_out + n * hidden + i, lanes);
          });
        });
      });
  return results();
}

}  // namespace alt::kernels
