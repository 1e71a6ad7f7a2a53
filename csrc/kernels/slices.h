// A tensor along one dimension: outer x dim x inner, as its contiguous memory is.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/WrapDimMinimal.h>

#include <cstdint>

namespace alt::kernels {

/// A tensor of no dimensions is one slice of one element.
struct Slices {
  int64_t outer = 1, dim = 1, inner = 1;

  Slices(const at::Tensor& t, int64_t wrapped) {
    wrapped = c10::maybe_wrap_dim(wrapped, t.dim());
    for (int64_t d = 0; d < t.dim(); ++d) {
      (d < wrapped ? outer : d == wrapped ? dim : inner) *= t.size(d);
    }
  }
};

}  // namespace alt::kernels
