// Activations whose front-end asks for the CPU by name or that have two results; the arithmetic is
// csrc/ops/activation.h.
#include "ops/activation.h"

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Gelu.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <string_view>

#include "loops/pointwise.h"

namespace alt::kernels {
namespace {

struct GeluExact {
  static constexpr const char* name = "gelu";
  template <class T>
  ALT_FN T operator()(T x) const {
    return ops::gelu_exact(x);
  }
};
struct GeluTanh {
  static constexpr const char* name = "gelu";
  template <class T>
  ALT_FN T operator()(T x) const {
    return ops::gelu_tanh(x);
  }
};
struct GeluExactBackward {
  static constexpr const char* name = "gelu_backward";
  template <class T>
  ALT_FN T operator()(T grad, T x) const {
    return ops::gelu_exact_backward(grad, x);
  }
};
struct GeluTanhBackward {
  static constexpr const char* name = "gelu_backward";
  template <class T>
  ALT_FN T operator()(T grad, T x) const {
    return ops::gelu_tanh_backward(grad, x);
  }
};
struct LogSigmoid {
  static constexpr const char* name = "log_sigmoid";
  template <class T>
  ALT_FN T operator()(T x) const {
    return ops::log_sigmoid(x);
  }
};
struct LogSigmoidBackward {
  static constexpr const char* name = "log_sigmoid_backward";
  template <class T>
  ALT_FN T operator()(T x, T grad) const {
    return ops::log_sigmoid_backward(x, grad);
  }
};
struct GluBackwardValue {
  static constexpr const char* name = "glu_backward";
  template <class T>
  ALT_FN T operator()(T, T gate, T grad) const {
    return grad * ops::sigmoid(gate);
  }
};
struct GluBackwardGate {
  static constexpr const char* name = "glu_backward";
  template <class T>
  ALT_FN T operator()(T value, T gate, T grad) const {
    const T open = ops::sigmoid(gate);
    return grad * value * open * (T(1) - open);
  }
};
struct PreluBackwardInput {
  static constexpr const char* name = "prelu_backward";
  template <class T>
  ALT_FN T operator()(T x, T weight, T grad) const {
    return select(x > T(0), grad, weight * grad);
  }
};
struct PreluBackwardWeight {
  static constexpr const char* name = "prelu_backward";
  template <class T>
  ALT_FN T operator()(T x, T, T grad) const {
    return select(x > T(0), T(0), x * grad);
  }
};

constexpr int64_t kTranscendental = 12;

at::TensorIterator ternary(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
                           const at::Tensor& c) {
  return at::TensorIteratorConfig()
      .add_output(out)
      .add_const_input(a)
      .add_const_input(b)
      .add_const_input(c)
      .resize_outputs(false)
      .build();
}

void glu_backward_into(const at::Tensor& grad_input, const at::Tensor& grad, const at::Tensor& self,
                       int64_t dim) {
  const int64_t half = self.size(dim) / 2;
  const at::Tensor value = self.narrow(dim, 0, half);
  const at::Tensor gate = self.narrow(dim, half, half);
  auto value_iter = ternary(grad_input.narrow(dim, 0, half), value, gate, grad);
  pointwise<GluBackwardValue, FloatingTypes, 3, ComputeDtype::kCommon, kTranscendental>(value_iter);
  auto gate_iter = ternary(grad_input.narrow(dim, half, half), value, gate, grad);
  pointwise<GluBackwardGate, FloatingTypes, 3, ComputeDtype::kCommon, kTranscendental>(gate_iter);
}

}  // namespace

void gelu(const at::Tensor& self, std::string_view approximate, const at::Tensor& result) {
  at::Tensor out = result;
  auto iter = at::TensorIterator::unary_op(out, self);
  if (at::native::get_gelutype_enum(approximate) == at::native::GeluType::Tanh) {
    pointwise<GeluTanh, FloatingTypes, 1, ComputeDtype::kCommon, kTranscendental>(iter);
  } else {
    pointwise<GeluExact, FloatingTypes, 1, ComputeDtype::kCommon, kTranscendental>(iter);
  }
}

void gelu_backward(const at::Tensor& grad, const at::Tensor& self, std::string_view approximate,
                   const at::Tensor& grad_input) {
  auto iter = at::TensorIterator::borrowing_binary_op(grad_input, grad, self);
  if (at::native::get_gelutype_enum(approximate) == at::native::GeluType::Tanh) {
    pointwise<GeluTanhBackward, FloatingTypes, 2, ComputeDtype::kCommon, kTranscendental>(iter);
  } else {
    pointwise<GeluExactBackward, FloatingTypes, 2, ComputeDtype::kCommon, kTranscendental>(iter);
  }
}

std::tuple<at::Tensor&, at::Tensor&> log_sigmoid_forward_out(const at::Tensor& self,
                                                             at::Tensor& output,
                                                             at::Tensor& buffer) {
  auto iter = at::TensorIterator::unary_op(output, self);
  pointwise<LogSigmoid, FloatingTypes, 1, ComputeDtype::kCommon, kTranscendental>(iter);
  // Stock's CPU keeps exp(-|x|) here for the backward; ours computes it again, which is cheaper
  // than a pass over memory, so the buffer stays empty as CUDA's does.
  return {output, buffer};
}

std::tuple<at::Tensor, at::Tensor> log_sigmoid_forward(const at::Tensor& self) {
  at::Tensor output = at::empty_like(self);
  at::Tensor buffer = at::empty({0}, self.options());
  log_sigmoid_forward_out(self, output, buffer);
  return {output, buffer};
}

at::Tensor& log_sigmoid_backward_out(const at::Tensor& grad, const at::Tensor& self,
                                     const at::Tensor&, at::Tensor& grad_input) {
  auto iter = at::TensorIterator::binary_op(grad_input, self, grad);
  pointwise<LogSigmoidBackward, FloatingTypes, 2, ComputeDtype::kCommon, kTranscendental>(iter);
  return grad_input;
}

at::Tensor log_sigmoid_backward(const at::Tensor& grad, const at::Tensor& self,
                                const at::Tensor& buffer) {
  at::Tensor grad_input = at::empty_like(self);
  return log_sigmoid_backward_out(grad, self, buffer, grad_input);
}

at::Tensor& glu_backward_out(const at::Tensor& grad, const at::Tensor& self, int64_t dim,
                             at::Tensor& grad_input) {
  TORCH_CHECK(self.dim() > 0, "glu does not support 0-dimensional tensors");
  const int64_t wrapped = c10::maybe_wrap_dim(dim, self.dim());
  TORCH_CHECK(self.size(wrapped) % 2 == 0, "Halving dimension must be even, but dimension ",
              wrapped, " is size ", self.size(wrapped));
  grad_input.resize_as_(self);
  glu_backward_into(grad_input, grad, self, wrapped);
  return grad_input;
}

at::Tensor glu_backward(const at::Tensor& grad, const at::Tensor& self, int64_t dim) {
  at::Tensor grad_input = at::empty({0}, self.options());
  return glu_backward_out(grad, self, dim, grad_input);
}

/// Two outputs: the gradient of the input and, not yet summed, of the weight.
void prelu_backward(at::TensorIterator& iter) {
  auto input_iter = ternary(iter.output(0), iter.input(0), iter.input(1), iter.input(2));
  pointwise<PreluBackwardInput, FloatingTypes, 3>(input_iter);
  auto weight_iter = ternary(iter.output(1), iter.input(0), iter.input(1), iter.input(2));
  pointwise<PreluBackwardWeight, FloatingTypes, 3>(weight_iter);
}

}  // namespace alt::kernels
