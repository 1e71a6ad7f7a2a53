// convolution_overrideable and its backward: 1 to 3 spatial dimensions, transposed or not.
//
// PyTorch's front-end has checked shapes, batched the input and padded "same" before it calls.
// Floating types go to the matrix core (conv_gemm.cpp, or by way of conv_residues.cpp), the direct
// kernels (conv_direct.cpp, conv_images.cpp) or, of float, to Winograd's transform
// (conv_winograd.cpp), half types being converted where they are packed; integers go to the loops
// of conv_loops.cpp. A channels_last input or weight gives channels_last results, as in stock. The
// CUDA engine takes part where images are convolved, behind the same checks (kernels/cuda/conv.h).

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <array>
#include <optional>
#include <sstream>
#include <tuple>
#include <type_traits>

#include "kernels/conv.h"
#include "kernels/cuda/conv.h"
#include "kernels/operands.h"
#include "loops/dtype.h"
#include "loops/vec.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

using at::IntArrayRef;
using at::Tensor;

/// Stock's for a type without a kernel.
constexpr const char* kName = "slow_conv2d_cpu";

conv::Geometry geometry_of(IntArrayRef input, IntArrayRef output, IntArrayRef weight,
                           IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                           bool transposed, int64_t groups) {
  const IntArrayRef large = transposed ? output : input;
  const IntArrayRef small = transposed ? input : output;
  return {.batch = input[0],
          .groups = groups,
          .large_channels = large[1],
          .small_channels = small[1],
          .large = extent_of(large.slice(2), 1),
          .small = extent_of(small.slice(2), 1),
          .kernel = extent_of(weight.slice(2), 1),
          .stride = extent_of(stride, 1),
          .padding = extent_of(padding, 0),
          .dilation = extent_of(dilation, 1)};
}

at::DimVector output_sizes(IntArrayRef input, IntArrayRef weight, IntArrayRef stride,
                           IntArrayRef padding, IntArrayRef dilation, bool transposed,
                           IntArrayRef output_padding, int64_t groups) {
  at::DimVector sizes{input[0], transposed ? weight[1] * groups : weight[0]};
  for (size_t i = 0; i + 2 < input.size(); ++i) {
    const int64_t window = dilation[i] * (weight[i + 2] - 1) + 1;
    sizes.push_back(transposed ? (input[i + 2] - 1) * stride[i] - 2 * padding[i] + window +
                                     output_padding[i]
                               : (input[i + 2] + 2 * padding[i] - window) / stride[i] + 1);
  }
  return sizes;
}

/// The memory format that stock gives the result.
at::MemoryFormat format_of(const Tensor& input, const Tensor& weight) {
  const auto either = [&](at::MemoryFormat format) {
    return input.suggest_memory_format() == format || weight.suggest_memory_format() == format;
  };
  if (input.dim() == 4 && either(at::MemoryFormat::ChannelsLast)) {
    return at::MemoryFormat::ChannelsLast;
  }
  const bool onednn_type =
      input.scalar_type() == at::kFloat || input.scalar_type() == at::kBFloat16;
  if (input.dim() == 5 && onednn_type && either(at::MemoryFormat::ChannelsLast3d)) {
    return at::MemoryFormat::ChannelsLast3d;
  }
  return at::MemoryFormat::Contiguous;
}

void check_same_type(const Tensor& input, const Tensor& weight) {
  TORCH_CHECK(input.options().type_equal(weight.options()), "Input type (", input.toString(),
              ") and weight type (", weight.toString(), ") should be the same");
}

/// What the front-end leaves to the kernels to check.
void check_window(IntArrayRef weight, IntArrayRef stride, IntArrayRef dilation, bool transposed,
                  IntArrayRef output_padding) {
  bool too_much_padding = false;
  for (size_t i = 0; i < stride.size(); ++i) {
    TORCH_CHECK(weight[i + 2] > 0,
                "kernel size should be greater than zero, but got weight of size ", weight);
    TORCH_CHECK(dilation[i] > 0, "non-positive dilation is not supported");
    too_much_padding |= output_padding[i] >= stride[i] && output_padding[i] >= dilation[i];
  }
  if (!transposed || !too_much_padding) {
    return;
  }
  std::ostringstream sizes;
  const auto list = [&](const char* name, IntArrayRef values) {
    constexpr std::array dimensions{"depth", "height", "width"};
    for (size_t i = 0; i < values.size(); ++i) {
      sizes << ' ' << name << '_' << dimensions[3 - values.size() + i] << ": " << values[i];
    }
  };
  list("output_padding", output_padding);
  list("stride", stride);
  list("dilation", dilation);
  TORCH_CHECK(false, "output padding must be smaller than either stride or dilation, but got",
              sizes.str());
}

/// The operand as the loops want it: contiguous, in the type that arithmetic is done in.
Tensor prepared(const Tensor& tensor) {
  return tensor.to(opmath_dtype(tensor.scalar_type())).contiguous();
}

/// A result of the loops as the caller wants it. Not .contiguous(format): that keeps the strides of
/// an image of one channel, which is contiguous either way, where stock's are channels_last.
Tensor finished(const Tensor& tensor, at::ScalarType dtype, at::MemoryFormat format) {
  if (format == at::MemoryFormat::Contiguous) {
    return tensor.to(dtype);
  }
  return at::empty(tensor.sizes(), tensor.options().dtype(dtype), format).copy_(tensor);
}

conv::Layout layout_of(const Tensor& image) {
  return {image.stride(0), image.stride(1), extent_of(image.strides().slice(2), 0)};
}

/// The image itself if its rows or its pixels are contiguous, which is what the loops read well.
Tensor readable(const Tensor& image) {
  return image.stride(-1) == 1 || image.stride(1) == 1 ? image : image.contiguous();
}

Tensor with_rows(const Tensor& image) {
  return image.stride(-1) == 1 ? image : image.contiguous();
}

/// The weight itself if its taps are one range and one of its dimensions is contiguous.
Tensor packable(const Tensor& weight) {
  const int64_t tap = weight.stride(-1);
  int64_t expected = tap;
  for (int64_t i = weight.dim() - 1; i >= 2; --i) {
    if (weight.size(i) != 1 && weight.stride(i) != expected) return weight.contiguous();
    expected *= weight.size(i);
  }
  return tap == 1 || weight.stride(1) == 1 || weight.stride(0) == 1 ? weight : weight.contiguous();
}

/// Convolution of a floating or half type, `out` being contiguous or channels_last.
void convolve(const conv::Geometry& geometry, bool transposed, const Tensor& source,
              const Tensor& weight, const Tensor& bias, const Tensor& out) {
  if (out.numel() == 0) {
    return;
  }
  if (alt::cuda::on_gpu()) {
    return cuda::convolve(geometry, transposed, source, weight, bias, out);
  }
  const Tensor w = packable(weight);
  visit<FloatingAndHalfTypes>(source.scalar_type(), kName, [&]<class S>() {
    constexpr int64_t lanes = Vec<opmath_t<S>>::size;
    const bool by_residues = conv::is_by_residues(geometry, transposed, lanes);
    const bool by_images = !by_residues && conv::is_by_images(geometry, transposed, lanes);
    const bool direct = !by_residues && !by_images && conv::is_direct(geometry, transposed, lanes);
    const Tensor x = by_images ? source.contiguous()
                     : direct  ? with_rows(source)
                               : readable(source);
    const Tensor y =
        (by_images || direct) && !out.is_contiguous() ? at::empty(out.sizes(), out.options()) : out;
    auto loop = by_residues ? conv::convolve_by_residues<S>
                : by_images ? conv::convolve_by_images<S>
                : direct    ? conv::convolve_direct<S>
                            : conv::convolve<S>;
    if constexpr (std::is_same_v<S, float>) {
      if (loop == conv::convolve<S> && conv::is_winograd(geometry, transposed)) {
        loop = conv::convolve_winograd<S>;
      }
    }
    loop(geometry, transposed, x.const_data_ptr<S>(), layout_of(x), w.const_data_ptr<S>(),
         {w.stride(0), w.stride(1), w.stride(-1)},
         bias.defined() ? bias.const_data_ptr<S>() : nullptr, y.mutable_data_ptr<S>(),
         layout_of(y));
    if (!y.is_same(out)) out.copy_(y);
  });
}

/// Of the small image, contiguous or channels_last. Its own strides say nothing where a size is 1.
conv::Layout dense_layout(const conv::Geometry& g, bool channels_last) {
  const int64_t pixel = channels_last ? g.small_channels : 1;
  return {g.small_channels * g.small_volume(),
          channels_last ? 1 : g.small_volume(),
          {g.small[1] * g.small[2] * pixel, g.small[2] * pixel, pixel}};
}

/// The gradient of a weight, `out` being contiguous or channels_last.
void convolve_to_weight(const conv::Geometry& geometry, const Tensor& large, const Tensor& small,
                        const Tensor& out) {
  if (small.numel() == 0 || out.numel() == 0) {
    out.zero_();
    return;
  }
  if (alt::cuda::on_gpu()) return cuda::convolve_to_weight(geometry, large, small, out);
  visit<FloatingAndHalfTypes>(large.scalar_type(), kName, [&]<class S>() {
    const bool direct = conv::is_direct(geometry, false, Vec<opmath_t<S>>::size);
    const bool last = !direct && (small.is_contiguous(at::MemoryFormat::ChannelsLast) ||
                                  small.is_contiguous(at::MemoryFormat::ChannelsLast3d));
    const Tensor x = direct ? with_rows(large) : readable(large);
    const Tensor y = last ? small : small.contiguous();
    auto loop = direct ? conv::convolve_to_weight_direct<S> : conv::convolve_to_weight<S>;
    if constexpr (std::is_same_v<S, float>) {
      if (!direct && conv::is_winograd_to_weight(geometry)) {
        loop = conv::convolve_to_weight_winograd<S>;
      }
    }
    loop(geometry, x.const_data_ptr<S>(), layout_of(x), y.const_data_ptr<S>(),
         dense_layout(geometry, last), out.mutable_data_ptr<S>(),
         {out.stride(0), out.stride(1), out.stride(-1)});
  });
}

}  // namespace

Tensor convolution(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                   IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, bool transposed,
                   IntArrayRef output_padding, int64_t groups) {
  const bool has_bias = bias.has_value() && bias->defined();
  check_same_type(input, weight);
  TORCH_CHECK(!has_bias || bias->scalar_type() == input.scalar_type(), "Input type (",
              input.dtype(), ") and bias type (", has_bias ? bias->dtype() : input.dtype(),
              ") should be the same");
  check_window(weight.sizes(), stride, dilation, transposed, output_padding);
  const at::DimVector sizes = output_sizes(input.sizes(), weight.sizes(), stride, padding, dilation,
                                           transposed, output_padding, groups);
  const conv::Geometry geometry = geometry_of(input.sizes(), sizes, weight.sizes(), stride, padding,
                                              dilation, transposed, groups);
  const Tensor out = at::empty(sizes, input.options(), format_of(input, weight));
  const Tensor b = has_bias ? bias->contiguous() : Tensor();
  if (out.numel() == 0) {
    return out;
  }
  if (at::isFloatingType(input.scalar_type())) {
    convolve(geometry, transposed, input, weight, b, out);
    return out;
  }
  check_type<IntegralTypes>(input.scalar_type(), kName);
  if (alt::cuda::on_gpu()) {
    cuda::convolve(geometry, transposed, input, weight, b, out);
    return out;
  }
  const Tensor x = input.contiguous(), w = weight.contiguous();
  const Tensor result = at::empty(sizes, input.options());
  visit<IntegralTypes>(x.scalar_type(), kName, [&]<class T>() {
    const auto loop = transposed ? conv::to_large<T> : conv::to_small<T>;
    loop(geometry, x.const_data_ptr<T>(), w.const_data_ptr<T>(),
         has_bias ? b.const_data_ptr<T>() : nullptr, result.mutable_data_ptr<T>());
  });
  return finished(result, input.scalar_type(), format_of(input, weight));
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(const Tensor& grad_output,
                                                        const Tensor& input, const Tensor& weight,
                                                        IntArrayRef stride, IntArrayRef padding,
                                                        IntArrayRef dilation, bool transposed,
                                                        IntArrayRef output_padding, int64_t groups,
                                                        std::array<bool, 3> output_mask) {
  check_same_type(input, weight);
  check_window(weight.sizes(), stride, dilation, transposed, output_padding);
  check_type<FloatingAndHalfTypes>(input.scalar_type(), "slow_conv2d_cpu_grad_input");
  const at::MemoryFormat format = format_of(input, weight);
  const conv::Geometry geometry = geometry_of(input.sizes(), grad_output.sizes(), weight.sizes(),
                                              stride, padding, dilation, transposed, groups);
  const Tensor grad = grad_output.to(input.scalar_type());
  Tensor grad_input, grad_weight, grad_bias;
  if (output_mask[0]) {
    grad_input = at::empty(input.sizes(), input.options(), format);
    convolve(geometry, !transposed, grad, weight, Tensor(), grad_input);
  }
  if (output_mask[1]) {
    grad_weight = at::empty(weight.sizes(), weight.options(), format);
    convolve_to_weight(geometry, transposed ? grad : input, transposed ? input : grad, grad_weight);
  }
  if (output_mask[2] && alt::cuda::on_gpu()) {
    grad_bias = grad.transpose(0, 1).flatten(1).sum(1);
  } else if (output_mask[2]) {
    const Tensor g = prepared(grad);
    const Tensor result = at::empty({grad.size(1)}, g.options());
    visit<FloatingTypes>(g.scalar_type(), kName, [&]<class T>() {
      conv::sum_channels<T>(grad.size(0), grad.size(1), volume(extent_of(grad.sizes().slice(2), 1)),
                            g.const_data_ptr<T>(), result.mutable_data_ptr<T>());
    });
    grad_bias = result.to(input.scalar_type());
  }
  return {grad_input, grad_weight, grad_bias};
}

}  // namespace alt::kernels
