#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <optional>

namespace alt::kernels::cuda {

/// A random order of 0, 1, ... n - 1: that of as many random keys.
void permute(const at::Tensor& out, int64_t n, const std::optional<at::Generator>& generator);

}  // namespace alt::kernels::cuda
