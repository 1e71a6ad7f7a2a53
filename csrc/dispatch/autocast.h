// torch.autocast("alt"), for operators that PyTorch composes of others and we do not. PyTorch's own
// header for this takes longer to compile than most files that would want it.
#pragma once

#include <ATen/core/Tensor.h>

namespace alt {

/// `tensor` in the precision of the autocast region that the thread is in; itself outside of one.
at::Tensor in_autocast_dtype(const at::Tensor& tensor);

/// `tensor` in float32 inside of an autocast region, if it is of a lower precision.
at::Tensor in_autocast_float32(const at::Tensor& tensor);

}  // namespace alt
