// Casts between every pair of dtypes, at any stride: what "cast on load and store" stands on.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace alt {

/// Reads `n` elements `src_stride` bytes apart and writes them, cast, `dst_stride` bytes apart.
using ConvertFunction = void (*)(void* dst, int64_t dst_stride, const void* src, int64_t src_stride,
                                 int64_t n);

/// The cast between two dtypes; raises NotImplementedError for a dtype that alt does not compute
/// on (quantised and 8-bit floating types).
ConvertFunction convert_function(at::ScalarType to, at::ScalarType from);

/// Contiguous to contiguous.
void convert(at::ScalarType to, void* dst, at::ScalarType from, const void* src, int64_t n);

}  // namespace alt
