// Padding by reflection and by replication, in one to three dimensions, and the gradients.
//
// Both modes are separable: along a dimension an output position shows one input position, so that
// a mode is a table for each dimension. A tensor is seen as `planes` x depth x height x width x
// `inner`: contiguous, inner is 1 and the channels are planes; channels_last, they are inner.
// Forward copies rows of outputs, the unpadded middle of a row at once. Backward takes a row of
// inputs at a time and adds the output rows that show it, in their order, so threads share nothing.

#include <ATen/core/Tensor.h>
#include <ATen/native/Padding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cuda/resample.h"
#include "kernels/operands.h"
#include "kernels/planes.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

using at::IntArrayRef;
using at::Tensor;

enum class Mode { Reflect, Replicate };

using MovedTypes = concat_t<concat_t<IntegralTypes, FloatingAndComplexTypes>, HalfTypes>;
using SummedTypes = concat_t<FloatingAndComplexTypes, HalfTypes>;

/// Which input each output along one dimension shows.
struct Map {
  Map(Mode mode, int64_t input, int64_t before, int64_t after)
      : input(input), source(static_cast<size_t>(input + before + after)) {
    for (int64_t o = 0; o < output(); ++o) {
      int64_t i = o - before;
      if (mode == Mode::Replicate) {
        i = std::clamp<int64_t>(i, 0, input - 1);
      } else if (outside(i, input)) {
        i = i < 0 ? -i : 2 * (input - 1) - i;
      }
      source[o] = i;
    }
    middle_begin = std::clamp<int64_t>(before, 0, output());
    middle_end = std::clamp<int64_t>(before + input, middle_begin, output());
  }
  int64_t output() const { return static_cast<int64_t>(source.size()); }

  /// The outputs that show each input, in ascending order.
  std::vector<std::vector<int64_t>> shown() const {
    std::vector<std::vector<int64_t>> result(static_cast<size_t>(input));
    for (int64_t o = 0; o < output(); ++o) {
      result[source[o]].push_back(o);
    }
    return result;
  }

  int64_t input;
  std::vector<int64_t> source;
  int64_t middle_begin;  // outputs in [middle_begin, middle_end) show consecutive inputs
  int64_t middle_end;
};

/// Depth, height and width of a padded tensor, and how its other dimensions lie around them.
struct Geometry {
  Geometry(Mode mode, const Tensor& input, IntArrayRef padding, at::MemoryFormat format)
      : maps{map(mode, input, padding, 2), map(mode, input, padding, 1),
             map(mode, input, padding, 0)} {
    const auto dimensions = static_cast<int64_t>(padding.size()) / 2;
    planes = planes::count(input, dimensions);
    if (format != at::MemoryFormat::Contiguous) {
      inner = input.size(1);
      planes = input.size(0);
    }
  }
  int64_t input_row() const { return maps[2].input * inner; }
  int64_t output_row() const { return maps[2].output() * inner; }
  Extent input() const { return {maps[0].input, maps[1].input, maps[2].input}; }
  Extent output() const { return {maps[0].output(), maps[1].output(), maps[2].output()}; }
  cuda::Resamplings resamplings() const {
    cuda::Resamplings result;
    for (size_t d = 0; d < 3; ++d) {
      for (const int64_t source : maps[d].source) {
        result[d].add(source, 1);
        result[d].end_output();
      }
    }
    return result;
  }

  std::array<Map, 3> maps;
  int64_t planes;
  int64_t inner = 1;

 private:
  /// Of the dimension that is `from_last` before the last; one that is not padded has size 1.
  static Map map(Mode mode, const Tensor& input, IntArrayRef padding, int64_t from_last) {
    const auto place = static_cast<size_t>(2 * from_last);
    return place < padding.size()
               ? Map(mode, input.size(-1 - from_last), padding[place], padding[place + 1])
               : Map(mode, 1, 0, 0);
  }
};

template <class T>
void copy_row(const Map& map, int64_t inner, const T* from, T* to) {
  const auto copy = [&](int64_t output, int64_t count) {
    std::memcpy(to + output * inner, from + map.source[output] * inner,
                static_cast<size_t>(count * inner) * sizeof(T));
  };
  for (int64_t o = 0; o < map.middle_begin; ++o) {
    copy(o, 1);
  }
  if (map.middle_begin < map.middle_end) {
    copy(map.middle_begin, map.middle_end - map.middle_begin);
  }
  for (int64_t o = map.middle_end; o < map.output(); ++o) {
    copy(o, 1);
  }
}

template <class T>
void pad_rows(const Geometry& geometry, const T* from, T* to) {
  const auto& [depth, height, width] = geometry.maps;
  const Extent output{depth.output(), height.output(), width.output()};
  planes::for_each_row(
      geometry.planes, output, geometry.output_row(), [&](int64_t plane, int64_t d, int64_t h) {
        const int64_t row =
            (plane * depth.input + depth.source[d]) * height.input + height.source[h];
        copy_row(width, geometry.inner, from + row * geometry.input_row(),
                 to + ((plane * output[0] + d) * output[1] + h) * geometry.output_row());
      });
}

/// The transpose of pad_rows; sums are made in the type that arithmetic on T is done in.
template <class T>
void gather_rows(const Geometry& geometry, const T* grad, T* to) {
  using A = opmath_t<T>;
  const auto& [depth, height, width] = geometry.maps;
  const Extent input{depth.input, height.input, width.input};
  const auto shown_depth = depth.shown();
  const auto shown_height = height.shown();
  const int64_t inner = geometry.inner;
  planes::for_each_row(
      geometry.planes, input, geometry.output_row(), [&](int64_t plane, int64_t d, int64_t h) {
        std::vector<A> sum(static_cast<size_t>(geometry.input_row()), A(0));
        for (const int64_t output_d : shown_depth[d]) {
          for (const int64_t output_h : shown_height[h]) {
            const T* row =
                grad + ((plane * depth.output() + output_d) * height.output() + output_h) *
                           geometry.output_row();
            for (int64_t w = 0; w < width.output(); ++w) {
              A* target = sum.data() + width.source[w] * inner;
              for (int64_t i = 0; i < inner; ++i) {
                target[i] += static_cast<A>(row[w * inner + i]);
              }
            }
          }
        }
        T* target = to + ((plane * input[0] + d) * input[1] + h) * geometry.input_row();
        for (size_t i = 0; i < sum.size(); ++i) {
          target[i] = static_cast<T>(sum[i]);
        }
      });
}

/// The format that stock keeps: channels_last with a batch dimension, in two and three dimensions.
at::MemoryFormat format_of(const Tensor& input, IntArrayRef padding) {
  const auto dimensions = static_cast<int64_t>(padding.size()) / 2;
  return dimensions > 1 && input.dim() == dimensions + 2 ? input.suggest_memory_format()
                                                         : at::MemoryFormat::Contiguous;
}

std::string name_of(Mode mode, IntArrayRef padding, const char* ending) {
  return std::string(mode == Mode::Reflect ? "reflection_pad" : "replication_pad") +
         std::to_string(padding.size() / 2) + "d" + ending;
}

void pad(Mode mode, const Tensor& self, IntArrayRef padding, const Tensor& out) {
  if (out.numel() == 0) {
    return;
  }
  visit<MovedTypes>(self.scalar_type(), name_of(mode, padding, "").c_str(), [&]<class T>() {
    const auto format = format_of(self, padding);
    const Tensor input = self.contiguous(format);
    const auto fill = [&](const Tensor& output) {
      if (alt::cuda::on_gpu()) {
        const Geometry g(mode, self, padding, format);
        return cuda::resample_by_moving(g.resamplings(), g.planes, g.input(), g.inner, input,
                                        output);
      }
      pad_rows<T>(Geometry(mode, self, padding, format), input.const_data_ptr<T>(),
                  output.mutable_data_ptr<T>());
    };
    write_dense(out, fill, format);
  });
}

void pad_backward(Mode mode, const Tensor& grad_output, const Tensor& self, IntArrayRef padding,
                  const Tensor& grad_input) {
  if (grad_input.numel() == 0) {
    return;
  }
  const auto name = name_of(mode, padding, "_backward");
  visit<SummedTypes>(grad_output.scalar_type(), name.c_str(), [&]<class T>() {
    const auto format = format_of(grad_input, padding);
    const Tensor grad = grad_output.contiguous(format);
    const auto fill = [&](const Tensor& target) {
      if (alt::cuda::on_gpu()) {
        const Geometry g(mode, self, padding, format);
        cuda::Resamplings gradient = g.resamplings();
        for (size_t d = 0; d < 3; ++d) gradient[d] = gradient[d].transposed(g.maps[d].input);
        return cuda::resample(gradient, g.planes, g.output(), g.inner, grad, target);
      }
      gather_rows<T>(Geometry(mode, self, padding, format), grad.const_data_ptr<T>(),
                     target.mutable_data_ptr<T>());
    };
    write_dense(grad_input, fill, format);
  });
}

/// Sizes of `self` after padding.
std::vector<int64_t> padded_sizes(const Tensor& self, IntArrayRef padding) {
  auto sizes = self.sizes().vec();
  for (size_t i = 0; i < padding.size() / 2; ++i) {
    sizes[sizes.size() - 1 - i] += padding[2 * i] + padding[2 * i + 1];
  }
  return sizes;
}

void check_grad_output(const Tensor& grad_output, const Tensor& self, IntArrayRef padding,
                       const char* separator) {
  static constexpr const char* names[] = {"width", "height", "depth"};
  const auto sizes = padded_sizes(self, padding);
  for (int64_t i = 0; i < static_cast<int64_t>(padding.size()) / 2; ++i) {
    const int64_t expected = sizes[sizes.size() - 1 - static_cast<size_t>(i)];
    const int64_t dim = self.dim() - 1 - i;
    TORCH_CHECK(expected == grad_output.size(dim), "gradOutput ", names[i],
                " unexpected. Expected: ", expected, separator, grad_output.size(dim));
  }
}

Tensor replication_backward(const Tensor& grad_output, const Tensor& self, IntArrayRef padding,
                            size_t dimensions, Tensor grad_input) {
  TORCH_CHECK(padding.size() == 2 * dimensions, "padding size is expected to be ", 2 * dimensions);
  check_grad_output(grad_output, self, padding, ", Got: ");
  grad_input.resize_(self.sizes(), self.suggest_memory_format());
  pad_backward(Mode::Replicate, grad_output, self, padding, grad_input);
  return grad_input;
}

void check_reflection2d(const Tensor& self, IntArrayRef padding) {
  at::native::padding::check_valid_input<2>(self, padding);
  for (const int64_t i : {0, 1}) {
    const int64_t dim = self.dim() - 1 - i;
    const int64_t before = padding[static_cast<size_t>(2 * i)];
    const int64_t after = padding[static_cast<size_t>(2 * i + 1)];
    TORCH_CHECK(before < self.size(dim) && after < self.size(dim), "Argument #", 4 + 2 * i,
                ": Padding size should be less than the corresponding input dimension, but got: "
                "padding (",
                before, ", ", after, ") at dimension ", dim, " of input ", self.sizes());
  }
  const auto sizes = padded_sizes(self, padding);
  const int64_t height = sizes[sizes.size() - 2];
  const int64_t width = sizes[sizes.size() - 1];
  TORCH_CHECK(height >= 1 || width >= 1, "input (H: ", self.size(-2), ", W: ", self.size(-1),
              ") is too small. Calculated output H: ", height, " W: ", width);
}

/// What at::meta did not: the format is kept, and an out= tensor is given it.
void restride(const Tensor& out, const Tensor& like) {
  out.resize_(out.sizes(), like.suggest_memory_format());
}

}  // namespace

void reflection_pad1d(const Tensor& self, IntArrayRef padding, const Tensor& out) {
  pad(Mode::Reflect, self, padding, out);
}

void reflection_pad1d_backward(const Tensor& grad_output, const Tensor& self, IntArrayRef padding,
                               const Tensor& grad_input) {
  pad_backward(Mode::Reflect, grad_output, self, padding, grad_input);
}

Tensor& reflection_pad2d_out(const Tensor& self, IntArrayRef padding, Tensor& out) {
  check_reflection2d(self, padding);
  check_dtype(out, self.scalar_type());
  const auto sizes = padded_sizes(self, padding);
  if (self.dim() == 3) {
    out.resize_(sizes);
  } else {
    out.resize_(sizes, self.suggest_memory_format());
  }
  pad(Mode::Reflect, self, padding, out);
  return out;
}

Tensor reflection_pad2d(const Tensor& self, IntArrayRef padding) {
  Tensor out = at::empty({0}, self.options());
  kernels::reflection_pad2d_out(self, padding, out);
  return out;
}

Tensor& reflection_pad2d_backward_out(const Tensor& grad_output, const Tensor& self,
                                      IntArrayRef padding, Tensor& grad_input) {
  check_grad_output(grad_output, self, padding, ", Got: ");
  grad_input.resize_(self.sizes(), self.suggest_memory_format());
  pad_backward(Mode::Reflect, grad_output, self, padding, grad_input);
  return grad_input;
}

Tensor reflection_pad2d_backward(const Tensor& grad_output, const Tensor& self,
                                 IntArrayRef padding) {
  Tensor grad_input = at::empty({0}, self.options());
  kernels::reflection_pad2d_backward_out(grad_output, self, padding, grad_input);
  return grad_input;
}

void reflection_pad3d(const Tensor& self, IntArrayRef padding, const Tensor& out) {
  restride(out, self);
  pad(Mode::Reflect, self, padding, out);
}

void reflection_pad3d_backward(const Tensor& grad_output, const Tensor& self, IntArrayRef padding,
                               const Tensor& grad_input) {
  restride(grad_input, self);
  pad_backward(Mode::Reflect, grad_output, self, padding, grad_input);
}

void replication_pad1d(const Tensor& self, IntArrayRef padding, const Tensor& out) {
  pad(Mode::Replicate, self, padding, out);
}

void replication_pad1d_backward(const Tensor& grad_output, const Tensor& self, IntArrayRef padding,
                                const Tensor& grad_input) {
  pad_backward(Mode::Replicate, grad_output, self, padding, grad_input);
}

void replication_pad2d(const Tensor& self, IntArrayRef padding, const Tensor& out) {
  restride(out, self);
  pad(Mode::Replicate, self, padding, out);
}

Tensor& replication_pad2d_backward_out(const Tensor& grad_output, const Tensor& self,
                                       IntArrayRef padding, Tensor& grad_input) {
  replication_backward(grad_output, self, padding, 2, grad_input);
  return grad_input;
}

Tensor replication_pad2d_backward(const Tensor& grad_output, const Tensor& self,
                                  IntArrayRef padding) {
  return replication_backward(grad_output, self, padding, 2, at::empty({0}, self.options()));
}

void replication_pad3d(const Tensor& self, IntArrayRef padding, const Tensor& out) {
  restride(out, self);
  pad(Mode::Replicate, self, padding, out);
}

Tensor& replication_pad3d_backward_out(const Tensor& grad_output, const Tensor& self,
                                       IntArrayRef padding, Tensor& grad_input) {
  replication_backward(grad_output, self, padding, 3, grad_input);
  return grad_input;
}

Tensor replication_pad3d_backward(const Tensor& grad_output, const Tensor& self,
                                  IntArrayRef padding) {
  return replication_backward(grad_output, self, padding, 3, at::empty({0}, self.options()));
}

}  // namespace alt::kernels
