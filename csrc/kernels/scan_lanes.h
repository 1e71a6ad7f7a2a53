// cumsum of contiguous floats in lanes (scan_lanes.cpp).
#pragma once

#include <cstdint>

namespace alt::kernels {

/// Contiguous memory cut at the dimension that is summed along: [outer, n, inner]. `to` may be
/// `from`.
void cumsum_floats(float* to, const float* from, int64_t outer, int64_t n, int64_t inner);

}  // namespace alt::kernels
