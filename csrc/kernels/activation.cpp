// The front-ends of activations whose own front-end asks for the CPU by name, their arithmetic in
// csrc/ops/activation.h; and rrelu, which draws its slopes one element after another.
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Gelu.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/leaky_relu.h>

#include <mutex>
#include <string_view>

#include "generated/pointwise_kernels.h"
#include "kernels/random.h"

namespace alt::kernels {

void gelu(const at::Tensor& self, std::string_view approximate, const at::Tensor& result) {
  at::Tensor out = result;
  auto iter = at::TensorIterator::unary_op(out, self);
  if (at::native::get_gelutype_enum(approximate) == at::native::GeluType::Tanh) {
    gelu_tanh(iter);
  } else {
    gelu_exact(iter);
  }
}

void gelu_backward(const at::Tensor& grad, const at::Tensor& self, std::string_view approximate,
                   const at::Tensor& grad_input) {
  auto iter = at::TensorIterator::borrowing_binary_op(grad_input, grad, self);
  if (at::native::get_gelutype_enum(approximate) == at::native::GeluType::Tanh) {
    gelu_tanh_backward(iter);
  } else {
    gelu_exact_backward(iter);
  }
}

std::tuple<at::Tensor&, at::Tensor&> log_sigmoid_forward_out(const at::Tensor& self,
                                                             at::Tensor& output,
                                                             at::Tensor& buffer) {
  output.resize_as_(self);  // as stock, which does not warn here
  auto iter = at::TensorIterator::unary_op(output, self);
  log_sigmoid(iter);
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
  log_sigmoid_backward(iter);
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
  const int64_t half = self.size(wrapped) / 2;
  auto iter = at::TensorIteratorConfig()
                  .add_owned_output(grad_input.narrow(wrapped, 0, half))
                  .add_owned_output(grad_input.narrow(wrapped, half, half))
                  .add_owned_const_input(self.narrow(wrapped, 0, half))
                  .add_owned_const_input(self.narrow(wrapped, half, half))
                  .add_const_input(grad)
                  .resize_outputs(false)
                  .build();
  glu_backward(iter);
  return grad_input;
}

at::Tensor glu_backward(const at::Tensor& grad, const at::Tensor& self, int64_t dim) {
  at::Tensor grad_input = at::empty({0}, self.options());
  return glu_backward_out(grad, self, dim, grad_input);
}

namespace {

/// `noise` gets the slopes of what is not positive, each a draw as stock's, and 1 elsewhere. All
/// three are contiguous.
template <class T>
void draw_slopes(const at::Tensor& self, const at::Tensor& noise, const at::Tensor& out,
                 const at::Scalar& lower, const at::Scalar& upper, HostGenerator& generator) {
  const double low = lower.to<opmath_t<T>>();
  const double range = upper.to<opmath_t<T>>() - low;
  const T* x = self.const_data_ptr<T>();
  T* slopes = noise.mutable_data_ptr<T>();
  T* y = out.mutable_data_ptr<T>();
  std::lock_guard lock(generator.mutex_);
  for (int64_t i = 0; i < self.numel(); ++i) {
    const bool drawn = x[i] <= T(0);
    const auto slope = static_cast<opmath_t<T>>(
        drawn ? draws::unit_uniform<double>(generator) * range + low : 1.0);
    y[i] = drawn ? static_cast<T>(static_cast<opmath_t<T>>(x[i]) * slope) : x[i];
    slopes[i] = static_cast<T>(slope);
  }
}

}  // namespace

at::Tensor& rrelu_with_noise_out(const at::Tensor& self, at::Tensor& noise, const at::Scalar& lower,
                                 const at::Scalar& upper, bool training,
                                 std::optional<at::Generator> generator, at::Tensor& out) {
  TORCH_CHECK(self.sizes() == noise.sizes(),
              "noise tensor shape must match self tensor shape. Got self.shape = ", self.sizes(),
              " noise.shape = ", noise.sizes());
  if (!training) return at::leaky_relu_out(out, self, (lower.toDouble() + upper.toDouble()) / 2);
  using Types = TypeList<float, double, at::BFloat16>;
  visit<Types>(self.scalar_type(), "rrelu_with_noise_out_cpu", [&]<class T>() {
    out.resize_as_(self);
    const at::Tensor values = out.contiguous();
    const at::Tensor slopes = noise.contiguous();
    draw_slopes<T>(self.contiguous(), slopes, values, lower, upper, *get_generator(generator));
    if (!values.is_same(out)) out.copy_(values);
    if (!slopes.is_same(noise)) noise.copy_(slopes);
  });
  return out;
}

at::Tensor rrelu_with_noise(const at::Tensor& self, at::Tensor& noise, const at::Scalar& lower,
                            const at::Scalar& upper, bool training,
                            std::optional<at::Generator> generator) {
  at::Tensor out = at::empty_like(self, at::MemoryFormat::Contiguous);
  return rrelu_with_noise_out(self, noise, lower, upper, training, std::move(generator), out);
}

at::Tensor& rrelu_with_noise_(at::Tensor& self, at::Tensor& noise, const at::Scalar& lower,
                              const at::Scalar& upper, bool training,
                              std::optional<at::Generator> generator) {
  return rrelu_with_noise_out(self, noise, lower, upper, training, std::move(generator), self);
}

}  // namespace alt::kernels
