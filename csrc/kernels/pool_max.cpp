// Max pooling with indices, plain and adaptive, in two and three dimensions, and the gradients.
//
// Forward, a row of outputs at a time, with what the borders cut from the windows worked out once
// before. Windows of 2 x 2 and 3 x 3 elements are unrolled, so that the loop along the row runs in
// lanes. The first of equal elements wins, and the last of several NaNs, as in stock. Indices count
// within an input plane. Backward, a plane at a time: each output's gradient is added at its index.

#include <ATen/TensorUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Pool.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <type_traits>
#include <vector>

#include "kernels/cuda/pool.h"
#include "kernels/operands.h"
#include "kernels/pool.h"
#include "runtime/cuda/engine.h"

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

/// What of the windows along one dimension is inside the image.
struct Span {
  int64_t start;  // the first position inside
  int64_t taps;   // elements of the window from there on that are inside; none in a window that
                  // only padding is in
};

/// The spans of all outputs along dimension `i`.
std::vector<Span> spans(const Geometry& g, int i) {
  std::vector<Span> result(static_cast<size_t>(g.output[i]));
  for (int64_t o = 0; o < g.output[i]; ++o) {
    const int64_t start = o * g.stride[i] - g.padding[i];
    const int64_t before = start >= 0 ? 0 : (-start + g.dilation[i] - 1) / g.dilation[i];
    const int64_t first = start + before * g.dilation[i];
    const int64_t inside =
        first < g.input[i] ? (g.input[i] - 1 - first) / g.dilation[i] + 1 : int64_t{0};
    result[static_cast<size_t>(o)] = {first, std::clamp<int64_t>(g.kernel[i] - before, 0, inside)};
  }
  return result;
}

/// A pooling's windows, worked out once for all planes.
struct Windows {
  explicit Windows(const Geometry& geometry)
      : g(geometry), depth(spans(g, 0)), height(spans(g, 1)), width(spans(g, 2)) {
    const auto whole = [&](const Span& span) { return span.taps == g.kernel[2]; };
    const auto begin = std::find_if(width.begin(), width.end(), whole);
    first_whole = begin - width.begin();
    last_whole = std::find_if_not(begin, width.end(), whole) - width.begin();
  }

  const Geometry& g;
  std::vector<Span> depth, height, width;
  int64_t first_whole, last_whole;  // outputs of a row whose windows the sides do not cut
};

/// The maximum of one window, with its elements counted in any number of dimensions.
template <class T>
void max_of_window(const Geometry& g, const T* plane, const Span& z, const Span& y, const Span& x,
                   T& maximum, int64_t& index) {
  const int64_t corner = (z.start * g.input[1] + y.start) * g.input[2] + x.start;
  T best = lowest<T>();
  int64_t place = corner;
  for (int64_t kz = 0; kz < z.taps; ++kz) {
    for (int64_t ky = 0; ky < y.taps; ++ky) {
      const int64_t row =
          corner + (kz * g.dilation[0] * g.input[1] + ky * g.dilation[1]) * g.input[2];
      for (int64_t kx = 0; kx < x.taps; ++kx) {
        const int64_t position = row + kx * g.dilation[2];
        const bool take = replaces(plane[position], best);
        best = take ? plane[position] : best;
        place = take ? position : place;
      }
    }
  }
  maximum = best;
  index = place;
}

/// The maxima of `n` whole windows of kernel x kernel elements, `stride` apart; `corner` is the
/// first window's place in the plane. Places within a window are 32-bit numbers, which fill as many
/// lanes as floats do.
template <int kernel, class T>
void max_of_squares(const T* from, int64_t corner, int64_t stride, int32_t right, int32_t down,
                    int64_t n, T* maximum, int64_t* index) {
  for (int64_t w = 0; w < n; ++w) {
    const T* window = from + w * stride;
    T best = window[0];
    int32_t place = 0;
#pragma GCC unroll 9
    for (int k = 1; k < kernel * kernel; ++k) {
      const int32_t offset = k / kernel * down + k % kernel * right;
      const T value = window[offset];
      const bool take = (value > best) | (value != value);
      best = take ? value : best;
      place = take ? offset : place;
    }
    maximum[w] = best;
    index[w] = corner + w * stride + place;
  }
}

template <class T>
void max_row(const Windows& windows, const T* plane, int64_t d, int64_t h, T* maximum,
             int64_t* index) {
  const Geometry& g = windows.g;
  const Span& z = windows.depth[static_cast<size_t>(d)];
  const Span& y = windows.height[static_cast<size_t>(h)];
  const auto some = [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; ++w) {
      max_of_window(g, plane, z, y, windows.width[static_cast<size_t>(w)], maximum[w], index[w]);
    }
  };
  const int64_t first = windows.first_whole;
  const int64_t count = windows.last_whole - first;
  const bool square = z.taps == 1 && y.taps == g.kernel[2] && (y.taps == 2 || y.taps == 3) &&
                      count > 0 && volume(g.input) <= std::numeric_limits<int32_t>::max();
  if (!square) return some(0, g.output[2]);
  some(0, first);
  const int64_t corner = (z.start * g.input[1] + y.start) * g.input[2] +
                         windows.width[static_cast<size_t>(first)].start;
  const auto right = static_cast<int32_t>(g.dilation[2]);
  const auto down = static_cast<int32_t>(g.dilation[1] * g.input[2]);
  const auto squares = y.taps == 2 ? max_of_squares<2, T> : max_of_squares<3, T>;
  squares(plane + corner, corner, g.stride[2], right, down, count, maximum + first, index + first);
  some(windows.last_whole, g.output[2]);
}

void max_pool(const Tensor& self, const Geometry& geometry, const char* name, const Tensor& out,
              const Tensor& indices) {
  if (alt::cuda::on_gpu()) {
    check_type<concat_t<MaxPoolTypes, HalfTypes>>(self.scalar_type(), name);
    return cuda::max_pool(self, geometry, out, indices);
  }
  const Tensor input = planes::source(self);
  const planes::Target maxima(out);
  const planes::Target places(indices);
  visit<MaxPoolTypes>(input.scalar_type(), name, [&]<class T>() {
    const T* data = input.const_data_ptr<T>();
    T* maximum = maxima.data<T>();
    int64_t* index = places.data<int64_t>();
    const int64_t width = geometry.output[2];
    const Windows windows(geometry);
    planes::for_each_row(
        geometry.planes, geometry.output, width * volume(geometry.kernel),
        [&](int64_t plane, int64_t d, int64_t h) {
          const int64_t row = ((plane * geometry.output[0] + d) * geometry.output[1] + h) * width;
          max_row(windows, data + plane * volume(geometry.input), d, h, maximum + row, index + row);
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
  Geometry geometry{};
  geometry.planes = planes::count(self, dimensions);
  geometry.input = planes::spatial(self, dimensions);
  geometry.output = planes::spatial(out, dimensions);
  if (alt::cuda::on_gpu()) {
    check_type<FloatingAndHalfTypes>(self.scalar_type(), name);
    return cuda::adaptive_max_pool(self, geometry, out, indices);
  }
  const Tensor input = planes::source(self);
  const planes::Target maxima(out);
  const planes::Target places(indices);
  visit<FloatingTypes>(input.scalar_type(), name, [&]<class T>() {
    const T* data = input.const_data_ptr<T>();
    T* maximum = maxima.data<T>();
    int64_t* index = places.data<int64_t>();
    const int64_t width = geometry.output[2];
    const int64_t rows = geometry.output[0] * geometry.output[1];
    planes::for_each_row(geometry.planes, geometry.output,
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

void max_pool_backward(const Tensor& grad_output, const Geometry& geometry, const Tensor& indices,
                       int64_t dimensions, const char* name, const Tensor& grad_input) {
  if (!alt::cuda::on_gpu()) {
    return pool::add_at_indices(grad_output, indices, dimensions, name, grad_input);
  }
  check_type<FloatingAndHalfTypes>(grad_output.scalar_type(), name);
  cuda::max_pool_backward(grad_output, geometry, indices, grad_input);
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
  if (alt::cuda::on_gpu()) {
    check_type<FloatingAndHalfTypes>(grad_output.scalar_type(), name);
    return cuda::add_at_indices(grad_output, indices, dimensions, grad_input);
  }
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

void max_pool2d_with_indices_backward(const Tensor& grad_output, const Tensor& self,
                                      IntArrayRef kernel_size, IntArrayRef stride,
                                      IntArrayRef padding, IntArrayRef dilation, bool /*ceil_mode*/,
                                      const Tensor& indices, const Tensor& grad_input) {
  const auto geometry = geometry_of(self, grad_output, 2, kernel_size, stride, padding, dilation);
  max_pool_backward(grad_output, geometry, indices, 2, "max_pool2d_backward", grad_input);
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
  const auto geometry = geometry_of(self, grad_output, 3, kernel_size, stride, padding, dilation);
  max_pool_backward(grad_output, geometry, indices, 3, "max_pool3d_backward", grad_input);
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
