// The forward pass of a recurrent layer.
//
// The input's part of all gates of all steps is one product through the BLAS, into the buffer of
// gates. Then each task (rnn_sequence.h) walks its sequences step by step: for each panel of hidden
// units the recurrent product adds the state's part (gemm_panels.h), and the gates follow at once,
// while their sums are in the first-level cache; the activated gates replace the sums, which is
// what the backward pass needs. hy and cy hold the running state: a sequence that has ended leaves
// its last state there. An only step reads its state where it was given.
//
// The input's part of a block of rows is computed beside the state's, into memory of the task, and
// the sums never leave the first-level cache,
//   where nobody asks for the gates, rows are many, and the weights of a direction fit half of a
//   second-level cache;
//   and of a single step of many rows, a cell: a task packs a panel of both weights and uses it for
//   all rows at once (1.0 to 1.3 times as fast as two products of their own).
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "kernels/blas.h"
#include "kernels/gemm_panels.h"
#include "kernels/rnn_gates.h"
#include "kernels/rnn_sequence.h"
#include "kernels/scratch.h"
#include "loops/dtype.h"

namespace alt::kernels::rnn {
namespace {

using at::Tensor;

/// Of one row: where the gates' sums are and where its results go, all from hidden unit 0.
template <class T>
struct Row {
  const T* sums;
  int64_t sum_stride;
  T* gates;  // null where they are not saved
  const T* bias;
  const T *state, *cell_before;
  T* cell;
  T* saved_cell;  // null where the cell is not saved
  T* output;
};

template <class T, Kind kind, class Count>
ALT_FN void activate(const Row<T>& row, int64_t hidden, int64_t i, Count lanes) {
  using V = Vec<T>;
  const auto sum = [&](int64_t gate) {
    return load_lanes(row.sums + gate * row.sum_stride + i, lanes) +
           load_lanes(row.bias + gate * hidden + i, lanes);
  };
  const auto keep = [&](int64_t gate, const V& value) {
    if (row.gates) store_lanes<T>(value, row.gates + gate * hidden + i, lanes);
  };
  if constexpr (kind == Kind::kLstm) {
    const V in = sigmoid(sum(0)), forget = sigmoid(sum(1)), cell = tanh(sum(2)),
            out = sigmoid(sum(3));
    const V c = fma(forget, load_lanes(row.cell_before + i, lanes), in * cell);
    keep(0, in);
    keep(1, forget);
    keep(2, cell);
    keep(3, out);
    store_lanes<T>(c, row.cell + i, lanes);
    if (row.saved_cell) store_lanes<T>(c, row.saved_cell + i, lanes);
    store_lanes<T>(out * tanh(c), row.output + i, lanes);
  } else if constexpr (kind == Kind::kGru) {
    const V reset = sigmoid(sum(0)), update = sigmoid(sum(1)), from_state = sum(3);
    const V fresh = tanh(fma(reset, from_state, sum(2)));
    keep(0, reset);
    keep(1, update);
    keep(2, fresh);
    keep(3, from_state);
    const V h = load_lanes(row.state + i, lanes);
    store_lanes<T>(fma(h - fresh, update, fresh), row.output + i, lanes);
  } else if constexpr (kind == Kind::kTanh) {
    store_lanes<T>(tanh(sum(0)), row.output + i, lanes);
  } else {
    store_lanes<T>(maximum(sum(0), V(T(0))), row.output + i, lanes);
  }
}

template <class T, Kind kind>
class Pass {
 public:
  Pass(const Shape& shape, const Steps& steps, const Given& given, const Result& result,
       const Tensor& gates, bool beside)
      : shape_(shape),
        steps_(steps),
        given_(given),
        beside_(beside),
        x_(given.x.const_data_ptr<T>()),
        gates_(gates.defined() ? gates.mutable_data_ptr<T>() : nullptr),
        output_(result.output.mutable_data_ptr<T>()),
        hx_(given.hx.const_data_ptr<T>()),
        cx_(data_or_null<T>(given.cx)),
        hy_(result.hy.defined() ? result.hy.mutable_data_ptr<T>() : nullptr),
        cy_(result.cy.defined() ? result.cy.mutable_data_ptr<T>() : nullptr),
        cells_(result.cells.defined() ? result.cells.mutable_data_ptr<T>() : nullptr),
        save_(result.gates.defined()) {
    const int64_t hidden = shape.hidden;
    for (int64_t d = 0; d < shape.directions; ++d) {
      const Weights& weights = given.weights[d];
      if (steps.count() > 1) {
        packed_.push_back(pack(weights.hidden, hidden));
        if (beside) packed_input_.push_back(pack(weights.input, shape.input));
      } else if (!beside) {
        multiply_state(weights.hidden.const_data_ptr<T>(), d);
      }
      constexpr int64_t split = kind == Kind::kGru ? 2 : gate_count(kind);
      bias_.push_back(joined_bias<T>(weights.input_bias, weights.hidden_bias,
                                     gate_count(kind) * hidden, split * hidden));
      if (bias_.back().size() < static_cast<size_t>(columns * hidden)) {
        bias_.back().resize(columns * hidden, T(0));
      }
    }
  }

  void run(int64_t direction, int64_t begin, int64_t end) const {
    const int64_t count = steps_.count();
    for (int64_t s = 0; s < count; ++s) {
      const int64_t t = direction == 0 ? s : count - 1 - s;
      step(direction, t, begin, std::min(end, steps_.rows[t]));
    }
  }

 private:
  static constexpr int columns = gate_columns(kind);
  static constexpr int64_t kBlockColumns = columns * Vec<T>::size;

  // The first hidden unit of a group, the row of a weight it is, and the end of its gate's rows.
  int64_t unit(int64_t panel, int64_t group) const {
    return panel * width_ + (is_gated(kind) ? 0 : group * Vec<T>::size);
  }
  auto weight_row() const {
    return [this](int64_t panel, int64_t group) {
      return unit(panel, group) + (is_gated(kind) ? group * shape_.hidden : 0);
    };
  }
  auto end_of_rows() const {
    return [hidden = shape_.hidden](int64_t group) {
      return (is_gated(kind) ? group + 1 : 1) * hidden;
    };
  }

  static blas::Columns<T> columns_of(const Tensor& weight, int64_t depth) {
    return {weight.const_data_ptr<T>(), 1, depth};
  }
  blas::Packed<T> pack(const Tensor& weight, int64_t depth) const {
    return blas::Packed<T>(columns_of(weight, depth), panels(), groups_, depth, weight_row(),
                           end_of_rows());
  }
  blas::Panel<T> pack_panel(const Tensor& weight, int64_t depth, int64_t panel, T* to) const {
    blas::pack_panel(columns_of(weight, depth), panel, groups_, depth, weight_row(), end_of_rows(),
                     to);
    return {to, groups_ * Vec<T>::size};
  }
  int64_t panels() const { return divide_up(shape_.hidden, width_); }

  blas::Target<T> target(int64_t panel, T* gates) const {
    const int64_t hidden = shape_.hidden;
    blas::Target<T> to{gates, columns * hidden};
    for (int g = 0; g < groups_; ++g) {
      // GRU's hidden part of new stands alone, in the fourth column, for reset to multiply.
      const bool alone = kind == Kind::kGru && g == 2;
      to.offset[g] = unit(panel, g) + (is_gated(kind) ? (alone ? 3 : g) * hidden : 0);
      to.lanes[g] = static_cast<int>(std::clamp<int64_t>(hidden - unit(panel, g), 0, Vec<T>::size));
      to.add[g] = !alone;
    }
    return to;
  }

  // The same for a block of rows of its own, a vector for each column.
  blas::Target<T> target_in(T* block, bool of_state) const {
    blas::Target<T> to{block, kBlockColumns};
    for (int g = 0; g < groups_; ++g) {
      const bool alone = of_state && kind == Kind::kGru && g == 2;
      to.offset[g] = (alone ? 3 : g) * Vec<T>::size;
      to.lanes[g] = Vec<T>::size;
      to.add[g] = of_state && !alone;
    }
    return to;
  }

  // A panel's products of the input and of the state, some rows at a time: deliver(r, sums) gets
  // a row's, a vector for each column of gates.
  template <class Deliver>
  void multiply_both(blas::Panel<T> input_weight, blas::Panel<T> state_weight, int64_t rows,
                     const T* x, const T* state, Deliver&& deliver) const {
    const int64_t most = blas::block_rows(groups_), blocks = divide_up(rows, most);
    alignas(64) std::array<T, blas::kAccumulators * kBlockColumns> sums;
    const blas::Target<T> of_input = target_in(sums.data(), false),
                          of_state = target_in(sums.data(), true);
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t begin = block * rows / blocks, count = (block + 1) * rows / blocks - begin;
      const blas::Block<T> multiply = blas::find_block<T>(groups_, count);
      multiply(shape_.input, {x + begin * shape_.input, shape_.input}, input_weight, of_input);
      multiply(shape_.hidden, {state + begin * shape_.hidden, shape_.hidden}, state_weight,
               of_state);
      for (int64_t r = 0; r < count; ++r) deliver(begin + r, sums.data() + r * kBlockColumns);
    }
  }

  template <class Deliver>
  void multiply_both(int64_t direction, int64_t panel, int64_t rows, const T* x, const T* state,
                     Deliver&& deliver) const {
    if (!packed_.empty()) {
      return multiply_both(packed_input_[direction].panel(panel), packed_[direction].panel(panel),
                           rows, x, state, deliver);
    }
    const int64_t input = shape_.input, hidden = shape_.hidden, width = groups_ * Vec<T>::size;
    const Scratch<T, Pass> memory((input + hidden) * width);
    const Weights& weights = given_.weights[direction];
    const blas::Panel<T> of_input = pack_panel(weights.input, input, panel, memory.data());
    multiply_both(of_input,
                  pack_panel(weights.hidden, hidden, panel, memory.data() + input * width), rows, x,
                  state, deliver);
  }

  // The recurrent product of the only step.
  void multiply_state(const T* weight, int64_t direction) const {
    const int64_t hidden = shape_.hidden, rows = steps_.total, stride = columns * hidden;
    T* const gates = gates_ + direction * rows * stride;
    const blas::Matrix<T> state{hx_ + direction * rows * hidden, hidden};
    constexpr int added = kind == Kind::kGru ? 2 : gate_count(kind);
    multiply_weight<T>(rows, added * hidden, hidden, state, {weight, hidden, true}, true, gates,
                       stride);
    if constexpr (kind == Kind::kGru) {
      multiply_weight<T>(rows, hidden, hidden, state, {weight + 2 * hidden * hidden, hidden, true},
                         false, gates + 3 * hidden, stride);
    }
  }

  void step(int64_t direction, int64_t t, int64_t begin, int64_t end) const {
    if (end <= begin) return;
    const int64_t hidden = shape_.hidden, rows = end - begin;
    const int64_t first = steps_.first[t] + begin, state_row = direction * steps_.batch() + begin;
    const int64_t output_stride = shape_.directions * hidden;
    T* const gates =
        gates_ ? gates_ + (direction * steps_.total + first) * columns * hidden : nullptr;
    const bool only = steps_.count() == 1;
    const T* const state = (only ? hx_ : hy_) + state_row * hidden;
    const T* const cells = only ? cx_ : cy_;
    T* const output = output_ + first * output_stride + direction * hidden;
    const int64_t cell = (direction * steps_.total + first) * hidden;
    const auto row = [&](int64_t r) {
      T* const of_row = gates ? gates + r * columns * hidden : nullptr;
      return Row<T>{of_row,
                    hidden,
                    save_ ? of_row : nullptr,
                    bias_[direction].data(),
                    state + r * hidden,
                    cells ? cells + (state_row + r) * hidden : nullptr,
                    cy_ ? cy_ + (state_row + r) * hidden : nullptr,
                    cells_ ? cells_ + cell + r * hidden : nullptr,
                    output + r * output_stride};
    };
    const auto activate_rows = [&](int64_t first_row, int64_t end_row, int64_t first_unit,
                                   int64_t end_unit) {
      for (int64_t r = first_row; r < end_row; ++r) {
        const Row<T> now = row(r);
        for_lanes<T>(first_unit, end_unit,
                     [&](int64_t i, auto lanes) { activate<T, kind>(now, hidden, i, lanes); });
      }
    };
    const auto multiply_panel = [&](int64_t panel) {
      const int64_t first_unit = panel * width_, end_unit = std::min(first_unit + width_, hidden);
      if (beside_) {
        const T* x = x_ + first * shape_.input;
        multiply_both(direction, panel, rows, x, state, [&](int64_t r, T* sums) {
          Row<T> now = row(r);
          now.sum_stride = Vec<T>::size;
          for_lanes<T>(first_unit, end_unit, [&](int64_t i, auto lanes) {
            now.sums = sums - i;
            activate<T, kind>(now, hidden, i, lanes);
          });
        });
        return;
      }
      packed_[direction].multiply(panel, rows, {state, hidden}, target(panel, gates),
                                  [&](int64_t first_row, int64_t end_row) {
                                    activate_rows(first_row, end_row, first_unit, end_unit);
                                  });
    };
    if (!beside_ && packed_.empty()) {
      activate_rows(0, rows, 0, hidden);
    } else {
      const int64_t depth = hidden + (beside_ ? shape_.input : 0);
      const double operations = 2.0 * static_cast<double>(rows * groups_ * Vec<T>::size * depth);
      parallel_for(0, panels(), panels_of_task(panels(), operations),
                   [&](int64_t first_panel, int64_t last) {
                     for (int64_t panel = first_panel; panel < last; ++panel) multiply_panel(panel);
                   });
    }
    for (int64_t r = 0; hy_ && r < rows; ++r) {
      std::memcpy(hy_ + (state_row + r) * hidden, output + r * output_stride, hidden * sizeof(T));
    }
  }

  const Shape& shape_;
  const Steps& steps_;
  const Given& given_;
  const bool beside_;  // the input's part is computed beside the state's
  const T* const x_;
  T* const gates_;  // null where there is no buffer
  T* const output_;
  const T* const hx_;
  const T* const cx_;
  T* const hy_;  // null where nobody asks for it
  T* const cy_;
  T* const cells_;
  const bool save_;
  const int groups_ = is_gated(kind) ? gate_count(kind) : blas::neighbours<T>(shape_.hidden);
  // Hidden units of a panel: a vector's with all their gates, or a vector's for each group.
  const int64_t width_ = (is_gated(kind) ? 1 : groups_) * Vec<T>::size;
  std::vector<blas::Packed<T>> packed_, packed_input_;
  std::vector<std::vector<T>> bias_;
};

template <class T>
void multiply_input(const Shape& shape, const Steps& steps, const Given& given,
                    const Tensor& gates) {
  const int64_t stride = gate_columns(shape.kind) * shape.hidden;
  for (int64_t d = 0; d < shape.directions; ++d) {
    const int64_t columns = gate_count(shape.kind) * shape.hidden;
    const blas::Matrix<T> x{given.x.const_data_ptr<T>(), shape.input};
    const blas::Matrix<T> weight{given.weights[d].input.const_data_ptr<T>(), shape.input, true};
    T* const to = gates.mutable_data_ptr<T>() + d * steps.total * stride;
    multiply_weight<T>(steps.total, columns, shape.input, x, weight, false, to, stride);
  }
}

/// Whether the input's part is computed beside the state's. Of few rows it would read its weight
/// too often, and a panel of a single step's should stay in the second-level cache.
bool is_beside(const Shape& shape, const Steps& steps, Save save, int64_t element_size) {
  constexpr int64_t bytes = 512 * 1024, rows = 16, panel_bytes = 256 * 1024, panel_rows = 24;
  if (!is_gated(shape.kind)) return false;
  const int64_t of_unit = gate_count(shape.kind) * (shape.hidden + shape.input) * element_size;
  if (steps.count() == 1) {
    return steps.batch() >= panel_rows && of_unit * (kVectorBytes / element_size) <= panel_bytes;
  }
  return save == Save::kNothing && steps.batch() >= rows && shape.hidden * of_unit <= bytes;
}

}  // namespace

Result forward(const Shape& shape, const Steps& steps, const Given& given, Save save,
               bool hy_wanted) {
  const auto options = given.x.options();
  const int64_t hidden = shape.hidden, directions = shape.directions;
  Result result;
  std::vector<int64_t> sizes = given.x.sizes().vec();
  sizes.back() = directions * hidden;
  result.output = at::empty(sizes, options);
  const bool runs = steps.count() > 1;
  if (hy_wanted || runs) result.hy = at::empty_like(given.hx);
  if (given.cx.defined()) result.cy = at::empty_like(given.cx);
  if (runs) {
    result.hy.copy_(given.hx);
    if (given.cx.defined()) result.cy.copy_(given.cx);
  }
  const bool beside = is_beside(shape, steps, save, given.x.element_size());
  const Tensor gates =
      beside && save == Save::kNothing
          ? Tensor()
          : at::empty({directions, steps.total, gate_columns(shape.kind) * hidden}, options);
  if (save != Save::kNothing && is_gated(shape.kind)) result.gates = gates;
  if (save == Save::kGatesAndCells && shape.kind == Kind::kLstm) {
    result.cells = at::empty({directions, steps.total, hidden}, options);
  }
  visit<FloatingTypes>(given.x.scalar_type(), "rnn", [&]<class T>() {
    if (!beside) multiply_input<T>(shape, steps, given, gates);
    visit_kind(shape.kind, [&]<Kind kind>() {
      const Pass<T, kind> pass(shape, steps, given, result, gates, beside);
      if (beside && steps.count() == 1) {  // the threads share the panels
        for (int64_t d = 0; d < directions; ++d) pass.run(d, 0, steps.batch());
        return;
      }
      for_sequences(shape, steps, sizeof(T), [&](int64_t direction, int64_t begin, int64_t end) {
        pass.run(direction, begin, end);
      });
    });
  });
  return result;
}

}  // namespace alt::kernels::rnn
