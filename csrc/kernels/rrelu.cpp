// Randomised leaky ReLU: in training every element that is not positive draws a slope of its own,
// in the order of the elements; the slopes are the noise, which the gradient needs.
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/leaky_relu.h>

#include <cmath>
#include <mutex>

#include "kernels/random.h"

namespace alt::kernels {
namespace {

using at::Tensor;

void train(const Tensor& self, const Tensor& noise, double lower, double upper,
           const std::optional<at::Generator>& generator_argument, const Tensor& out) {
  TORCH_CHECK(noise.scalar_type() == self.scalar_type(), "expected scalar type ",
              self.scalar_type(), " but found ", noise.scalar_type());
  TORCH_CHECK(lower <= upper, "Expected from <= to to be true, but got false.");
  HostGenerator& generator = *get_generator(generator_argument);
  const Tensor input = self.contiguous();
  const Tensor slopes = at::empty_like(input), result = at::empty_like(input);
  visit<concat_t<FloatingTypes, TypeList<at::BFloat16>>>(
      self.scalar_type(), "rrelu_with_noise_out_cpu", [&]<class T>() {
        const T* from = input.const_data_ptr<T>();
        T *slope = slopes.mutable_data_ptr<T>(), *to = result.mutable_data_ptr<T>();
        std::lock_guard lock(generator.mutex_);
        for (int64_t i = 0; i < input.numel(); ++i) {
          if (from[i] <= T(0)) {
            const double unit = draws::unit_uniform<double>(generator);
            slope[i] = static_cast<T>(std::fma(unit, upper - lower, lower));
            to[i] = from[i] * slope[i];
          } else {
            slope[i] = T(1);
            to[i] = from[i];
          }
        }
      });
  noise.copy_(slopes);
  out.copy_(result);
}

}  // namespace

Tensor& rrelu_with_noise_out(const Tensor& self, Tensor& noise, const at::Scalar& lower,
                             const at::Scalar& upper, bool training,
                             std::optional<at::Generator> generator, Tensor& out) {
  TORCH_CHECK(self.sizes() == noise.sizes(),
              "noise tensor shape must match self tensor shape. Got self.shape = ", self.sizes(),
              " noise.shape = ", noise.sizes());
  if (!training) {
    return at::leaky_relu_out(out, self, (lower.toDouble() + upper.toDouble()) / 2);
  }
  at::native::resize_output(out, self.sizes());
  train(self, noise, lower.toDouble(), upper.toDouble(), generator, out);
  return out;
}

Tensor rrelu_with_noise(const Tensor& self, Tensor& noise, const at::Scalar& lower,
                        const at::Scalar& upper, bool training,
                        std::optional<at::Generator> generator) {
  Tensor out = at::empty_like(self, at::MemoryFormat::Contiguous);
  return kernels::rrelu_with_noise_out(self, noise, lower, upper, training, generator, out);
}

Tensor& rrelu_with_noise_(Tensor& self, Tensor& noise, const at::Scalar& lower,
                          const at::Scalar& upper, bool training,
                          std::optional<at::Generator> generator) {
  return kernels::rrelu_with_noise_out(self, noise, lower, upper, training, generator, self);
}

}  // namespace alt::kernels
