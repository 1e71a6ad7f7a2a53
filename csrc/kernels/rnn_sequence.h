// A recurrent layer over a whole sequence: what its forward pass, its backward pass and its place
// in autograd (rnn_layer.cpp) say to each other.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "kernels/blas.h"
#include "runtime/rounding.h"
#include "runtime/thread_pool.h"

namespace alt::kernels::rnn {

enum class Kind { kLstm, kGru, kTanh, kRelu };

constexpr bool is_gated(Kind kind) {
  return kind == Kind::kLstm || kind == Kind::kGru;
}

/// Gates that the weights have.
constexpr int gate_count(Kind kind) {
  return kind == Kind::kLstm ? 4 : kind == Kind::kGru ? 3 : 1;
}

/// Columns of the buffer of gates, in hidden sizes. GRU's gates of a step are reset, update, new,
/// and the hidden part of new; LSTM's are input, forget, cell, output.
constexpr int gate_columns(Kind kind) {
  return is_gated(kind) ? 4 : 1;
}

/// Calls function.operator()<kind>().
template <class Function>
void visit_kind(Kind kind, Function&& function) {
  switch (kind) {
    case Kind::kLstm:
      return function.template operator()<Kind::kLstm>();
    case Kind::kGru:
      return function.template operator()<Kind::kGru>();
    case Kind::kTanh:
      return function.template operator()<Kind::kTanh>();
    case Kind::kRelu:
      return function.template operator()<Kind::kRelu>();
  }
}

/// The steps of a sequence, one after another in the rows of its tensors. As in a packed sequence a
/// step has no more rows than the one before: row r of a step belongs to sequence r.
struct Steps {
  explicit Steps(std::vector<int64_t> rows_of_steps) : rows(std::move(rows_of_steps)) {
    first.reserve(rows.size());
    for (const int64_t n : rows) {
      first.push_back(total);
      total += n;
    }
  }
  int64_t count() const { return static_cast<int64_t>(rows.size()); }
  int64_t batch() const { return rows.front(); }

  std::vector<int64_t> rows, first;
  int64_t total = 0;
};

struct Shape {
  Kind kind;
  int64_t input, hidden;
  int64_t directions;  // the second runs from the last step to the first

  /// Columns of the gates' gradients before those that the hidden weight's rows belong to.
  int64_t hidden_column() const { return kind == Kind::kGru ? hidden : 0; }
};

/// Parameters of a direction; biases may be undefined, both.
struct Weights {
  at::Tensor input, hidden, input_bias, hidden_bias;
};

/// What a layer computes with: float or double, contiguous; x is (rows, input) or (steps, batch,
/// input), states are (directions, batch, hidden), cx undefined but for LSTM.
struct Given {
  at::Tensor x, hx, cx;
  std::array<Weights, 2> weights;
};

/// output is as x, of directions * hidden columns. gates (directions, rows, columns) and cells
/// (directions, rows, hidden) are what the backward pass needs beside the output; undefined where
/// nobody will ask.
struct Result {
  at::Tensor output, hy, cy, gates, cells;
};

struct Gradients {
  at::Tensor x, hx, cx;
  std::array<Weights, 2> weights;
  at::Tensor gates;  // (directions, rows, columns), what the others are made of
};

/// Which gradients are asked for.
struct Wanted {
  bool x, hx, cx;
  struct Parameters {
    bool input, hidden, input_bias, hidden_bias;
  };
  std::array<Parameters, 2> weights;
};

/// What some steps leave for the gradients of their weights: gradients of gates, inputs, and the
/// states they started from, a row of each a row of a step.
struct Piece {
  at::Tensor gates, x, states;
};

/// C = A B, or C += A B, with a weight for B. Below some rows, packing it for gemm_blocked would
/// take longer than what that saves.
template <class T>
void multiply_weight(int64_t rows, int64_t columns, int64_t depth, blas::Matrix<T> a,
                     blas::Matrix<T> weight, bool add, T* c, int64_t c_stride) {
  constexpr int64_t rows_worth_packing = 24;
  if (rows < rows_worth_packing || blas::is_inner(rows, depth, a, weight)) {
    blas::gemm<T>(rows, columns, depth, T(1), a, weight, T(add ? 1 : 0), c, c_stride);
  } else {
    blas::gemm_blocked<T>(rows, columns, depth, a, weight, add, c, c_stride);
  }
}

enum class Save { kNothing, kGates, kGatesAndCells };

/// hy, which is the output of a single step, may be left out of its result.
Result forward(const Shape& shape, const Steps& steps, const Given& given, Save save,
               bool hy_wanted);

/// Gradients of output, hy and cy may be undefined. With `overwrite` the saved gates may be lost.
Gradients backward(const Shape& shape, const Steps& steps, const Given& given, const Result& saved,
                   const at::Tensor& grad_output, const at::Tensor& grad_hy,
                   const at::Tensor& grad_cy, const Wanted& wanted, bool overwrite);

/// The gradients of a direction's weights, summed over the pieces.
Weights weight_gradients(const Shape& shape, const std::vector<Piece>& pieces,
                         const Wanted::Parameters& wanted);

/// A task of fewer rows would read the weights too often for what it computes.
inline constexpr int64_t kRowsWorthTheWeights = 12;

/// Whether the threads share the panels of weights of each step, and wait for each other after it,
/// instead of the sequences: where these are few and a direction's weights too many for the
/// second-level cache of a core, but not for those of all.
inline bool shares_steps(const Shape& shape, const Steps& steps, int64_t element_size) {
  constexpr int64_t bytes = 512 * 1024;
  return shape.directions == 1 && num_threads() > 1 &&
         steps.batch() < kRowsWorthTheWeights * num_threads() &&
         gate_count(shape.kind) * shape.hidden * shape.hidden * element_size > bytes;
}

/// How many of `count` panels make a task, of `operations` each.
inline int64_t panels_of_task(int64_t count, double operations) {
  constexpr double operations_worth_a_thread = 2e5;
  return std::max(static_cast<int64_t>(operations_worth_a_thread / (operations + 1)) + 1,
                  divide_up(count, num_threads()));
}

/// Calls body(direction, first_row, last_row) for all rows of all directions. The sequences of a
/// batch do not meet, so a task takes some of them from the first step to the last and no thread
/// waits for another, unless the threads share the steps. A task of few rows is made only so that
/// each thread has one.
template <class Body>
void for_sequences(const Shape& shape, const Steps& steps, int64_t element_size, Body&& body) {
  if (shares_steps(shape, steps, element_size)) return body(0, 0, steps.batch());
  constexpr double operations_worth_a_thread = 4e5;  // about 5 us of a core
  const int64_t batch = steps.batch(), directions = shape.directions;
  const double operations = 2.0 * static_cast<double>(steps.total * directions) *
                            static_cast<double>(gate_count(shape.kind) * shape.hidden) *
                            static_cast<double>(shape.hidden);
  const auto threads = std::min<int64_t>(
      num_threads(), static_cast<int64_t>(operations / operations_worth_a_thread));
  const int64_t for_each_thread = divide_up(threads, directions);
  const int64_t parts =
      threads <= 1
          ? 1
          : std::min(batch,
                     for_each_thread * std::clamp<int64_t>(
                                           batch / (for_each_thread * kRowsWorthTheWeights), 1, 2));
  const auto task = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t part = i / directions;
      body(i % directions, part * batch / parts, (part + 1) * batch / parts);
    }
  };
  if (threads <= 1) return task(0, parts * directions);
  parallel_for(0, parts * directions, 1, task);
}

}  // namespace alt::kernels::rnn
