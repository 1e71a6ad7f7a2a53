// lstm, gru, rnn_tanh and rnn_relu, of padded and of packed sequences.
//
// For PyTorch these operators are composites of a few operators a step, which autograd follows.
// Here each layer, with both its directions, is one node of the graph: rnn_sequence_forward.cpp and
// rnn_sequence_backward.cpp compute it whole. Between layers, dropout is PyTorch's, so that it
// draws the same numbers. PyTorch's composite still serves what the kernels have no answer for: bad
// arguments (for its errors), projections, other dtypes, empty tensors, forward-mode AD, functorch,
// tensor subclasses, and the backward pass that shall be differentiated again.
//
// Half and BFloat16 sequences are computed in float from end to end and rounded once; what is saved
// of them is in their own type.
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/gru_native.h>
#include <ATen/ops/lstm_native.h>
#include <ATen/ops/rnn_relu_native.h>
#include <ATen/ops/rnn_tanh_native.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <numeric>
#include <tuple>
#include <vector>

#include "dispatch/autocast.h"
#include "kernels/autograd_nodes.h"
#include "kernels/rnn_autograd.h"
#include "kernels/rnn_sequence.h"
#include "loops/dtype.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using at::TensorList;
using rnn::Kind;
using rnn::prepared;
using rnn::rounded;
using rnn::Steps;
using torch::autograd::AutogradContext;

/// A call of one of the operators. hx holds h, and c of an LSTM.
struct Call {
  Kind kind;
  Tensor input, batch_sizes;  // batch_sizes is undefined where all sequences are of one length
  std::vector<Tensor> hx, parameters;
  bool has_biases;
  int64_t layers;
  double dropout;
  bool train, bidirectional;

  bool packed() const { return batch_sizes.defined(); }
  int64_t directions() const { return bidirectional ? 2 : 1; }
  int64_t parameters_of_direction() const { return has_biases ? 4 : 2; }
  std::vector<Tensor> tensors() const {
    std::vector<Tensor> all{input};
    all.insert(all.end(), hx.begin(), hx.end());
    all.insert(all.end(), parameters.begin(), parameters.end());
    return all;
  }
};

/// PyTorch's own implementation: output, hy, and cy of an LSTM.
variable_list composite(const Call& call) {
  const auto one_state = [&](auto padded, auto packed) -> variable_list {
    auto [output, hy] =
        call.packed()
            ? packed(call.input, call.batch_sizes, call.hx[0], call.parameters, call.has_biases,
                     call.layers, call.dropout, call.train, call.bidirectional)
            : padded(call.input, call.hx[0], call.parameters, call.has_biases, call.layers,
                     call.dropout, call.train, call.bidirectional, false);
    return {output, hy};
  };
  using Padded = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, TensorList, bool, int64_t,
                                            double, bool, bool, bool);
  using Packed = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, TensorList,
                                            bool, int64_t, double, bool, bool);
  switch (call.kind) {
    case Kind::kGru:
      return one_state(static_cast<Padded*>(at::native::gru),
                       static_cast<Packed*>(at::native::gru));
    case Kind::kTanh:
      return one_state(static_cast<Padded*>(at::native::rnn_tanh),
                       static_cast<Packed*>(at::native::rnn_tanh));
    case Kind::kRelu:
      return one_state(static_cast<Padded*>(at::native::rnn_relu),
                       static_cast<Packed*>(at::native::rnn_relu));
    case Kind::kLstm:
      break;
  }
  auto [output, hy, cy] =
      call.packed()
          ? at::native::lstm(call.input, call.batch_sizes, call.hx, call.parameters,
                             call.has_biases, call.layers, call.dropout, call.train,
                             call.bidirectional)
          : at::native::lstm(call.input, call.hx, call.parameters, call.has_biases, call.layers,
                             call.dropout, call.train, call.bidirectional, false);
  return {output, hy, cy};
}

// -- One layer ------------------------------------------------------------------------------------

Steps steps_of(const Call& call) {
  if (!call.packed()) {
    return Steps(std::vector<int64_t>(call.input.size(0), call.input.size(1)));
  }
  const int64_t* sizes = call.batch_sizes.const_data_ptr<int64_t>();
  return Steps(std::vector<int64_t>(sizes, sizes + call.batch_sizes.numel()));
}

rnn::Shape shape_of(const Call& layer) {
  return {layer.kind, layer.input.size(-1), layer.hx[0].size(2), layer.directions()};
}

rnn::Given given(const Call& layer) {
  rnn::Given result;
  result.x = prepared(layer.input);
  result.hx = prepared(layer.hx[0]);
  if (layer.kind == Kind::kLstm) result.cx = prepared(layer.hx[1]);
  const Tensor* parameter = layer.parameters.data();
  for (int64_t d = 0; d < layer.directions(); ++d) {
    result.weights[d].input = prepared(*parameter++);
    result.weights[d].hidden = prepared(*parameter++);
    if (!layer.has_biases) continue;
    result.weights[d].input_bias = prepared(*parameter++);
    result.weights[d].hidden_bias = prepared(*parameter++);
  }
  return result;
}

rnn::Result compute(const Call& layer, rnn::Save save) {
  rnn::Result result = rnn::forward(shape_of(layer), steps_of(layer), given(layer), save,
                                    /*hy_wanted=*/true);
  rnn::round_all({&result.output, &result.hy, &result.cy, &result.gates, &result.cells},
                 layer.input.scalar_type());
  return result;
}

variable_list outputs(const rnn::Result& result) {
  if (result.cy.defined()) return {result.output, result.hy, result.cy};
  return {result.output, result.hy};
}

/// Gradients through PyTorch's composite, which can be differentiated again.
variable_list differentiable_gradients(const Call& layer, const variable_list& grads,
                                       const std::vector<bool>& wanted) {
  return gradients_through(layer.tensors(), wanted, grads, [&](const variable_list& tensors) {
    Call copy = layer;
    auto next = tensors.begin();
    copy.input = *next++;
    for (Tensor& tensor : copy.hx) tensor = *next++;
    for (Tensor& tensor : copy.parameters) tensor = *next++;
    return composite(copy);
  });
}

rnn::Wanted asked_for(const Call& layer, const std::vector<bool>& wanted) {
  rnn::Wanted result{};
  size_t i = 0;
  result.x = wanted[i++];
  result.hx = wanted[i++];
  if (layer.kind == Kind::kLstm) result.cx = wanted[i++];
  for (int64_t d = 0; d < layer.directions(); ++d) {
    result.weights[d].input = wanted[i++];
    result.weights[d].hidden = wanted[i++];
    if (!layer.has_biases) continue;
    result.weights[d].input_bias = wanted[i++];
    result.weights[d].hidden_bias = wanted[i++];
  }
  return result;
}

/// In the order of the inputs, those that are wanted.
variable_list in_order(const Call& layer, const rnn::Gradients& gradients,
                       const std::vector<bool>& wanted) {
  variable_list all{gradients.x, gradients.hx};
  if (layer.kind == Kind::kLstm) all.push_back(gradients.cx);
  for (int64_t d = 0; d < layer.directions(); ++d) {
    const rnn::Weights& weights = gradients.weights[d];
    all.insert(all.end(), {weights.input, weights.hidden});
    if (layer.has_biases) all.insert(all.end(), {weights.input_bias, weights.hidden_bias});
  }
  const at::ScalarType dtype = layer.input.scalar_type();
  for (size_t i = 0; i < all.size(); ++i) {
    all[i] = wanted[i] ? rounded(all[i], dtype) : Tensor();
  }
  return all;
}

class RecurrentLayerBackward : public torch::autograd::Function<RecurrentLayerBackward> {
 public:
  static variable_list forward(AutogradContext* context, TensorList, const Call& layer) {
    const rnn::Result result = compute(layer, rnn::Save::kGatesAndCells);
    variable_list saved = layer.tensors();
    saved.insert(saved.end(), {result.output, result.gates, result.cells});
    context->save_for_backward(saved);
    context->set_materialize_grads(false);
    context->saved_data["kind"] = static_cast<int64_t>(layer.kind);
    context->saved_data["has_biases"] = layer.has_biases;
    context->saved_data["bidirectional"] = layer.bidirectional;
    if (layer.packed()) context->saved_data["batch_sizes"] = layer.batch_sizes;
    rnn::note_hooks(context);
    return outputs(result);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const Call layer = restored(context, saved);
    const size_t inputs = 1 + layer.hx.size() + layer.parameters.size();
    std::vector<bool> wanted;
    for (size_t i = 0; i < inputs; ++i) wanted.push_back(context->needs_input_grad(i));

    variable_list result(inputs);
    const bool any = any_defined(grads);
    if (any && wants_operators(grads)) {
      result = differentiable_gradients(layer, grads, wanted);
    } else if (any) {
      rnn::Result reserve;
      reserve.output = prepared(saved[inputs]);
      reserve.gates = prepared(saved[inputs + 1]);
      reserve.cells = prepared(saved[inputs + 2]);
      const rnn::Gradients found =
          rnn::backward(shape_of(layer), steps_of(layer), given(layer), reserve, prepared(grads[0]),
                        prepared(grads[1]), grads.size() > 2 ? prepared(grads[2]) : Tensor(),
                        asked_for(layer, wanted), rnn::may_overwrite(context));
      result = in_order(layer, found, wanted);
    }
    result.emplace_back();  // for the Call
    return result;
  }

 private:
  static Call restored(AutogradContext* context, const variable_list& saved) {
    auto& data = context->saved_data;
    const auto kind = static_cast<Kind>(data["kind"].toInt());
    const bool has_biases = data["has_biases"].toBool();
    const auto packed = data.find("batch_sizes");
    const auto states = saved.begin() + 1, parameters = states + (kind == Kind::kLstm ? 2 : 1);
    return {kind,
            saved[0],
            packed == data.end() ? Tensor() : packed->second.toTensor(),
            {states, parameters},
            {parameters, saved.end() - 3},
            has_biases,
            /*layers=*/1,
            /*dropout=*/0.0,
            /*train=*/true,
            data["bidirectional"].toBool()};
  }
};

variable_list run_layer(const Call& layer) {
  const std::vector<Tensor> tensors = layer.tensors();
  if (is_differentiated(tensors)) return RecurrentLayerBackward::apply(TensorList(tensors), layer);
  return outputs(compute(layer, rnn::Save::kNothing));
}

// -- The stack of layers --------------------------------------------------------------------------

/// Whether batch_sizes is what pack_padded_sequence makes.
bool is_packing(const Tensor& batch_sizes, int64_t rows, int64_t batch) {
  if (!batch_sizes.is_cpu() || batch_sizes.scalar_type() != at::kLong || batch_sizes.dim() != 1 ||
      !batch_sizes.is_contiguous() || batch_sizes.numel() == 0) {
    return false;
  }
  const int64_t* sizes = batch_sizes.const_data_ptr<int64_t>();
  const int64_t steps = batch_sizes.numel();
  return sizes[0] == batch && sizes[steps - 1] > 0 &&
         std::is_sorted(sizes, sizes + steps, std::greater<>()) &&
         std::accumulate(sizes, sizes + steps, int64_t{0}) == rows;
}

bool sizes_agree(const Call& call) {
  const int64_t states = call.layers * call.directions();
  const int64_t expected = states * call.parameters_of_direction();
  if (call.layers < 1 || static_cast<int64_t>(call.parameters.size()) != expected ||
      call.input.dim() != (call.packed() ? 2 : 3) || call.hx[0].dim() != 3) {
    return false;
  }
  const int64_t batch = call.packed() ? call.hx[0].size(1) : call.input.size(1);
  const int64_t hidden = call.hx[0].size(2), gates = rnn::gate_count(call.kind) * hidden;
  if (call.input.numel() == 0 || batch * hidden == 0 ||
      (call.packed() && !is_packing(call.batch_sizes, call.input.size(0), batch))) {
    return false;
  }
  for (const Tensor& state : call.hx) {
    if (!rnn::has_sizes(state, {states, batch, hidden})) return false;
  }
  int64_t width = call.input.size(-1);
  auto parameter = call.parameters.begin();
  for (int64_t layer = 0; layer < call.layers; ++layer) {
    for (int64_t d = 0; d < call.directions(); ++d) {
      if (!rnn::has_sizes(*parameter++, {gates, width}) ||
          !rnn::has_sizes(*parameter++, {gates, hidden})) {
        return false;
      }
      for (int bias = 0; call.has_biases && bias < 2; ++bias) {
        if (!rnn::has_sizes(*parameter++, {gates})) return false;
      }
    }
    width = call.directions() * hidden;
  }
  return true;
}

/// Whether the kernels take this call.
bool is_served(const Call& call) {
  const std::vector<Tensor> tensors = call.tensors();
  return are_plain(tensors) && sizes_agree(call);
}

variable_list run_stack(const Call& call) {
  const int64_t directions = call.directions();
  const int64_t of_layer = directions * call.parameters_of_direction();
  std::vector<std::vector<Tensor>> states(call.hx.size());
  Call layer = call;
  layer.layers = 1;
  for (int64_t i = 0; i < call.layers; ++i) {
    if (call.layers > 1) {
      for (size_t k = 0; k < call.hx.size(); ++k) {
        layer.hx[k] = call.hx[k].narrow(0, i * directions, directions);
      }
      const auto first = call.parameters.begin() + i * of_layer;
      layer.parameters.assign(first, first + of_layer);
    }
    const variable_list results = run_layer(layer);
    layer.input = results[0];
    for (size_t k = 0; k < states.size(); ++k) states[k].push_back(results[k + 1]);
    if (call.dropout != 0 && call.train && i + 1 < call.layers) {
      layer.input = at::dropout(layer.input, call.dropout, /*train=*/true);
    }
  }
  variable_list results{layer.input};
  for (const auto& of_layers : states) {
    results.push_back(of_layers.size() == 1 ? of_layers[0] : at::cat(of_layers, 0));
  }
  return results;
}

/// As PyTorch does for the recurrent layers of its own accelerators: all of it in one precision.
void autocast(Call& call) {
  call.input = in_autocast_dtype(call.input);
  for (Tensor& tensor : call.hx) tensor = in_autocast_dtype(tensor);
  for (Tensor& tensor : call.parameters) tensor = in_autocast_dtype(tensor);
}

variable_list run(Call call, bool batch_first) {
  if (call.input.defined() && call.input.is_privateuseone()) autocast(call);
  const bool transpose = batch_first && call.input.dim() >= 2;
  if (transpose) call.input = call.input.transpose(0, 1);
  variable_list results = is_served(call) ? run_stack(call) : composite(call);
  if (transpose) results[0] = results[0].transpose(0, 1);
  return results;
}

std::tuple<Tensor, Tensor, Tensor> run_lstm(Call call, bool batch_first) {
  TORCH_CHECK(call.hx.size() == 2, "lstm expects two hidden states");
  variable_list results = run(std::move(call), batch_first);
  return {std::move(results[0]), std::move(results[1]), std::move(results[2])};
}

template <Kind kind>
std::tuple<Tensor, Tensor> run_one_state(const Tensor& input, const Tensor& batch_sizes,
                                         const Tensor& hx, TensorList parameters, bool has_biases,
                                         int64_t layers, double dropout, bool train,
                                         bool bidirectional, bool batch_first) {
  variable_list results = run({kind,
                               input,
                               batch_sizes,
                               {hx},
                               parameters.vec(),
                               has_biases,
                               layers,
                               dropout,
                               train,
                               bidirectional},
                              batch_first);
  return {std::move(results[0]), std::move(results[1])};
}

}  // namespace

std::vector<NodeName> recurrent_layer_nodes() {
  return {{typeid(torch::autograd::CppNode<RecurrentLayerBackward>), "RecurrentLayerBackward"}};
}

std::tuple<Tensor, Tensor, Tensor> lstm_input(const Tensor& input, TensorList hx, TensorList params,
                                              bool has_biases, int64_t num_layers, double dropout,
                                              bool train, bool bidirectional, bool batch_first) {
  return run_lstm({Kind::kLstm, input, Tensor(), hx.vec(), params.vec(), has_biases, num_layers,
                   dropout, train, bidirectional},
                  batch_first);
}

std::tuple<Tensor, Tensor, Tensor> lstm_data(const Tensor& data, const Tensor& batch_sizes,
                                             TensorList hx, TensorList params, bool has_biases,
                                             int64_t num_layers, double dropout, bool train,
                                             bool bidirectional) {
  return run_lstm({Kind::kLstm, data, batch_sizes, hx.vec(), params.vec(), has_biases, num_layers,
                   dropout, train, bidirectional},
                  false);
}

std::tuple<Tensor, Tensor> gru_input(const Tensor& input, const Tensor& hx, TensorList params,
                                     bool has_biases, int64_t num_layers, double dropout,
                                     bool train, bool bidirectional, bool batch_first) {
  return run_one_state<Kind::kGru>(input, Tensor(), hx, params, has_biases, num_layers, dropout,
                                   train, bidirectional, batch_first);
}

std::tuple<Tensor, Tensor> gru_data(const Tensor& data, const Tensor& batch_sizes, const Tensor& hx,
                                    TensorList params, bool has_biases, int64_t num_layers,
                                    double dropout, bool train, bool bidirectional) {
  return run_one_state<Kind::kGru>(data, batch_sizes, hx, params, has_biases, num_layers, dropout,
                                   train, bidirectional, false);
}

std::tuple<Tensor, Tensor> rnn_tanh_input(const Tensor& input, const Tensor& hx, TensorList params,
                                          bool has_biases, int64_t num_layers, double dropout,
                                          bool train, bool bidirectional, bool batch_first) {
  return run_one_state<Kind::kTanh>(input, Tensor(), hx, params, has_biases, num_layers, dropout,
                                    train, bidirectional, batch_first);
}

std::tuple<Tensor, Tensor> rnn_tanh_data(const Tensor& data, const Tensor& batch_sizes,
                                         const Tensor& hx, TensorList params, bool has_biases,
                                         int64_t num_layers, double dropout, bool train,
                                         bool bidirectional) {
  return run_one_state<Kind::kTanh>(data, batch_sizes, hx, params, has_biases, num_layers, dropout,
                                    train, bidirectional, false);
}

std::tuple<Tensor, Tensor> rnn_relu_input(const Tensor& input, const Tensor& hx, TensorList params,
                                          bool has_biases, int64_t num_layers, double dropout,
                                          bool train, bool bidirectional, bool batch_first) {
  return run_one_state<Kind::kRelu>(input, Tensor(), hx, params, has_biases, num_layers, dropout,
                                    train, bidirectional, batch_first);
}

std::tuple<Tensor, Tensor> rnn_relu_data(const Tensor& data, const Tensor& batch_sizes,
                                         const Tensor& hx, TensorList params, bool has_biases,
                                         int64_t num_layers, double dropout, bool train,
                                         bool bidirectional) {
  return run_one_state<Kind::kRelu>(data, batch_sizes, hx, params, has_biases, num_layers, dropout,
                                    train, bidirectional, false);
}

}  // namespace alt::kernels
