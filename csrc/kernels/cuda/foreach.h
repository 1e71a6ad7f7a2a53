#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace alt::kernels::cuda {

/// to[i] = the operator of csrc/ops/foreach.h with this number of lists[0][i], lists[1][i], ... and
/// factors[i]. All tensors of an i are laid out alike and of one dtype.
void foreach_map(int number, at::TensorList to, const std::vector<at::TensorList>& lists,
                 const std::vector<double>& factors);

}  // namespace alt::kernels::cuda
