// im2col and col2im (torch.nn.functional.unfold and fold): the windows of an image as columns of a
// matrix, and the columns added back. The loops are convolution's; a channel is a task.

#include <ATen/core/Tensor.h>
#include <ATen/native/im2col_shape_check.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ne.h>

#include <algorithm>

#include "kernels/conv.h"
#include "kernels/cuda/im2col.h"
#include "kernels/operands.h"
#include "kernels/planes.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

using at::IntArrayRef;
using at::Tensor;

using Types = concat_t<concat_t<FloatingAndComplexTypes, HalfTypes>, TypeList<bool>>;

void check_pair(IntArrayRef sizes, const char* name) {
  TORCH_CHECK(sizes.size() == 2, "It is expected ", name, " equals to 2, but got size ",
              sizes.size());
}

/// The windows of an image: the image is convolution's large one, the places are the small one.
conv::Geometry geometry(int64_t height, int64_t width, IntArrayRef kernel, IntArrayRef dilation,
                        IntArrayRef padding, IntArrayRef stride) {
  // At least one place, as the shape check has seen.
  const auto places = [&](int64_t size, int i) {
    const int64_t window = dilation[i] * (kernel[i] - 1) + 1;
    return (size + 2 * padding[i] - window) / stride[i] + 1;
  };
  conv::Geometry result{};
  result.large = {1, height, width};
  result.small = {1, places(height, 0), places(width, 1)};
  result.kernel = extent_of(kernel, 1);
  result.stride = extent_of(stride, 1);
  result.padding = extent_of(padding, 0);
  result.dilation = extent_of(dilation, 1);
  return result;
}

void gather(const conv::Geometry& geometry, const Tensor& image, const Tensor& columns) {
  if (alt::cuda::on_gpu()) return cuda::im2col(geometry, image, columns);
  visit_element_size(static_cast<int64_t>(image.element_size()), [&]<class T>() {
    const int64_t column_plane = geometry.kernel_volume() * geometry.small_volume();
    const auto* from = static_cast<const T*>(image.const_data_ptr());
    auto* to = static_cast<T*>(columns.mutable_data_ptr());
    planes::for_each(image.size(0) * image.size(1), column_plane, [&](int64_t plane) {
      conv::gather_windows<T>(geometry, from + plane * geometry.large_volume(), 1, 0,
                              geometry.small_volume(), to + plane * column_plane);
    });
  });
}

template <class T>
void scatter(const conv::Geometry& geometry, const Tensor& columns, const Tensor& image) {
  const int64_t column_plane = geometry.kernel_volume() * geometry.small_volume();
  const T* from = columns.const_data_ptr<T>();
  T* to = image.mutable_data_ptr<T>();
  planes::for_each(image.size(0) * image.size(1), column_plane, [&](int64_t plane) {
    T* target = to + plane * geometry.large_volume();
    std::fill_n(target, geometry.large_volume(), T(0));
    conv::scatter_windows<T>(geometry, from + plane * column_plane, 1, target);
  });
}

void check_dtypes(const Tensor& tensor, const Tensor& out, const char* name) {
  visit<Types>(tensor.scalar_type(), name, []<class T>() {});
  check_dtype(out, tensor.scalar_type());
}

}  // namespace

Tensor& im2col_out(const Tensor& self, IntArrayRef kernel_size, IntArrayRef dilation,
                   IntArrayRef padding, IntArrayRef stride, Tensor& out) {
  check_pair(kernel_size, "kernel_size");
  check_pair(dilation, "dilation");
  check_pair(padding, "padding");
  check_pair(stride, "stride");
  at::native::im2col_shape_check(self, Tensor(), kernel_size[0], kernel_size[1], dilation[0],
                                 dilation[1], padding[0], padding[1], stride[0], stride[1]);
  check_dtypes(self, out, "im2col_out_cpu");
  const bool batched = self.dim() == 4;
  const Tensor contiguous = self.contiguous();
  const Tensor image = batched ? contiguous : contiguous.unsqueeze(0);
  const auto windows =
      geometry(image.size(2), image.size(3), kernel_size, dilation, padding, stride);
  const int64_t rows = image.size(1) * windows.kernel_volume();
  if (batched) {
    out.resize_({image.size(0), rows, windows.small_volume()});
  } else {
    out.resize_({rows, windows.small_volume()});
  }
  write_dense(out, [&](const Tensor& columns) { gather(windows, image, columns); });
  return out;
}

Tensor im2col(const Tensor& self, IntArrayRef kernel_size, IntArrayRef dilation,
              IntArrayRef padding, IntArrayRef stride) {
  Tensor out = at::empty({0}, self.options());
  kernels::im2col_out(self, kernel_size, dilation, padding, stride, out);
  return out;
}

Tensor& col2im_out(const Tensor& self, IntArrayRef output_size, IntArrayRef kernel_size,
                   IntArrayRef dilation, IntArrayRef padding, IntArrayRef stride, Tensor& out) {
  check_pair(output_size, "output_size");
  check_pair(kernel_size, "kernel_size");
  check_pair(dilation, "dilation");
  check_pair(padding, "padding");
  check_pair(stride, "stride");
  at::native::col2im_shape_check(self, Tensor(), output_size[0], output_size[1], kernel_size[0],
                                 kernel_size[1], dilation[0], dilation[1], padding[0], padding[1],
                                 stride[0], stride[1]);
  check_dtypes(self, out, "col2im_out_cpu");
  const bool batched = self.dim() == 3;
  // Logical or is a sum of integers that is not zero.
  const bool logical = self.scalar_type() == at::kBool;
  const auto dtype = logical ? at::kInt : opmath_dtype(self.scalar_type());
  const Tensor contiguous = self.to(dtype).contiguous();
  const Tensor columns = batched ? contiguous : contiguous.unsqueeze(0);
  const auto windows =
      geometry(output_size[0], output_size[1], kernel_size, dilation, padding, stride);
  const int64_t channels = columns.size(1) / windows.kernel_volume();
  const Tensor image =
      at::empty({columns.size(0), channels, output_size[0], output_size[1]}, columns.options());
  if (alt::cuda::on_gpu()) {
    cuda::col2im(windows, columns, image);
  } else {
    visit<concat_t<FloatingAndComplexTypes, TypeList<int32_t>>>(
        dtype, "col2im_out_cpu", [&]<class T>() { scatter<T>(windows, columns, image); });
  }
  const Tensor result = batched ? image : image.squeeze(0);
  if (!logical) return into(out, result);
  out.resize_(result.sizes());
  return at::ne_out(out, result, 0);
}

Tensor col2im(const Tensor& self, IntArrayRef output_size, IntArrayRef kernel_size,
              IntArrayRef dilation, IntArrayRef padding, IntArrayRef stride) {
  Tensor out = at::empty({0}, self.options());
  kernels::col2im_out(self, output_size, kernel_size, dilation, padding, stride, out);
  return out;
}

}  // namespace alt::kernels
