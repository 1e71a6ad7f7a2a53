// The windows of images as columns on the GPU, and back, as gather and scatter of im2col.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/conv.h"

namespace alt::kernels::cuda {

/// Batch x channels x height x width to batch x channels x taps x places, both contiguous.
void im2col(const conv::Geometry& geometry, const at::Tensor& image, const at::Tensor& columns);

/// The columns of all windows added up.
void col2im(const conv::Geometry& geometry, const at::Tensor& columns, const at::Tensor& image);

}  // namespace alt::kernels::cuda
