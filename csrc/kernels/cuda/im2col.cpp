// altbackend/cuda/kernels/im2col.cuh.
#include "kernels/cuda/im2col.h"

#include "kernels/cuda/conv.h"
#include "loops/element_size.h"

namespace alt::kernels::cuda {
namespace {

void launch_windows(CUfunction function, conv::Geometry geometry, const at::Tensor& image,
                    std::initializer_list<at::Tensor> tensors) {
  geometry.batch = image.size(0) * image.size(1);
  geometry.groups = 1;
  launch_elements(function, tensors.begin()->numel(), conv_arguments(geometry, tensors));
}

}  // namespace

void im2col(const conv::Geometry& geometry, const at::Tensor& image, const at::Tensor& columns) {
  launch_windows(kernel("im2col", {moved_as(image.scalar_type())}), geometry, image,
                 {columns, image});
}

void col2im(const conv::Geometry& geometry, const at::Tensor& columns, const at::Tensor& image) {
  launch_windows(kernel("col2im", {image.scalar_type()}), geometry, image, {image, columns});
}

}  // namespace alt::kernels::cuda
