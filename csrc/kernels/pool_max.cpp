// Max pooling with indices, plain and adaptive, in two and three dimensions, and the gradients.
//
// Forward, a row of outputs at a time: each element of the window in turn is compared with the
// maxima so far, so the inner loop runs along the row. The first of equal elements wins, and the
// last of several NaNs, as in stock. Indices count within an input plane. Backward, a plane at a
// time: each output's gradient is added at its index.

#include <ATen/TensorUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Pool.h>
#include <ATen/ops/empty.h>

#include <limits>
#include <tuple>
#include <type_traits>

#include "kernels/pool.h"

namespace alt::kernels {
namespace {

using at::IntArrayRef;
using at::Tensor;
using pool::Geometry;

using MaxPoolTypes = concat_t<IntegralTypes, FloatingTypes>;

template <class T>
constexpr T lowest() {
  return std::is_integral_v<T> ? std::numeric_limits<T>::lowest()
                               : -std::numeric_limits<T>::infinity();
}

template <class T>
bool replaces(T value, T maximum) {
  return value > maximum || value != value;
}

/// The first position of a window that is inside the image.
int64_t first_inside(int64_t start, int64_t dilation) {
  return start >= 0 ? start : start + (-start + dilation - 1) / dilation * dilation;
}

template <class T>
void max_row(const Geometry& g, const T* plane, int64_t d, int64_t h, T* maximum, int64_t* index) {
  const int64_t z0 = d * g.stride[0] - g.padding[0];
  const int64_t y0 = h * g.stride[1] - g.padding[1];
  const int64_t corner =
      (first_inside(z0, g.dilation[0]) * g.input[1] + first_inside(y0, g.dilation[1])) * g.input[2];
  for (int64_t w = 0; w < g.output[2]; ++w) {
    maximum[w] = lowest<T>();
    index[w] = corner + first_inside(w * g.stride[2] - g.padding[2], g.dilation[2]);
  }
  for (int64_t kz = 0; kz < g.kernel[0]; ++kz) {
    const int64_t z = z0 + kz * g.dilation[0];
    if (outside(z, g.input[0])) {
      continue;
    }
    for (int64_t ky = 0; ky < g.kernel[1]; ++ky) {
      const int64_t y = y0 + ky * g.dilation[1];
      if (outside(y, g.input[1])) {
        continue;
      }
      const int64_t row = (z * g.input[1] + y) * g.input[2];
      for (int64_t kx = 0; kx < g.kernel[2]; ++kx) {
        const int64_t x = kx * g.dilation[2] - g.padding[2];
        const Inside inside(x, g.stride[2], g.output[2], g.input[2]);
        for (int64_t w = inside.first; w < inside.last; ++w) {
          const int64_t position = row + x + w * g.stride[2];
          const T value = plane[position];
          const bool take = replaces(value, maximum[w]);
          maximum[w] = take ? value : maximum[w];
          index[w] = take ? position : index[w];
        }
      }
    }
  }
}

void max_pool(const Tensor& self, const Geometry& geometry, const char* name, const Tensor& out,
              const Tensor& indices) {
  const Tensor input = planes::source(self);
  const planes::Target maxima(out);
  const planes::Target places(indices);
  visit<MaxPoolTypes>(input.scalar_type(), name, [&]<class T>() {
    const T* data = input.const_data_ptr<T>();
    T* maximum = maxima.data<T>();
    int64_t* index = places.data<int64_t>();
    const int64_t width = geometry.output[2];
    planes::for_each_row(geometry.planes, geometry.output, width * volume(geometry.kernel),
                         [&](int64_t plane, int64_t d, int64_t h) {
                           const int64_t row =
                               ((plane * geometry.output[0] + d) * geometry.output[1] + h) * width;
                           max_row(geometry, data + plane * volume(geometry.input), d, h,
                                   maximum + row, index + row);
                         });
  });
  maxima.finish();
  places.finish();
}

template <class T>
void adaptive_max_row(const Geometry& g, const T* plane, int64_t d, int64_t h, T* maximum,
                      int64_t* index) {
  const pool::AdaptiveRange depth(d, g.output[0], g.input[0]);
  const pool::AdaptiveRange height(h, g.output[1], g.input[1]);
  for (int64_t w = 0; w < g.output[2]; ++w) {
    const pool::AdaptiveRange width(w, g.output[2], g.input[2]);
    maximum[w] = lowest<T>();
    index[w] = (depth.first * g.input[1] + height.first) * g.input[2] + width.first;
    for (int64_t z = depth.first; z < depth.last; ++z) {
      for (int64_t y = height.first; y < height.last; ++y) {
        const int64_t row = (z * g.input[1] + y) * g.input[2];
        for (int64_t x = width.first; x < width.last; ++x) {
          if (replaces(plane[row + x], maximum[w])) {
            maximum[w] = plane[row + x];
            index[w] = row + x;
          }
        }
      }
    }
  }
}

void adaptive_max_pool(const Tensor& self, int64_t dimensions, const char* name, const Tensor& out,
                       const Tensor& indices) {
  const Tensor input = planes::source(self);
  const planes::Target maxima(out);
  const planes::Target places(indices);
  Geometry geometry{};
  geometry.input = planes::spatial(self, dimensions);
  geometry.output = planes::spatial(out, dimensions);
  visit<FloatingTypes>(input.scalar_type(), name, [&]<class T>() {
    const T* data = input.const_data_ptr<T>();
    T* maximum = maxima.data<T>();
    int64_t* index = places.data<int64_t>();
    const int64_t width = geometry.output[2];
    const int64_t rows = geometry.output[0] * geometry.output[1];
    planes::for_each_row(planes::count(self, dimensions), geometry.output,
                         volume(geometry.input) / std::max<int64_t>(rows, 1),
                         [&](int64_t plane, int64_t d, int64_t h) {
                           const int64_t row = (plane * rows + d * geometry.output[1] + h) * width;
                           adaptive_max_row(geometry, data + plane * volume(geometry.input), d, h,
                                            maximum + row, index + row);
                         });
  });
  maxima.finish();
  places.finish();
}

Geometry geometry_of(const Tensor& self, const Tensor& out, int64_t dimensions,
                     IntArrayRef kernel_size, IntArrayRef stride, IntArrayRef padding,
                     IntArrayRef dilation) {
  const Extent kernel = pool::parameter(kernel_size, dimensions, 1);
  return {.planes = planes::count(self, dimensions),
          .input = planes::spatial(self, dimensions),
          .output = planes::spatial(out, dimensions),
          .kernel = kernel,
          .stride = pool::parameter(stride, dimensions, 1, kernel),
          .padding = pool::parameter(padding, dimensions, 0),
          .dilation = pool::parameter(dilation, dimensions, 1)};
}

/// Checks the arguments of max_pool3d_with_indices and returns the output's sizes.
at::DimVector check_max_pool3d(const Tensor& self, IntArrayRef kernel_size, IntArrayRef stride,
                               IntArrayRef padding, IntArrayRef dilation, bool ceil_mode) {
  TORCH_CHECK(kernel_size.size() == 1 || kernel_size.size() == 3,
              "max_pool3d: kernel_size must either be a single int, or a tuple of three ints");
  TORCH_CHECK(stride.empty() || stride.size() == 1 || stride.size() == 3,
              "max_pool3d: stride must either be omitted, a single int, or a tuple of three ints");
  TORCH_CHECK(padding.size() == 1 || padding.size() == 3,
              "max_pool3d: padding must either be a single int, or a tuple of three ints");
  TORCH_CHECK(dilation.size() == 1 || dilation.size() == 3,
              "max_pool3d: dilation must be either a single int, or a tuple of three ints");
  TORCH_CHECK(self.dim() == 4 || self.dim() == 5,
              "non-empty 4D or 5D (batch mode) tensor expected for input");
  const Geometry g = geometry_of(self, self, 3, kernel_size, stride, padding, dilation);
  Extent output;
  for (int i = 0; i < 3; ++i) {
    output[i] = at::native::pooling_output_shape<int64_t>(g.input[i], g.kernel[i], g.padding[i],
                                                          g.stride[i], g.dilation[i], ceil_mode);
  }
  at::native::pool3d_shape_check(self, self.size(-4), g.kernel[0], g.kernel[1], g.kernel[2],
                                 g.stride[0], g.stride[1], g.stride[2], g.padding[0], g.padding[1],
                                 g.padding[2], g.dilation[0], g.dilation[1], g.dilation[2],
                                 g.input[0], g.input[1], g.input[2], output[0], output[1],
                                 output[2], "max_pool3d_with_indices()");
  at::DimVector sizes(self.sizes().begin(), self.sizes().end() - 3);
  sizes.append(output.begin(), output.end());
  return sizes;
}

}  // namespace

void pool::add_at_indices(const Tensor& grad_output, const Tensor& indices, int64_t dimensions,
                          const char* name, const Tensor& grad_input) {
  const Tensor grad = planes::source(grad_output);
  const Tensor places = indices.contiguous();
  const planes::Target target(grad_input);
  const int64_t input = volume(planes::spatial(grad_input, dimensions));
  const int64_t output = volume(planes::spatial(grad, dimensions));
  visit<FloatingTypes>(grad.scalar_type(), name, [&]<class T>() {
    const T* data = grad.const_data_ptr<T>();
    const int64_t* index = places.const_data_ptr<int64_t>();
    T* result = target.data<T>();
    planes::for_each(planes::count(grad_input, dimensions), input + output, [&](int64_t plane) {
      T* base = result + plane * input;
      std::fill_n(base, input, T(0));
      for (int64_t i = plane * output; i < (plane + 1) * output; ++i) {
        TORCH_CHECK_INDEX(!outside(index[i], input), name, ": index ", index[i],
                          " is out of range for a plane of ", input, " elements");
        base[index[i]] += data[i];
      }
    });
  });
  target.finish();
}

void max_pool2d_with_indices(const Tensor& self, IntArrayRef kernel_size, IntArrayRef stride,
                             IntArrayRef padding, IntArrayRef dilation, bool /*ceil_mode*/,
                             const Tensor& out, const Tensor& indices) {
  max_pool(self, geometry_of(self, out, 2, kernel_size, stride, padding, dilation), "max_pool2d",
           out, indices);
}

void max_pool2d_with_indices_backward(const Tensor& grad_output, const Tensor& /*self*/,
                                      IntArrayRef, IntArrayRef, IntArrayRef, IntArrayRef, bool,
                                      const Tensor& indices, const Tensor& grad_input) {
  pool::add_at_indices(grad_output, indices, 2, "max_pool2d_backward", grad_input);
}

std::tuple<Tensor&, Tensor&> max_pool3d_with_indices_out(const Tensor& self,
                                                         IntArrayRef kernel_size,
                                                         IntArrayRef stride, IntArrayRef padding,
                                                         IntArrayRef dilation, bool ceil_mode,
                                                         Tensor& out, Tensor& indices) {
  const at::DimVector sizes =
      check_max_pool3d(self, kernel_size, stride, padding, dilation, ceil_mode);
  const at::MemoryFormat format =
      self.dim() == 5 ? self.suggest_memory_format() : at::MemoryFormat::Contiguous;
  out.resize_(sizes, format);
  indices.resize_(sizes, format);
  max_pool(self, geometry_of(self, out, 3, kernel_size, stride, padding, dilation), "max_pool3d",
           out, indices);
  return {out, indices};
}

std::tuple<Tensor, Tensor> max_pool3d_with_indices(const Tensor& self, IntArrayRef kernel_size,
                                                   IntArrayRef stride, IntArrayRef padding,
                                                   IntArrayRef dilation, bool ceil_mode) {
  Tensor out = at::empty({0}, self.options());
  Tensor indices = at::empty({0}, self.options().dtype(at::kLong));
  max_pool3d_with_indices_out(self, kernel_size, stride, padding, dilation, ceil_mode, out,
                              indices);
  return {out, indices};
}

Tensor& max_pool3d_with_indices_backward_out(const Tensor& grad_output, const Tensor& self,
                                             IntArrayRef kernel_size, IntArrayRef stride,
                                             IntArrayRef padding, IntArrayRef dilation,
                                             bool ceil_mode, const Tensor& indices,
                                             Tensor& grad_input) {
  const at::DimVector sizes =
      check_max_pool3d(self, kernel_size, stride, padding, dilation, ceil_mode);
  for (int64_t i = 0; i < self.dim(); ++i) {
    at::check_dim_size(grad_output, self.dim(), i, sizes[i]);
    at::check_dim_size(indices, self.dim(), i, sizes[i]);
  }
  grad_input.resize_(self.sizes(),
                     self.dim() == 5 ? self.suggest_memory_format() : at::MemoryFormat::Contiguous);
  pool::add_at_indices(grad_output, indices, 3, "max_pool3d_backward", grad_input);
  return grad_input;
}

Tensor max_pool3d_with_indices_backward(const Tensor& grad_output, const Tensor& self,
                                        IntArrayRef kernel_size, IntArrayRef stride,
                                        IntArrayRef padding, IntArrayRef dilation, bool ceil_mode,
                                        const Tensor& indices) {
  Tensor grad_input = at::empty({0}, self.options());
  return max_pool3d_with_indices_backward_out(grad_output, self, kernel_size, stride, padding,
                                              dilation, ceil_mode, indices, grad_input);
}

void adaptive_max_pool2d(const Tensor& self, IntArrayRef /*output_size*/, const Tensor& out,
                         const Tensor& indices) {
  adaptive_max_pool(self, 2, "adaptive_max_pool2d", out, indices);
}

void adaptive_max_pool2d_backward(const Tensor& grad_output, const Tensor& /*self*/,
                                  const Tensor& indices, const Tensor& grad_input) {
  pool::add_at_indices(grad_output, indices, 2, "adaptive_max_pool2d_backward", grad_input);
}

void adaptive_max_pool3d(const Tensor& self, IntArrayRef /*output_size*/, const Tensor& out,
                         const Tensor& indices) {
  adaptive_max_pool(self, 3, "adaptive_max_pool3d_cpu", out, indices);
}

void adaptive_max_pool3d_backward(const Tensor& grad_output, const Tensor& /*self*/,
                                  const Tensor& indices, const Tensor& grad_input) {
  pool::add_at_indices(grad_output, indices, 3, "adaptive_max_pool3d_backward", grad_input);
}

}  // namespace alt::kernels
