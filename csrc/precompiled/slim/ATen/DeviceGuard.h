// In the place of PyTorch's header of this name, for the files that register nothing. Every header
// of an operator (ATen/ops/NAME.h) includes it and uses nothing of it; it brings IValue and all
// that PyTorch's interpreter knows, whose templates cost a file a second, used or not. A file that
// gives at::cat a list of tensors includes ATen/core/IListRef.h itself.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
