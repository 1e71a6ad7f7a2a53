// Convolution and its derivatives on the GPU, as conv.cpp's convolve and convolve_to_weight.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/conv.h"
#include "kernels/cuda/launches.h"

namespace alt::kernels::cuda {

/// What the kernels that include kernels/conv.cuh take.
KernelArgs conv_arguments(const conv::Geometry& geometry,
                          std::initializer_list<at::Tensor> tensors);

/// out = source and weight convolved, or for the transposed direction its transpose, plus bias,
/// which may be undefined.
void convolve(const conv::Geometry& geometry, bool transposed, const at::Tensor& source,
              const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& out);

/// The gradient of the weight.
void convolve_to_weight(const conv::Geometry& geometry, const at::Tensor& large,
                        const at::Tensor& small, const at::Tensor& out);

}  // namespace alt::kernels::cuda
