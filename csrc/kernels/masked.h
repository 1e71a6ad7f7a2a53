// What indexing by a mask (index_mask.cpp) asks of masked.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/chunk_counts.h"

namespace alt::kernels {

at::Tensor& masked_fill_scalar_(at::Tensor& self, const at::Tensor& mask, const at::Scalar& value);
at::Tensor masked_select(const at::Tensor& self, const at::Tensor& mask);

/// Puts as many elements of `source`, one after another, where the flags of `self` are set.
/// `flags` (bool, counted in `counts`) and `source` are contiguous.
void spread(at::Tensor& self, const at::Tensor& flags, const ChunkCounts& counts,
            const at::Tensor& source);

}  // namespace alt::kernels
