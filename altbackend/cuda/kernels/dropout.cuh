// Dropout: what a mask keeps, scaled.
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace dropout {
enum Integers { kCount };
enum Numbers { kFactor };
}  // namespace dropout

/// tensors: output, input, mask (bool), which lie alike and without gaps. A product, not a choice:
/// dropped infinities and NaN are NaN.
template <class T>
ALT_FN void masked_scale(const KernelArgs& a) {
  using A = opmath_t<T>;
  const A factor = static_cast<A>(a.numbers[dropout::kFactor]);
  const T* from = data_of<T>(a.tensors[1]);
  const bool* keep = data_of<bool>(a.tensors[2]);
  for (int64_t i = first_index(); i < a.integers[dropout::kCount]; i += grid_step()) {
    data_of<T>(a.tensors[0])[i] = convert<T>(convert<A>(from[i]) * (keep[i] ? factor : A(0)));
  }
}

}  // namespace alt::kernels
