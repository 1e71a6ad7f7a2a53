// The backward pass of a recurrent layer.
//
// Each task (rnn_sequence.h) walks its sequences against their direction: the gradients of a step's
// gates, a lane at a time, then their recurrent product with the weight, which is the gradient of
// the state before. grad_hx and grad_cx hold the running gradients of the state. The gates'
// gradients of all steps stay, and give the gradients of input, weights and biases as one product
// each. They may take the place of the gates, which a lane reads before it writes.
//
// The columns of GRU's gate gradients are new (of its input part), reset, update, new (of its
// hidden part), so that the hidden weight's three are neighbours and the input weight's reset and
// update are.
#include <ATen/core/IListRef.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/blas.h"
#include "kernels/gemm_panels.h"
#include "kernels/rnn_gates.h"
#include "kernels/rnn_sequence.h"
#include "loops/dtype.h"

namespace alt::kernels::rnn {
namespace {

using at::Tensor;

/// Rows of a sequence's tensor and its initial state, to find what a row held a step before.
template <class T>
struct History {
  const T* rows;
  int64_t stride;
  const T* initial;
  int64_t hidden;

  const T* before(const Steps& steps, int64_t direction, int64_t t, int64_t r) const {
    const int64_t step = direction == 0 ? t - 1 : t + 1;
    if (step >= 0 && step < steps.count() && r < steps.rows[step]) {
      return rows + (steps.first[step] + r) * stride;
    }
    return initial + r * hidden;
  }
};

template <class T>
struct Row {
  const T *gates, *cell, *cell_before, *state_before, *output;
  const T* grad_output;  // null where the output has no gradient
  T *grad_gates, *grad_state, *grad_cell;
};

template <class T, Kind kind, class Count>
ALT_FN void differentiate(const Row<T>& row, int64_t hidden, int64_t i, Count lanes) {
  using V = Vec<T>;
  const V one(T(1));
  const auto gate = [&](int64_t k) { return load_lanes(row.gates + k * hidden + i, lanes); };
  const auto put = [&](int64_t k, const V& value) {
    store_lanes<T>(value, row.grad_gates + k * hidden + i, lanes);
  };
  V g = load_lanes(row.grad_state + i, lanes);
  if (row.grad_output) g = g + load_lanes(row.grad_output + i, lanes);
  if constexpr (kind == Kind::kLstm) {
    const V in = gate(0), forget = gate(1), cell = gate(2), out = gate(3);
    const V squashed = tanh(load_lanes(row.cell + i, lanes));
    const V grad_c = fma(g * out, one - squashed * squashed, load_lanes(row.grad_cell + i, lanes));
    put(0, grad_c * cell * in * (one - in));
    put(1, grad_c * load_lanes(row.cell_before + i, lanes) * forget * (one - forget));
    put(2, grad_c * in * (one - cell * cell));
    put(3, g * squashed * out * (one - out));
    store_lanes<T>(grad_c * forget, row.grad_cell + i, lanes);
  } else if constexpr (kind == Kind::kGru) {
    const V reset = gate(0), update = gate(1), fresh = gate(2), from_state = gate(3);
    const V before = load_lanes(row.state_before + i, lanes);
    const V grad_fresh = g * (one - update) * (one - fresh * fresh);
    put(0, grad_fresh);
    put(1, grad_fresh * from_state * (one - reset) * reset);
    put(2, g * (before - fresh) * (one - update) * update);
    put(3, grad_fresh * reset);
    store_lanes<T>(g * update, row.grad_state + i, lanes);
  } else {
    const V h = load_lanes(row.output + i, lanes);
    if constexpr (kind == Kind::kTanh) {
      put(0, g * (one - h * h));
    } else {
      put(0, select(h <= V(T(0)), V(T(0)), g));
    }
  }
}

template <class T, Kind kind>
class Pass {
 public:
  Pass(const Shape& shape, const Steps& steps, const Given& given, const Result& saved,
       const Tensor& grad_output, const Tensor& grad_gates, const Tensor& grad_hx,
       const Tensor& grad_cx, bool hx_wanted)
      : shape_(shape),
        steps_(steps),
        gates_(data_or_null<T>(saved.gates)),
        cells_(data_or_null<T>(saved.cells)),
        output_(saved.output.const_data_ptr<T>()),
        hx_(given.hx.const_data_ptr<T>()),
        cx_(data_or_null<T>(given.cx)),
        grad_output_(data_or_null<T>(grad_output)),
        grad_gates_(grad_gates.mutable_data_ptr<T>()),
        grad_hx_(grad_hx.mutable_data_ptr<T>()),
        grad_cx_(grad_cx.defined() ? grad_cx.mutable_data_ptr<T>() : nullptr),
        hx_wanted_(hx_wanted) {
    const int64_t hidden = shape.hidden;
    for (int64_t d = 0; steps.count() > 1 && d < shape.directions; ++d) {
      packed_.emplace_back(
          blas::Columns<T>{given.weights[d].hidden.const_data_ptr<T>(), hidden, 1},
          divide_up(hidden, width_), groups_, depth(),
          [&](int64_t panel, int64_t group) { return panel * width_ + group * Vec<T>::size; },
          [&](int64_t) { return hidden; });
    }
  }

  void run(int64_t direction, int64_t begin, int64_t end) const {
    const int64_t count = steps_.count();
    for (int64_t s = 0; s < count; ++s) {
      const int64_t t = direction == 0 ? count - 1 - s : s;
      const int64_t stop = std::min(end, steps_.rows[t]);
      if (stop <= begin) continue;
      gates(direction, t, begin, stop);
      const bool before_is_wanted = s + 1 < count || hx_wanted_;
      if (before_is_wanted && !packed_.empty()) state(direction, t, begin, stop);
    }
  }

  // The gradient of the state before the only step, for which no weight was packed.
  void initial_state(const T* weight, int64_t direction) const {
    const int64_t hidden = shape_.hidden;
    const bool gru = kind == Kind::kGru;
    multiply_weight<T>(steps_.total, hidden, depth(),
                       {grad_gates(direction, 0) + (gru ? hidden : 0), columns * hidden},
                       {weight, hidden}, gru, grad_hx_ + direction * steps_.total * hidden, hidden);
  }

 private:
  static constexpr int columns = gate_columns(kind);

  int64_t depth() const { return gate_count(kind) * shape_.hidden; }

  T* grad_gates(int64_t direction, int64_t row) const {
    return grad_gates_ + (direction * steps_.total + row) * columns * shape_.hidden;
  }

  void gates(int64_t direction, int64_t t, int64_t begin, int64_t end) const {
    const int64_t hidden = shape_.hidden, stride = shape_.directions * hidden;
    const int64_t states = direction * steps_.batch() * hidden;
    const int64_t all = direction * steps_.total;
    const History<T> outputs{output_ + direction * hidden, stride, hx_ + states, hidden};
    const History<T> cells{cells_ + all * hidden, hidden, cx_ + states, hidden};
    const auto of_row = [&](int64_t r) {
      const int64_t at = steps_.first[t] + r;
      Row<T> row{};
      row.gates = gates_ + (all + at) * columns * hidden;
      row.output = outputs.rows + at * stride;
      if constexpr (kind == Kind::kLstm) {
        row.cell = cells.rows + at * hidden;
        row.cell_before = cells.before(steps_, direction, t, r);
        row.grad_cell = grad_cx_ + states + r * hidden;
      }
      if constexpr (kind == Kind::kGru) {
        row.state_before = outputs.before(steps_, direction, t, r);
      }
      if (grad_output_) row.grad_output = grad_output_ + at * stride + direction * hidden;
      row.grad_gates = grad_gates(direction, at);
      row.grad_state = grad_hx_ + states + r * hidden;
      for_lanes<T>(0, hidden,
                   [&](int64_t i, auto lanes) { differentiate<T, kind>(row, hidden, i, lanes); });
    };
    constexpr int64_t units_worth_a_thread = 4096;
    parallel_for(begin, end, units_worth_a_thread / hidden + 1, [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) of_row(r);
    });
  }

  // The gradient of the state before step t.
  void state(int64_t direction, int64_t t, int64_t begin, int64_t end) const {
    const int64_t hidden = shape_.hidden;
    const T* const from = grad_gates(direction, steps_.first[t] + begin) + shape_.hidden_column();
    const auto multiply_panel = [&](int64_t panel) {
      blas::Target<T> to{grad_hx_ + (direction * steps_.batch() + begin) * hidden, hidden};
      to.add.fill(kind == Kind::kGru);
      for (int g = 0; g < groups_; ++g) {
        to.offset[g] = panel * width_ + g * Vec<T>::size;
        to.lanes[g] = static_cast<int>(std::clamp<int64_t>(hidden - to.offset[g], 0, Vec<T>::size));
      }
      packed_[direction].multiply(panel, end - begin, {from, columns * hidden}, to,
                                  [](int64_t, int64_t) {});
    };
    const int64_t panels = divide_up(hidden, width_);
    const double operations = 2.0 * static_cast<double>((end - begin) * width_ * depth());
    parallel_for(0, panels, panels_of_task(panels, operations), [&](int64_t first, int64_t last) {
      for (int64_t panel = first; panel < last; ++panel) multiply_panel(panel);
    });
  }

  const Shape& shape_;
  const Steps& steps_;
  const T *const gates_, *const cells_, *const output_, *const hx_, *const cx_, *const grad_output_;
  T *const grad_gates_, *const grad_hx_, *const grad_cx_;
  const bool hx_wanted_;
  const int groups_ = blas::neighbours<T>(shape_.hidden);
  const int64_t width_ = groups_ * Vec<T>::size;
  std::vector<blas::Packed<T>> packed_;
};

/// The states that the steps started from, in the order of the rows.
template <class T>
Tensor states_before(const Shape& shape, const Steps& steps, const Given& given,
                     const Tensor& output, int64_t direction) {
  const int64_t hidden = shape.hidden;
  const Tensor result = at::empty({steps.total, hidden}, output.options());
  T* const to = result.mutable_data_ptr<T>();
  const History<T> history{
      output.const_data_ptr<T>() + direction * hidden, shape.directions * hidden,
      given.hx.const_data_ptr<T>() + direction * steps.batch() * hidden, hidden};
  constexpr int64_t bytes_worth_a_thread = 1 << 17;
  const int64_t bytes = steps.batch() * hidden * static_cast<int64_t>(sizeof(T));
  parallel_for(0, steps.count(), bytes_worth_a_thread / (bytes + 1) + 1,
               [&](int64_t begin, int64_t end) {
                 for (int64_t t = begin; t < end; ++t) {
                   for (int64_t r = 0; r < steps.rows[t]; ++r) {
                     std::memcpy(to + (steps.first[t] + r) * hidden,
                                 history.before(steps, direction, t, r), hidden * sizeof(T));
                   }
                 }
               });
  return result;
}

/// Columns of the gates' gradients that belong to the input weight: they are its rows from `row`
/// on.
struct Part {
  int64_t column, row, count;
};

std::vector<Part> input_parts(const Shape& shape) {
  const int64_t hidden = shape.hidden;
  if (shape.kind == Kind::kGru) return {{hidden, 0, 2 * hidden}, {0, 2 * hidden, hidden}};
  return {{0, 0, gate_count(shape.kind) * hidden}};
}

/// The gradient of x that one direction gives, added to the other's.
template <class T>
void input_gradient(const Shape& shape, const Weights& weights, const Tensor& gates,
                    const Tensor& grad_x, bool add) {
  const int64_t stride = gates.size(1);
  for (const Part& part : input_parts(shape)) {
    const blas::Matrix<T> left{gates.const_data_ptr<T>() + part.column, stride};
    const blas::Matrix<T> right{weights.input.const_data_ptr<T>() + part.row * shape.input,
                                shape.input};
    multiply_weight<T>(gates.size(0), shape.input, part.count, left, right, add || part.row > 0,
                       grad_x.mutable_data_ptr<T>(), shape.input);
  }
}

template <class T>
void add_piece(const Shape& shape, const Piece& piece, bool add, const Weights& sums) {
  const int64_t hidden = shape.hidden, stride = piece.gates.size(1), rows = piece.gates.size(0);
  const T* const gates = piece.gates.const_data_ptr<T>();
  for (const Part& part : input_parts(shape)) {
    if (!sums.input.defined()) break;
    blas::gemm_blocked<T>(part.count, shape.input, rows, {gates + part.column, stride, true},
                          {piece.x.const_data_ptr<T>(), shape.input}, add,
                          sums.input.mutable_data_ptr<T>() + part.row * shape.input, shape.input);
  }
  if (sums.hidden.defined()) {
    blas::gemm_blocked<T>(gate_count(shape.kind) * hidden, hidden, rows,
                          {gates + shape.hidden_column(), stride, true},
                          {piece.states.const_data_ptr<T>(), hidden}, add,
                          sums.hidden.mutable_data_ptr<T>(), hidden);
  }
}

/// Pieces of few rows joined to pieces of some hundred: each product reads and writes all of the
/// weights' gradients, which takes longer than the arithmetic of a few rows.
std::vector<Piece> joined(const std::vector<Piece>& pieces) {
  constexpr int64_t rows_worth_a_product = 256;
  std::vector<Piece> result;
  for (auto next = pieces.begin(); next != pieces.end();) {
    std::vector<Tensor> gates, x, states;
    for (int64_t rows = 0; rows < rows_worth_a_product && next != pieces.end(); ++next) {
      rows += next->gates.size(0);
      gates.push_back(next->gates);
      x.push_back(next->x);
      states.push_back(next->states);
    }
    const bool alone = gates.size() == 1;
    result.push_back(alone ? *std::prev(next) : Piece{at::cat(gates), at::cat(x), at::cat(states)});
  }
  return result;
}

Tensor copy_or_zeros(const Tensor& gradient, const Tensor& like) {
  return gradient.defined() ? at::empty_like(like).copy_(gradient) : at::zeros_like(like);
}

}  // namespace

Gradients backward(const Shape& shape, const Steps& steps, const Given& given, const Result& saved,
                   const Tensor& grad_output, const Tensor& grad_hy, const Tensor& grad_cy,
                   const Wanted& wanted, bool overwrite) {
  Gradients gradients;
  gradients.hx = copy_or_zeros(grad_hy, given.hx);
  if (given.cx.defined()) gradients.cx = copy_or_zeros(grad_cy, given.cx);
  if (wanted.x) gradients.x = at::empty_like(given.x);
  const Tensor gates =
      overwrite && saved.gates.defined()
          ? saved.gates
          : at::empty({shape.directions, steps.total, gate_columns(shape.kind) * shape.hidden},
                      given.x.options());
  visit<FloatingTypes>(given.x.scalar_type(), "rnn_backward", [&]<class T>() {
    visit_kind(shape.kind, [&]<Kind kind>() {
      const Pass<T, kind> pass(shape, steps, given, saved, grad_output, gates, gradients.hx,
                               gradients.cx, wanted.hx);
      for_sequences(shape, steps, sizeof(T), [&](int64_t direction, int64_t begin, int64_t end) {
        pass.run(direction, begin, end);
      });
      for (int64_t d = 0; steps.count() == 1 && wanted.hx && d < shape.directions; ++d) {
        pass.initial_state(given.weights[d].hidden.template const_data_ptr<T>(), d);
      }
    });
    for (int64_t d = 0; d < shape.directions; ++d) {
      const Tensor of_direction = gates[d];
      if (wanted.x) {
        input_gradient<T>(shape, given.weights[d], of_direction, gradients.x, d > 0);
      }
      const Wanted::Parameters& asked = wanted.weights[d];
      if (asked.input || asked.hidden || asked.input_bias || asked.hidden_bias) {
        const Tensor states =
            asked.hidden ? states_before<T>(shape, steps, given, saved.output, d) : Tensor();
        gradients.weights[d] = weight_gradients(shape, {{of_direction, given.x, states}}, asked);
      }
    }
  });
  gradients.gates = gates;
  return gradients;
}

Weights weight_gradients(const Shape& shape, const std::vector<Piece>& of_steps,
                         const Wanted::Parameters& wanted) {
  const std::vector<Piece> pieces = joined(of_steps);
  const auto options = pieces.front().gates.options();
  const int64_t hidden = shape.hidden, rows = gate_count(shape.kind) * hidden;
  Weights result;
  if (wanted.input) result.input = at::empty({rows, shape.input}, options);
  if (wanted.hidden) result.hidden = at::empty({rows, hidden}, options);
  visit<FloatingTypes>(pieces.front().gates.scalar_type(), "rnn_backward", [&]<class T>() {
    for (size_t i = 0; i < pieces.size(); ++i) add_piece<T>(shape, pieces[i], i > 0, result);
  });
  if (!wanted.input_bias && !wanted.hidden_bias) return result;
  Tensor sums = pieces.front().gates.sum(0);
  for (size_t i = 1; i < pieces.size(); ++i) sums.add_(pieces[i].gates.sum(0));
  if (shape.kind == Kind::kGru) {
    result.input_bias = at::cat({sums.narrow(0, hidden, 2 * hidden), sums.narrow(0, 0, hidden)});
    result.hidden_bias = sums.narrow(0, hidden, 3 * hidden).clone();
  } else {
    result.input_bias = result.hidden_bias = sums;
  }
  return result;
}

}  // namespace alt::kernels::rnn
