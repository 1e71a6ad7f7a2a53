// What the pooling kernels share: the shape of a pooling.
#pragma once

#include <c10/util/ArrayRef.h>

#include <cstdint>

#include "kernels/planes.h"

namespace alt::kernels::pool {

/// A pooling of `planes` images (batch times channels), each contiguous.
struct Geometry {
  int64_t planes;
  Extent input;
  Extent output;
  Extent kernel;
  Extent stride;
  Extent padding;
  Extent dilation;
};

/// A window parameter as PyTorch takes it: one value for every dimension, one for each, or (stride)
/// none at all, which means `otherwise`.
inline Extent parameter(at::IntArrayRef values, int64_t dimensions, int64_t absent,
                        const Extent& otherwise = {1, 1, 1}) {
  if (values.empty()) {
    return otherwise;
  }
  Extent result{absent, absent, absent};
  for (int64_t i = 0; i < dimensions; ++i) {
    result[3 - dimensions + i] = values.size() == 1 ? values[0] : values[i];
  }
  return result;
}

/// The range of positions that adaptive pooling gives output `index` of `outputs`.
struct AdaptiveRange {
  AdaptiveRange(int64_t index, int64_t outputs, int64_t inputs)
      : first(index / outputs * inputs + index % outputs * inputs / outputs),
        last(1 + ((index + 1) * inputs - 1) / outputs) {}
  int64_t size() const { return last - first; }
  int64_t first;
  int64_t last;
};

/// Adds each gradient at its index: the gradient of every kind of max pooling.
void add_at_indices(const at::Tensor& grad_output, const at::Tensor& indices, int64_t dimensions,
                    const char* name, const at::Tensor& grad_input);

}  // namespace alt::kernels::pool
