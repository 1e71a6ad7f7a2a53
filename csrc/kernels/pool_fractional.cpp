// Fractional max pooling in two and three dimensions: windows of one size at places that two random
// numbers a plane (three in three dimensions) draw. Places come from PyTorch's own function, in
// the input's dtype, as the rounding of a half type moves them.

#include <ATen/core/Tensor.h>
#include <ATen/native/FractionalMaxPooling.h>
#include <ATen/ops/empty.h>

#include <array>
#include <limits>
#include <vector>

#include "kernels/pool.h"

namespace alt::kernels {
namespace {

using at::IntArrayRef;
using at::Tensor;

/// Where the windows of a plane start, along each dimension.
using Starts = std::array<std::vector<int64_t>, 3>;

/// `samples` has a number for each dimension, of which two-dimensional pooling takes the width's
/// first and three-dimensional pooling the depth's.
template <class T>
Starts starts_of(const T* samples, int64_t dimensions, const Extent& input, const Extent& output,
                 const Extent& kernel) {
  Starts starts;
  starts[0].assign(static_cast<size_t>(output[0]), 0);
  for (int64_t i = 3 - dimensions; i < 3; ++i) {
    const T sample = samples[dimensions == 2 ? 2 - i : i];
    starts[i] = at::native::generate_intervals<T>(sample, input[i], output[i], kernel[i]);
  }
  return starts;
}

template <class T>
void max_plane(const T* plane, const Starts& starts, const Extent& input, const Extent& output,
               const Extent& kernel, T* maximum, int64_t* index) {
  for (int64_t d = 0; d < output[0]; ++d) {
    for (int64_t h = 0; h < output[1]; ++h) {
      for (int64_t w = 0; w < output[2]; ++w, ++maximum, ++index) {
        const int64_t corner = (starts[0][d] * input[1] + starts[1][h]) * input[2] + starts[2][w];
        *maximum = -std::numeric_limits<T>::infinity();
        *index = corner;
        for (int64_t z = 0; z < kernel[0]; ++z) {
          for (int64_t y = 0; y < kernel[1]; ++y) {
            for (int64_t x = 0; x < kernel[2]; ++x) {
              const int64_t place = corner + (z * input[1] + y) * input[2] + x;
              if (plane[place] > *maximum || plane[place] != plane[place]) {
                *maximum = plane[place];
                *index = place;
              }
            }
          }
        }
      }
    }
  }
}

void fractional_max_pool(const Tensor& self, int64_t dimensions, const Extent& kernel,
                         const Tensor& random_samples, const char* name, const Tensor& out,
                         const Tensor& indices) {
  const Extent input = planes::spatial(self, dimensions);
  const Extent output = planes::spatial(out, dimensions);
  const Tensor values = planes::source(self);
  const Tensor samples = random_samples.contiguous();
  const planes::Target maxima(out);
  const planes::Target places(indices);
  visit<FloatingAndHalfTypes>(self.scalar_type(), name, [&]<class Sample>() {
    using T = opmath_t<Sample>;
    const T* data = values.const_data_ptr<T>();
    const Sample* sample = samples.const_data_ptr<Sample>();
    T* maximum = maxima.data<T>();
    int64_t* index = places.data<int64_t>();
    planes::for_each(
        planes::count(self, dimensions), volume(output) * volume(kernel), [&](int64_t plane) {
          const Starts starts =
              starts_of(sample + plane * dimensions, dimensions, input, output, kernel);
          max_plane(data + plane * volume(input), starts, input, output, kernel,
                    maximum + plane * volume(output), index + plane * volume(output));
        });
  });
  maxima.finish();
  places.finish();
}

}  // namespace

void fractional_max_pool2d(const Tensor& self, IntArrayRef kernel_size, IntArrayRef /*output_size*/,
                           const Tensor& random_samples, const Tensor& out, const Tensor& indices) {
  at::native::fractional_max_pool_check_shape<2>(self, random_samples);
  fractional_max_pool(self, 2, {1, kernel_size[0], kernel_size[1]}, random_samples,
                      "fractional_max_pool2d_out_frame", out, indices);
}

void fractional_max_pool2d_backward(const Tensor& grad_output, const Tensor& /*self*/,
                                    IntArrayRef /*kernel_size*/, IntArrayRef /*output_size*/,
                                    const Tensor& indices, const Tensor& grad_input) {
  pool::add_at_indices(grad_output, indices, 2, "fractional_max_pool2d_backward_out_frame",
                       grad_input);
}

void fractional_max_pool3d(const Tensor& self, int64_t kernel_depth, int64_t kernel_height,
                           int64_t kernel_width, int64_t /*output_depth*/,
                           int64_t /*output_height*/, int64_t /*output_width*/,
                           const Tensor& random_samples, int64_t /*batch*/, int64_t /*channels*/,
                           int64_t /*depth*/, int64_t /*height*/, int64_t /*width*/,
                           const Tensor& out, const Tensor& indices) {
  at::native::fractional_max_pool_check_shape<3>(self, random_samples);
  fractional_max_pool(self, 3, {kernel_depth, kernel_height, kernel_width}, random_samples,
                      "fractional_max_pool3d_out_frame", out, indices);
}

Tensor& fractional_max_pool3d_backward_out(const Tensor& grad_output, const Tensor& self,
                                           IntArrayRef /*kernel_size*/, IntArrayRef output_size,
                                           const Tensor& indices, Tensor& grad_input) {
  constexpr std::array dimensions{"time", "height", "width"};
  for (int64_t i = 0; i < 3; ++i) {
    TORCH_CHECK(output_size[i] == grad_output.size(grad_output.dim() - 3 + i),
                "fractional_max_pool3d_backward_out(): gradOutput ", dimensions[i], " unexpected");
  }
  grad_input.resize_(self.sizes());
  pool::add_at_indices(grad_output, indices, 3, "fractional_max_pool3d_backward_out_frame",
                       grad_input);
  return grad_input;
}

Tensor fractional_max_pool3d_backward(const Tensor& grad_output, const Tensor& self,
                                      IntArrayRef kernel_size, IntArrayRef output_size,
                                      const Tensor& indices) {
  Tensor grad_input = at::empty({0}, self.options());
  return fractional_max_pool3d_backward_out(grad_output, self, kernel_size, output_size, indices,
                                            grad_input);
}

}  // namespace alt::kernels
