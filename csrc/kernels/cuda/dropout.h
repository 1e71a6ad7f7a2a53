#pragma once

#include <ATen/core/Tensor.h>

namespace alt::kernels::cuda {

/// result = values * factor where the mask is set, else times 0; all lie alike, without gaps.
void masked_scale(const at::Tensor& values, const at::Tensor& mask, double factor,
                  const at::Tensor& result);

}  // namespace alt::kernels::cuda
