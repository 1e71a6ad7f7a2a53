// A tensor's one-dimensional slices along one dimension, numbered in memory order of the others.
#pragma once

#include <ATen/core/TensorBase.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <cstdint>

namespace alt::kernels {

/// How many lanes of `length` elements make a task of about so many elements.
inline int64_t lane_grain(int64_t length, int64_t elements) {
  return std::max<int64_t>(1, elements / std::max<int64_t>(1, length));
}

class LaneOffsets {
 public:
  LaneOffsets(c10::IntArrayRef sizes, int64_t dim)
      : sizes_(sizes), dim_(dim), length_(sizes.empty() ? 1 : sizes[dim]) {
    for (size_t d = 0; d < sizes.size(); ++d) {
      if (static_cast<int64_t>(d) != dim) {
        count_ *= sizes[d];
      }
    }
  }

  int64_t count() const { return count_; }
  int64_t length() const { return length_; }

  /// Where a lane starts in a tensor of the same sizes (but along `dim`), in elements.
  int64_t start(const at::TensorBase& tensor, int64_t lane) const {
    if (tensor.dim() == 0) {
      return 0;
    }
    const auto strides = tensor.strides();
    int64_t offset = 0;
    for (auto d = static_cast<int64_t>(sizes_.size()) - 1; d >= 0; --d) {
      if (d != dim_) {
        offset += lane % sizes_[d] * strides[d];
        lane /= sizes_[d];
      }
    }
    return offset;
  }

  int64_t stride(const at::TensorBase& tensor) const {
    return tensor.dim() == 0 ? 1 : tensor.stride(dim_);
  }

 private:
  c10::IntArrayRef sizes_;
  int64_t dim_;
  int64_t length_;
  int64_t count_ = 1;
};

}  // namespace alt::kernels
