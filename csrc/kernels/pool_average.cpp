// Average pooling, plain and adaptive, in two and three dimensions, and the gradients.
//
// Forward, a row of outputs at a time: each element of the window in turn is added to the sums of
// the row. Backward, a plane at a time, rows of outputs in order and window elements last first,
// so that every input adds its gradients in the order of the outputs, as stock does.
// The commonest windows go by lanes (pool_tiles.h).

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "kernels/cuda/pool.h"
#include "kernels/operands.h"
#include "kernels/pool.h"
#include "kernels/pool_tiles.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

using at::IntArrayRef;
using at::Tensor;
using pool::Geometry;
namespace tiles = pool::tiles;

using AveragePoolTypes = concat_t<FloatingTypes, TypeList<int64_t>>;

/// What an output is divided by.
class Divisor {
 public:
  Divisor(const Geometry& geometry, bool count_include_pad, std::optional<int64_t> divisor_override)
      : geometry_(geometry), include_padding_(count_include_pad), override_(divisor_override) {}

  cuda::AverageOver on_gpu() const { return {include_padding_, override_}; }

  /// Of a window that lies inside altogether.
  template <class T>
  T of_tile() const {
    return static_cast<T>(override_ ? *override_ : volume(geometry_.kernel));
  }

  /// Of the outputs of row (d, h), in order.
  template <class T>
  void row(int64_t d, int64_t h, std::vector<T>& divisors) const {
    divisors.resize(static_cast<size_t>(geometry_.output[2]));
    const int64_t area = override_ ? *override_ : length(0, d) * length(1, h);
    for (int64_t w = 0; w < geometry_.output[2]; ++w) {
      divisors[static_cast<size_t>(w)] = static_cast<T>(override_ ? area : area * length(2, w));
    }
  }

 private:
  /// Elements of the window of output `index` along a dimension. Padding counts if it is asked to,
  /// but never what ceil_mode adds beyond it.
  int64_t length(int dimension, int64_t index) const {
    const int64_t padding = geometry_.padding[dimension];
    const int64_t size = geometry_.input[dimension];
    const int64_t first = index * geometry_.stride[dimension] - padding;
    const int64_t last = std::min(first + geometry_.kernel[dimension], size + padding);
    return include_padding_
               ? last - first
               : std::max<int64_t>(std::min(last, size) - std::max<int64_t>(first, 0), 0);
  }

  const Geometry& geometry_;
  bool include_padding_;
  std::optional<int64_t> override_;
};

/// For each column of the window, the outputs of a row that see the image through it.
std::vector<Inside> columns(const Geometry& g) {
  std::vector<Inside> result;
  for (int64_t kx = 0; kx < g.kernel[2]; ++kx) {
    result.emplace_back(kx - g.padding[2], g.stride[2], g.output[2], g.input[2]);
  }
  return result;
}

/// Calls body(row, x, inside) for the window elements of an output row that are inside the plane,
/// in order or last first: `row` is the offset of the input row, `x` the position that output 0
/// sees, `inside` the outputs that see one.
template <class Body>
void for_each_element(const Geometry& g, const std::vector<Inside>& columns, int64_t d, int64_t h,
                      bool last_first, Body&& body) {
  const auto turned = [&](int64_t i, int64_t count) { return last_first ? count - 1 - i : i; };
  for (int64_t i = 0; i < g.kernel[0]; ++i) {
    const int64_t z = d * g.stride[0] + turned(i, g.kernel[0]) - g.padding[0];
    if (outside(z, g.input[0])) continue;
    for (int64_t j = 0; j < g.kernel[1]; ++j) {
      const int64_t y = h * g.stride[1] + turned(j, g.kernel[1]) - g.padding[1];
      if (outside(y, g.input[1])) continue;
      for (int64_t k = 0; k < g.kernel[2]; ++k) {
        const int64_t kx = turned(k, g.kernel[2]);
        body((z * g.input[1] + y) * g.input[2], kx - g.padding[2],
             columns[static_cast<size_t>(kx)]);
      }
    }
  }
}

/// sum / divisor; a window that lies in the padding altogether gives 0.
template <class T>
void divide_row(const T* sums, const std::vector<T>& divisors, T* quotients) {
  for (size_t w = 0; w < divisors.size(); ++w) {
    if constexpr (std::is_integral_v<T>) {
      quotients[w] = divisors[w] == 0 ? T(0) : sums[w] / divisors[w];
    } else {
      const T quotient = sums[w] / divisors[w];
      quotients[w] = divisors[w] == T(0) ? T(0) : quotient;
    }
  }
}

void average_pool(const Tensor& self, const Geometry& geometry, const Divisor& divisor,
                  const char* name, const Tensor& out) {
  if (alt::cuda::on_gpu()) {
    check_type<concat_t<AveragePoolTypes, HalfTypes>>(self.scalar_type(), name);
    return cuda::average_pool(self, geometry, divisor.on_gpu(), out);
  }
  const Tensor input = planes::source(self);
  const planes::Target target(out);
  visit<AveragePoolTypes>(input.scalar_type(), name, [&]<class T>() {
    const T* data = input.const_data_ptr<T>();
    T* result = target.data<T>();
    const int64_t width = geometry.output[2];
    const int64_t stride = geometry.stride[2];
    const std::vector<Inside> seen = columns(geometry);
    if constexpr (has_vec_v<T>) {
      if (tiles::are_tiles(geometry)) {
        return tiles::average_planes(data, geometry, divisor.of_tile<T>(), result);
      }
    }
    planes::for_each_row(
        geometry.planes, geometry.output, width * volume(geometry.kernel),
        [&](int64_t plane, int64_t d, int64_t h) {
          thread_local std::vector<T> divisors;
          T* sums = result + ((plane * geometry.output[0] + d) * geometry.output[1] + h) * width;
          const T* base = data + plane * volume(geometry.input);
          std::fill_n(sums, width, T(0));
          for_each_element(geometry, seen, d, h, false,
                           [&](int64_t row, int64_t x, const Inside& inside) {
                             for (int64_t w = inside.first; w < inside.last; ++w) {
                               sums[w] += base[row + x + w * stride];
                             }
                           });
          divisor.row(d, h, divisors);
          divide_row(sums, divisors, sums);
        });
  });
  target.finish();
}

void average_pool_backward(const Tensor& grad_output, const Geometry& geometry,
                           const Divisor& divisor, const char* name, const Tensor& grad_input) {
  if (alt::cuda::on_gpu()) {
    check_type<concat_t<AveragePoolTypes, HalfTypes>>(grad_output.scalar_type(), name);
    return cuda::average_pool_backward(grad_output, geometry, divisor.on_gpu(), grad_input);
  }
  const Tensor grad = planes::source(grad_output);
  const planes::Target target(grad_input);
  visit<AveragePoolTypes>(grad.scalar_type(), name, [&]<class T>() {
    const T* data = grad.const_data_ptr<T>();
    T* result = target.data<T>();
    const int64_t input = volume(geometry.input);
    const int64_t output = volume(geometry.output);
    const int64_t width = geometry.output[2];
    const int64_t stride = geometry.stride[2];
    const std::vector<Inside> seen = columns(geometry);
    if constexpr (has_vec_v<T>) {
      if (tiles::are_tiles(geometry)) {
        return tiles::average_backward_planes(data, geometry, divisor.of_tile<T>(), result);
      }
    }
    planes::for_each(geometry.planes, input + output * volume(geometry.kernel), [&](int64_t plane) {
      thread_local std::vector<T> delta, divisors;
      T* base = result + plane * input;
      std::fill_n(base, input, T(0));
      delta.resize(static_cast<size_t>(width));
      const T* row_grad = data + plane * output;
      for (int64_t d = 0; d < geometry.output[0]; ++d) {
        for (int64_t h = 0; h < geometry.output[1]; ++h, row_grad += width) {
          divisor.row(d, h, divisors);
          divide_row(row_grad, divisors, delta.data());
          for_each_element(geometry, seen, d, h, true,
                           [&](int64_t row, int64_t x, const Inside& inside) {
                             for (int64_t w = inside.first; w < inside.last; ++w) {
                               base[row + x + w * stride] += delta[static_cast<size_t>(w)];
                             }
                           });
        }
      }
    });
  });
  target.finish();
}

void adaptive_average_pool(const Tensor& self, int64_t dimensions, const char* name,
                           const Tensor& out) {
  if (alt::cuda::on_gpu()) {
    check_type<FloatingAndHalfTypes>(self.scalar_type(), name);
    return cuda::adaptive_average_pool(self, dimensions, out);
  }
  const Tensor input = planes::source(self);
  const planes::Target target(out);
  const Extent from = planes::spatial(self, dimensions);
  const Extent to = planes::spatial(out, dimensions);
  visit<FloatingTypes>(input.scalar_type(), name, [&]<class T>() {
    const T* data = input.const_data_ptr<T>();
    T* result = target.data<T>();
    planes::for_each_row(planes::count(self, dimensions), to,
                         volume(from) / std::max<int64_t>(to[0] * to[1], 1),
                         [&](int64_t plane, int64_t d, int64_t h) {
                           const T* base = data + plane * volume(from);
                           T* row = result + ((plane * to[0] + d) * to[1] + h) * to[2];
                           const pool::AdaptiveRange depth(d, to[0], from[0]);
                           const pool::AdaptiveRange height(h, to[1], from[1]);
                           for (int64_t w = 0; w < to[2]; ++w) {
                             const pool::AdaptiveRange width(w, to[2], from[2]);
                             T sum(0);
                             for (int64_t z = depth.first; z < depth.last; ++z) {
                               for (int64_t y = height.first; y < height.last; ++y) {
                                 for (int64_t x = width.first; x < width.last; ++x) {
                                   sum += base[(z * from[1] + y) * from[2] + x];
                                 }
                               }
                             }
                             row[w] = sum / static_cast<T>(depth.size()) /
                                      static_cast<T>(height.size()) / static_cast<T>(width.size());
                           }
                         });
  });
  target.finish();
}

void adaptive_average_pool_backward(const Tensor& grad_output, int64_t dimensions, const char* name,
                                    const Tensor& grad_input) {
  if (alt::cuda::on_gpu()) {
    check_type<FloatingAndHalfTypes>(grad_output.scalar_type(), name);
    return cuda::adaptive_average_pool_backward(grad_output, dimensions, grad_input);
  }
  const Tensor grad = planes::source(grad_output);
  const planes::Target target(grad_input);
  const Extent to = planes::spatial(grad_input, dimensions);
  const Extent from = planes::spatial(grad_output, dimensions);
  visit<FloatingTypes>(grad.scalar_type(), name, [&]<class T>() {
    const T* data = grad.const_data_ptr<T>();
    T* result = target.data<T>();
    planes::for_each(
        planes::count(grad_input, dimensions), volume(to) + volume(from), [&](int64_t plane) {
          T* base = result + plane * volume(to);
          std::fill_n(base, volume(to), T(0));
          const T* element = data + plane * volume(from);
          for (int64_t d = 0; d < from[0]; ++d) {
            const pool::AdaptiveRange depth(d, from[0], to[0]);
            for (int64_t h = 0; h < from[1]; ++h) {
              const pool::AdaptiveRange height(h, from[1], to[1]);
              for (int64_t w = 0; w < from[2]; ++w) {
                const pool::AdaptiveRange width(w, from[2], to[2]);
                const T delta = *element++ / static_cast<T>(depth.size()) /
                                static_cast<T>(height.size()) / static_cast<T>(width.size());
                for (int64_t z = depth.first; z < depth.last; ++z) {
                  for (int64_t y = height.first; y < height.last; ++y) {
                    for (int64_t x = width.first; x < width.last; ++x) {
                      base[(z * to[1] + y) * to[2] + x] += delta;
                    }
                  }
                }
              }
            }
          }
        });
  });
  target.finish();
}

Geometry geometry_of(const Tensor& input, const Tensor& output, int64_t dimensions,
                     IntArrayRef kernel_size, IntArrayRef stride, IntArrayRef padding) {
  const Extent kernel = pool::parameter(kernel_size, dimensions, 1);
  return {.planes = planes::count(input, dimensions),
          .input = planes::spatial(input, dimensions),
          .output = planes::spatial(output, dimensions),
          .kernel = kernel,
          .stride = pool::parameter(stride, dimensions, 1, kernel),
          .padding = pool::parameter(padding, dimensions, 0),
          .dilation = {1, 1, 1}};
}

void check_adaptive_input(const Tensor& self, IntArrayRef output_size, int64_t dimensions,
                          const char* name) {
  TORCH_CHECK(static_cast<int64_t>(output_size.size()) == dimensions, name,
              ": output_size must be ", dimensions);
  TORCH_CHECK(self.dim() == dimensions + 1 || self.dim() == dimensions + 2, name, "(): Expected ",
              dimensions + 1, "D or ", dimensions + 2, "D tensor, but got ", self.sizes());
  for (int64_t i = 1; i < self.dim(); ++i) {
    TORCH_CHECK(self.size(i) > 0, name,
                "(): Expected input to have non-zero size for non-batch dimensions, but input has "
                "sizes ",
                self.sizes(), " with dimension ", i, " being empty");
  }
  for (const int64_t size : output_size) {
    TORCH_CHECK(size >= 0, name,
                ": elements of output_size must be greater than or equal to 0 but received ",
                output_size);
  }
}

void check_adaptive_gradient(const Tensor& grad_output, const Tensor& self, int64_t dimensions,
                             const char* name) {
  for (int64_t i = 1; i < grad_output.dim(); ++i) {
    TORCH_CHECK(grad_output.size(i) > 0, name,
                "(): Expected grad_output to have non-zero size for non-batch dimensions, but "
                "grad_output has sizes ",
                grad_output.sizes(), " with dimension ", i, " being empty");
  }
  TORCH_CHECK(self.dim() == dimensions + 1 || self.dim() == dimensions + 2, name, "(): Expected ",
              dimensions + 1, "D or ", dimensions + 2, "D tensor, but got ", self.sizes());
  TORCH_CHECK(grad_output.dim() == self.dim(), name, ": Expected dimensions ", self.dim(),
              " for `grad_output` but got dimensions ", grad_output.dim());
  TORCH_CHECK(grad_output.scalar_type() == self.scalar_type(), name, ": Expected dtype ",
              self.dtype(), " for `grad_output` but got dtype ", grad_output.dtype());
  for (int64_t i = 0; i < self.dim() - dimensions; ++i) {
    TORCH_CHECK(grad_output.size(i) == self.size(i), name, ": Expected size ", self.size(i),
                " at dimension ", i, " of `grad_output` but got ", grad_output.size(i));
  }
}

void adaptive_average_pool_out(const Tensor& self, IntArrayRef output_size, int64_t dimensions,
                               const char* name, const char* kernel, Tensor& out) {
  check_adaptive_input(self, output_size, dimensions, name);
  TORCH_CHECK(self.scalar_type() == out.scalar_type(), "expected dtype ", self.dtype(),
              " for `output` but got dtype ", out.dtype());
  at::DimVector sizes(self.sizes().begin(), self.sizes().end() - dimensions);
  sizes.append(output_size.begin(), output_size.end());
  out.resize_(sizes, dimensions == 2 && self.dim() == 4 ? self.suggest_memory_format()
                                                        : at::MemoryFormat::Contiguous);
  if (out.numel() > 0) {
    adaptive_average_pool(self, dimensions, kernel, out);
  }
}

void adaptive_average_pool_backward_out(const Tensor& grad_output, const Tensor& self,
                                        int64_t dimensions, const char* name, const char* kernel,
                                        Tensor& grad_input) {
  check_adaptive_gradient(grad_output, self, dimensions, name);
  grad_input.resize_(self.sizes(), dimensions == 2 && self.dim() == 4
                                       ? self.suggest_memory_format()
                                       : at::MemoryFormat::Contiguous);
  if (grad_input.numel() > 0) {
    adaptive_average_pool_backward(grad_output, dimensions, kernel, grad_input);
  }
}

void check_divisor(std::optional<int64_t> divisor_override) {
  TORCH_CHECK(!divisor_override || *divisor_override != 0, "divisor must be not zero");
}

}  // namespace

void avg_pool2d(const Tensor& self, int64_t kernel_height, int64_t kernel_width,
                int64_t stride_height, int64_t stride_width, int64_t padding_height,
                int64_t padding_width, bool /*ceil_mode*/, bool count_include_pad,
                std::optional<int64_t> divisor_override, const Tensor& out) {
  check_divisor(divisor_override);
  const Geometry geometry =
      geometry_of(self, out, 2, {kernel_height, kernel_width}, {stride_height, stride_width},
                  {padding_height, padding_width});
  average_pool(self, geometry, Divisor(geometry, count_include_pad, divisor_override), "avg_pool2d",
               out);
}

void avg_pool2d_backward(const Tensor& grad_output, const Tensor& self, IntArrayRef kernel_size,
                         IntArrayRef stride, IntArrayRef padding, bool /*ceil_mode*/,
                         bool count_include_pad, std::optional<int64_t> divisor_override,
                         const Tensor& grad_input) {
  check_divisor(divisor_override);
  const Geometry geometry = geometry_of(self, grad_output, 2, kernel_size, stride, padding);
  average_pool_backward(grad_output, geometry,
                        Divisor(geometry, count_include_pad, divisor_override),
                        "avg_pool2d_backward", grad_input);
}

void avg_pool3d(const Tensor& self, IntArrayRef kernel_size, IntArrayRef stride,
                IntArrayRef padding, bool /*ceil_mode*/, bool count_include_pad,
                std::optional<int64_t> divisor_override, const Tensor& out) {
  const Geometry geometry = geometry_of(self, out, 3, kernel_size, stride, padding);
  average_pool(self, geometry, Divisor(geometry, count_include_pad, divisor_override),
               "avg_pool3d_out_frame", out);
}

void avg_pool3d_backward(const Tensor& grad_output, const Tensor& self, IntArrayRef kernel_size,
                         IntArrayRef stride, IntArrayRef padding, bool /*ceil_mode*/,
                         bool count_include_pad, std::optional<int64_t> divisor_override,
                         const Tensor& grad_input) {
  const Geometry geometry = geometry_of(self, grad_output, 3, kernel_size, stride, padding);
  average_pool_backward(grad_output, geometry,
                        Divisor(geometry, count_include_pad, divisor_override),
                        "avg_pool3d_backward_out_frame", grad_input);
}

Tensor& adaptive_avg_pool2d_out(const Tensor& self, IntArrayRef output_size, Tensor& out) {
  adaptive_average_pool_out(self, output_size, 2, "adaptive_avg_pool2d", "adaptive_avg_pool2d",
                            out);
  return out;
}

Tensor adaptive_avg_pool2d(const Tensor& self, IntArrayRef output_size) {
  Tensor out = at::empty({0}, self.options());
  return adaptive_avg_pool2d_out(self, output_size, out);
}

Tensor adaptive_avg_pool2d_backward(const Tensor& grad_output, const Tensor& self) {
  Tensor grad_input = at::empty({0}, self.options());
  adaptive_average_pool_backward_out(grad_output, self, 2,
                                     "adaptive_avg_pool2d_backward_out_cpu_template",
                                     "adaptive_avg_pool2d_backward", grad_input);
  return grad_input;
}

Tensor& adaptive_avg_pool3d_out(const Tensor& self, IntArrayRef output_size, Tensor& out) {
  adaptive_average_pool_out(self, output_size, 3, "adaptive_avg_pool3d", "adaptive_avg_pool3d_cpu",
                            out);
  return out;
}

Tensor adaptive_avg_pool3d(const Tensor& self, IntArrayRef output_size) {
  Tensor out = at::empty({0}, self.options());
  return adaptive_avg_pool3d_out(self, output_size, out);
}

Tensor& adaptive_avg_pool3d_backward_out(const Tensor& grad_output, const Tensor& self,
                                         Tensor& grad_input) {
  adaptive_average_pool_backward_out(grad_output, self, 3,
                                     "adaptive_avg_pool3d_backward_out_cpu_template",
                                     "adaptive_avg_pool3d_backward_cpu", grad_input);
  return grad_input;
}

Tensor adaptive_avg_pool3d_backward(const Tensor& grad_output, const Tensor& self) {
  Tensor grad_input = at::empty({0}, self.options());
  return adaptive_avg_pool3d_backward_out(grad_output, self, grad_input);
}

}  // namespace alt::kernels
