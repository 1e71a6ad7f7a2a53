// lstm_cell, gru_cell, rnn_tanh_cell and rnn_relu_cell: a step of a loop that the script writes.
//
// For autograd a step is one node: its two products and its gates forward, the gates' and the
// states' gradients backward (a layer of one step, rnn_sequence.h). The weights have a node of
// their own that the steps of a loop share. A step backward leaves it the gradients of its gates;
// when all steps have, that node multiplies them by what the steps had as input, and hands each
// weight one gradient instead of adding up as many as there are steps: a step's is as large as the
// weight, and costs more to write and to add than to compute.
//
// PyTorch's composite serves what the kernels have no answer for, as in rnn_layer.cpp.
#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gru_cell_native.h>
#include <ATen/ops/lstm_cell_native.h>
#include <ATen/ops/rnn_relu_cell_native.h>
#include <ATen/ops/rnn_tanh_cell_native.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <tuple>
#include <vector>

#include "kernels/autograd_nodes.h"
#include "kernels/rnn_autograd.h"
#include "kernels/rnn_sequence.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using at::TensorList;
using rnn::Kind;
using rnn::prepared;
using rnn::rounded;
using torch::autograd::AutogradContext;
using OptionalTensor = std::optional<Tensor>;

/// A step: input, hx, and cx of an LSTM; both weights, and both biases if there are any.
struct Call {
  Kind kind;
  std::vector<Tensor> inputs, weights;

  const Tensor& input() const { return inputs[0]; }
  bool has_biases() const { return weights.size() == 4; }
  std::vector<Tensor> tensors() const {
    std::vector<Tensor> all = inputs;
    all.insert(all.end(), weights.begin(), weights.end());
    return all;
  }
  Call with(const std::vector<Tensor>& tensors) const {
    const auto middle = tensors.begin() + static_cast<int64_t>(inputs.size());
    return {kind, {tensors.begin(), middle}, {middle, tensors.end()}};
  }
};

variable_list composite(const Call& call, const OptionalTensor& b_ih, const OptionalTensor& b_hh) {
  const std::vector<Tensor>&in = call.inputs, &w = call.weights;
  switch (call.kind) {
    case Kind::kGru:
      return {at::native::gru_cell(in[0], in[1], w[0], w[1], b_ih, b_hh)};
    case Kind::kTanh:
      return {at::native::rnn_tanh_cell(in[0], in[1], w[0], w[1], b_ih, b_hh)};
    case Kind::kRelu:
      return {at::native::rnn_relu_cell(in[0], in[1], w[0], w[1], b_ih, b_hh)};
    case Kind::kLstm:
      break;
  }
  auto [hy, cy] = at::native::lstm_cell(in[0], TensorList(in).slice(1), w[0], w[1], b_ih, b_hh);
  return {hy, cy};
}

variable_list composite(const Call& call) {
  if (!call.has_biases()) return composite(call, {}, {});
  return composite(call, call.weights[2], call.weights[3]);
}

// -- The weights' node ----------------------------------------------------------------------------

/// What the steps of a backward pass (a graph task) have left for their weights.
class Pending : public torch::CustomClassHolder {
 public:
  struct Left {
    int task;
    rnn::Piece piece;
    variable_list gradients;  // instead of a piece, where they are to be differentiated again
  };

  void leave(rnn::Piece piece, variable_list gradients = {}) {
    const std::lock_guard lock(mutex_);
    left_.push_back(
        {torch::autograd::get_current_graph_task_id(), std::move(piece), std::move(gradients)});
  }

  std::vector<Left> take() {
    const int task = torch::autograd::get_current_graph_task_id();
    const std::lock_guard lock(mutex_);
    const auto of_others = std::stable_partition(left_.begin(), left_.end(),
                                                 [&](const Left& l) { return l.task == task; });
    std::vector<Left> taken(std::make_move_iterator(left_.begin()),
                            std::make_move_iterator(of_others));
    left_.erase(left_.begin(), of_others);
    return taken;
  }

 private:
  std::mutex mutex_;
  std::vector<Left> left_;
};

using PendingPointer = c10::intrusive_ptr<Pending>;

PendingPointer pending_of(AutogradContext* context) {
  return c10::static_intrusive_pointer_cast<Pending>(context->saved_data["pending"].toCapsule());
}

/// Gives a token, empty: the steps' edge to the weights' node. No gradient ever flows through it.
class SharedWeights : public torch::autograd::Function<SharedWeights> {
 public:
  static Tensor forward(AutogradContext* context, TensorList weights, const PendingPointer& pending,
                        Kind kind) {
    context->set_materialize_grads(false);
    context->saved_data["pending"] = c10::IValue::make_capsule(pending);
    context->saved_data["kind"] = static_cast<int64_t>(kind);
    context->saved_data["count"] = static_cast<int64_t>(weights.size());
    context->saved_data["dtype"] = weights[0].scalar_type();
    return at::empty({0}, weights[0].options());
  }

  static variable_list backward(AutogradContext* context, const variable_list&) {
    const size_t count = context->saved_data["count"].toInt();
    const auto kind = static_cast<Kind>(context->saved_data["kind"].toInt());
    const at::ScalarType dtype = context->saved_data["dtype"].toScalarType();
    std::array<bool, 4> wanted{};
    for (size_t i = 0; i < count; ++i) wanted[i] = context->needs_input_grad(i);

    variable_list sums(count);
    std::vector<rnn::Piece> pieces;
    for (Pending::Left& left : pending_of(context)->take()) {
      if (left.gradients.empty()) pieces.push_back(std::move(left.piece));
      for (size_t i = 0; i < left.gradients.size(); ++i) add(left.gradients[i], sums[i]);
    }
    if (!pieces.empty()) {
      const rnn::Shape shape{kind, pieces[0].x.size(1), pieces[0].states.size(1), 1};
      const rnn::Weights found =
          rnn::weight_gradients(shape, pieces, {wanted[0], wanted[1], wanted[2], wanted[3]});
      const std::array<Tensor, 4> in_order{found.input, found.hidden, found.input_bias,
                                           found.hidden_bias};
      for (size_t i = 0; i < count; ++i) {
        if (wanted[i]) add(rounded(in_order[i], dtype), sums[i]);
      }
    }
    sums.resize(count + 2);  // for pending and kind
    return sums;
  }

 private:
  static void add(const Tensor& gradient, Tensor& sum) {
    if (gradient.defined()) sum = sum.defined() ? sum.add(gradient) : gradient;
  }
};

/// The token of some weights, and where to leave what is due to them.
struct Shared {
  Tensor token;
  PendingPointer pending;
};

/// Tokens of late: as long as a step's node lives, later steps with the same weights share its
/// token.
class RecentTokens {
 public:
  Shared find(Kind kind, const std::vector<Tensor>& weights) {
    for (const Entry& entry : entries_) {
      Tensor token = locked(entry.token);
      if (token.defined() && entry.kind == kind && leads_to(token, weights)) {
        return {std::move(token), entry.pending};
      }
    }
    Shared made{Tensor(), c10::make_intrusive<Pending>()};
    made.token = SharedWeights::apply(TensorList(weights), made.pending, kind);
    next_ = (next_ + 1) % entries_.size();
    entries_[next_] = {kind, WeakTensor(made.token.getIntrusivePtr()), made.pending};
    return made;
  }

 private:
  using WeakTensor = c10::weak_intrusive_ptr<at::TensorImpl, at::UndefinedTensorImpl>;
  struct Entry {
    Kind kind{};
    std::optional<WeakTensor> token;
    PendingPointer pending;
  };

  static Tensor locked(const std::optional<WeakTensor>& token) {
    if (!token.has_value()) return {};
    auto strong = token->lock();
    return strong.defined() ? Tensor(std::move(strong)) : Tensor();
  }

  static bool leads_to(const Tensor& token, const std::vector<Tensor>& weights) {
    const auto& edges = token.grad_fn()->next_edges();
    return std::equal(edges.begin(), edges.end(), weights.begin(), weights.end(),
                      [](const torch::autograd::Edge& edge, const Tensor& weight) {
                        return edge == torch::autograd::impl::gradient_edge(weight);
                      });
  }

  std::array<Entry, 8> entries_;
  size_t next_ = 0;
};

// -- The step's node ------------------------------------------------------------------------------

rnn::Given given(const Call& call) {
  rnn::Given result;
  result.x = prepared(call.inputs[0]);
  result.hx = prepared(call.inputs[1]);
  if (call.kind == Kind::kLstm) result.cx = prepared(call.inputs[2]);
  rnn::Weights& weights = result.weights[0];
  weights.input = prepared(call.weights[0]);
  weights.hidden = prepared(call.weights[1]);
  if (call.has_biases()) {
    weights.input_bias = prepared(call.weights[2]);
    weights.hidden_bias = prepared(call.weights[3]);
  }
  return result;
}

rnn::Shape shape_of(const Call& call) {
  return {call.kind, call.inputs[0].size(1), call.inputs[1].size(1), 1};
}

rnn::Steps steps_of(const Call& call) {
  return rnn::Steps({call.input().size(0)});
}

/// hy, cy of an LSTM, and the gates.
rnn::Result compute(const Call& call, rnn::Save save) {
  rnn::Result result = rnn::forward(shape_of(call), steps_of(call), given(call), save,
                                    /*hy_wanted=*/false);
  rnn::round_all({&result.output, &result.cy, &result.gates}, call.input().scalar_type());
  return result;
}

variable_list outputs(const rnn::Result& result) {
  if (result.cy.defined()) return {result.output, result.cy};
  return {result.output};
}

class RecurrentCellBackward : public torch::autograd::Function<RecurrentCellBackward> {
 public:
  /// `variables` are the inputs, and the token if the weights want gradients.
  static variable_list forward(AutogradContext* context, TensorList variables, const Call& call,
                               const PendingPointer& pending) {
    const rnn::Result result = compute(call, rnn::Save::kGates);
    variable_list saved = call.tensors();
    // The token is kept so that the steps to come find it.
    const Tensor token = pending ? variables.back() : Tensor();
    saved.insert(saved.end(), {result.output, result.cy, result.gates, token});
    context->save_for_backward(saved);
    context->set_materialize_grads(false);
    context->saved_data["kind"] = static_cast<int64_t>(call.kind);
    context->saved_data["variables"] = static_cast<int64_t>(variables.size());
    if (pending) context->saved_data["pending"] = c10::IValue::make_capsule(pending);
    rnn::note_hooks(context);
    return outputs(result);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const auto kind = static_cast<Kind>(context->saved_data["kind"].toInt());
    const size_t variables = context->saved_data["variables"].toInt();
    const size_t inputs = kind == Kind::kLstm ? 3 : 2;
    const Call call{
        kind, {saved.begin(), saved.begin() + inputs}, {saved.begin() + inputs, saved.end() - 4}};
    const bool weights_wanted = variables > inputs && context->needs_input_grad(inputs);
    std::vector<bool> wanted;
    for (size_t i = 0; i < inputs; ++i) wanted.push_back(context->needs_input_grad(i));

    variable_list result(inputs);
    const bool any = any_defined(grads);
    if (any && wants_operators(grads)) {
      for (const Tensor& weight : call.weights) {
        wanted.push_back(weights_wanted && weight.requires_grad());
      }
      result = gradients_through(call.tensors(), wanted, grads, [&](const variable_list& tensors) {
        return composite(call.with(tensors));
      });
      if (weights_wanted) {
        pending_of(context)->leave({}, {result.begin() + inputs, result.end()});
      }
      result.resize(inputs);
    } else if (any) {
      const Tensor* const after = &saved[saved.size() - 4];
      rnn::Result reserve;
      reserve.output = prepared(after[0]);
      reserve.cells = prepared(after[1]);
      reserve.gates = prepared(after[2]);
      const rnn::Given before = given(call);
      rnn::Wanted asked{};
      asked.x = wanted[0];
      asked.hx = wanted[1];
      const rnn::Gradients found = rnn::backward(
          shape_of(call), steps_of(call), before, reserve, prepared(grads[0]), {},
          grads.size() > 1 ? prepared(grads[1]) : Tensor(), asked, rnn::may_overwrite(context));
      if (weights_wanted) pending_of(context)->leave({found.gates[0], before.x, before.hx});
      const std::array<Tensor, 3> in_order{found.x, found.hx, found.cx};
      for (size_t i = 0; i < inputs; ++i) {
        if (wanted[i]) result[i] = rounded(in_order[i], call.input().scalar_type());
      }
    }
    result.resize(variables + 2);  // the token, the Call and pending have none
    return result;
  }
};

bool sizes_agree(const Call& call) {
  const Tensor &input = call.inputs[0], &hx = call.inputs[1];
  if (input.dim() != 2 || hx.dim() != 2 || input.numel() == 0 || hx.numel() == 0 ||
      input.size(0) != hx.size(0) || call.inputs.back().sizes() != hx.sizes()) {
    return false;
  }
  const int64_t hidden = hx.size(1), gates = rnn::gate_count(call.kind) * hidden;
  return rnn::has_sizes(call.weights[0], {gates, input.size(1)}) &&
         rnn::has_sizes(call.weights[1], {gates, hidden}) &&
         std::all_of(call.weights.begin() + 2, call.weights.end(),
                     [&](const Tensor& bias) { return rnn::has_sizes(bias, {gates}); });
}

bool is_given(const OptionalTensor& tensor) {
  return tensor.has_value() && tensor->defined();
}

variable_list run(Kind kind, std::vector<Tensor> inputs, const Tensor& w_ih, const Tensor& w_hh,
                  const OptionalTensor& b_ih, const OptionalTensor& b_hh) {
  Call call{kind, std::move(inputs), {w_ih, w_hh}};
  if (is_given(b_ih) && is_given(b_hh)) call.weights.insert(call.weights.end(), {*b_ih, *b_hh});
  const std::vector<Tensor> tensors = call.tensors();
  if (is_given(b_ih) != is_given(b_hh) || !are_plain(tensors) || !sizes_agree(call)) {
    return composite(call, b_ih, b_hh);
  }
  if (!is_differentiated(tensors)) return outputs(compute(call, rnn::Save::kNothing));
  variable_list variables = call.inputs;
  PendingPointer pending;
  if (is_differentiated(call.weights)) {
    static thread_local RecentTokens recent;
    Shared shared = recent.find(kind, call.weights);
    variables.push_back(std::move(shared.token));
    pending = std::move(shared.pending);
  }
  return RecurrentCellBackward::apply(TensorList(variables), call, pending);
}

}  // namespace

std::vector<NodeName> recurrent_cell_nodes() {
  return {{typeid(torch::autograd::CppNode<RecurrentCellBackward>), "RecurrentCellBackward"},
          {typeid(torch::autograd::CppNode<SharedWeights>), "SharedWeights"}};
}

std::tuple<Tensor, Tensor> lstm_cell(const Tensor& input, TensorList hx, const Tensor& w_ih,
                                     const Tensor& w_hh, const OptionalTensor& b_ih,
                                     const OptionalTensor& b_hh) {
  TORCH_CHECK(hx.size() == 2, "lstm_cell expects two hidden states");
  variable_list results = run(Kind::kLstm, {input, hx[0], hx[1]}, w_ih, w_hh, b_ih, b_hh);
  return {std::move(results[0]), std::move(results[1])};
}

Tensor gru_cell(const Tensor& input, const Tensor& hx, const Tensor& w_ih, const Tensor& w_hh,
                const OptionalTensor& b_ih, const OptionalTensor& b_hh) {
  return run(Kind::kGru, {input, hx}, w_ih, w_hh, b_ih, b_hh)[0];
}

Tensor rnn_tanh_cell(const Tensor& input, const Tensor& hx, const Tensor& w_ih, const Tensor& w_hh,
                     const OptionalTensor& b_ih, const OptionalTensor& b_hh) {
  return run(Kind::kTanh, {input, hx}, w_ih, w_hh, b_ih, b_hh)[0];
}

Tensor rnn_relu_cell(const Tensor& input, const Tensor& hx, const Tensor& w_ih, const Tensor& w_hh,
                     const OptionalTensor& b_ih, const OptionalTensor& b_hh) {
  return run(Kind::kRelu, {input, hx}, w_ih, w_hh, b_ih, b_hh)[0];
}

}  // namespace alt::kernels
