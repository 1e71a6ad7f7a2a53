// Implicit matrix products (altbackend/cuda/kernels/conv.cuh), over contiguous images: others are
// copied. The large and the small image of kernels/conv.h are the kernels' input and output.
// Integers are computed as int64, which gives the bits of any narrower type.
#include "kernels/cuda/conv.h"

#include "kernels/cuda/launches.h"
#include "kernels/operands.h"

namespace alt::kernels::cuda {

using at::Tensor;
using conv::Geometry;

KernelArgs conv_arguments(const Geometry& g, std::initializer_list<Tensor> tensors) {
  KernelArgs result = dense_arguments(tensors);
  int64_t* integer = result.integers;
  for (const Extent& extent : {g.large, g.small, g.kernel, g.stride, g.padding, g.dilation}) {
    integer = std::copy(extent.begin(), extent.end(), integer);
  }
  *integer++ = g.batch;
  *integer++ = g.groups;
  *integer++ = g.large_channels_a_group();
  *integer++ = g.small_channels_a_group();
  return result;
}

namespace {

/// A product of rows and columns for each group.
void launch_groups(const char* name, const Geometry& g, int64_t rows, int64_t columns,
                   std::initializer_list<Tensor> tensors) {
  launch_tiles(kernel(name, {tensors.begin()->scalar_type()}), rows, columns, g.groups,
               conv_arguments(g, tensors));
}

}  // namespace

void convolve(const Geometry& g, bool transposed, const Tensor& source, const Tensor& weight,
              const Tensor& bias, const Tensor& out) {
  if (out.numel() == 0) return;
  if (at::isIntegralType(out.scalar_type(), /*includeBool=*/false) &&
      out.scalar_type() != at::kLong) {
    const auto wide = [](const Tensor& t) { return t.defined() ? t.to(at::kLong) : t; };
    const Tensor result = at::empty(out.sizes(), out.options().dtype(at::kLong));
    convolve(g, transposed, wide(source), wide(weight), wide(bias), result);
    out.copy_(result);
    return;
  }
  const Tensor x = source.contiguous(), w = weight.contiguous();
  write_dense(out, [&](const Tensor& y) {
    if (transposed) {
      launch_groups("conv_backward_input", g, g.large_channels_a_group(),
                    g.batch * g.large_volume(), {y, x, w});
      if (bias.defined()) {
        at::DimVector sizes(static_cast<size_t>(y.dim()), 1);
        sizes[1] = bias.numel();
        y.add_(bias.view(sizes));
      }
      return;
    }
    launch_groups("conv_forward", g, g.small_channels_a_group(), g.batch * g.small_volume(),
                  {y, x, w, bias});
  });
}

void convolve_to_weight(const Geometry& g, const Tensor& large, const Tensor& small,
                        const Tensor& out) {
  const Tensor x = large.contiguous(), y = small.contiguous();
  write_dense(out, [&](const Tensor& result) {
    launch_groups("conv_backward_weight", g, g.small_channels_a_group(),
                  g.large_channels_a_group() * g.kernel_volume(), {result, y, x});
  });
}

}  // namespace alt::kernels::cuda
