// Tables of numbers that kernels read from the GPU's memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace alt::kernels::cuda {

/// The numbers in the device's memory. Those of late are kept: from call to call a model's tables
/// rarely change, and are only compared.
at::Tensor table(std::vector<int64_t> numbers, c10::Device device);

}  // namespace alt::kernels::cuda
