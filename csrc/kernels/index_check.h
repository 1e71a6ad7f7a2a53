// Index values are checked before anything is written.
#pragma once

#include <ATen/core/TensorBase.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <limits>
#include <optional>

namespace alt::kernels {

namespace detail {

/// The first value outside [low, high) in a strided block; a dimension of stride 0 is seen once.
template <class Index>
std::optional<int64_t> find_outside(const Index* data, c10::IntArrayRef sizes,
                                    c10::IntArrayRef strides, int64_t low, int64_t high) {
  if (sizes.empty()) {
    const auto value = static_cast<int64_t>(*data);
    return value < low || value >= high ? std::optional(value) : std::nullopt;
  }
  const int64_t size = strides[0] == 0 && sizes[0] > 0 ? 1 : sizes[0];
  if (sizes.size() > 1) {
    for (int64_t i = 0; i < size; ++i) {
      const auto found =
          find_outside(data + i * strides[0], sizes.slice(1), strides.slice(1), low, high);
      if (found.has_value()) {
        return found;
      }
    }
    return std::nullopt;
  }
  const int64_t stride = strides[0];
  const auto any_outside = [&](int64_t step) {
    bool outside = false;
    for (int64_t i = 0; i < size; ++i) {
      const auto value = static_cast<int64_t>(data[i * step]);
      outside |= (value < low) | (value >= high);
    }
    return outside;
  };
  const bool outside = stride == 1 ? any_outside(1) : any_outside(stride);  // the first in lanes
  for (int64_t i = 0; outside && i < size; ++i) {
    const auto value = static_cast<int64_t>(data[i * stride]);
    if (value < low || value >= high) {
      return value;
    }
  }
  return std::nullopt;
}

}  // namespace detail

/// The first value of an index tensor (int64 or int32) outside [low, high), if there is one.
inline std::optional<int64_t> find_outside(const at::TensorBase& index, int64_t low, int64_t high) {
  if (index.numel() == 0) {
    return std::nullopt;
  }
  const int64_t size = index.numel();
  const int64_t stride = 1;
  // Contiguous memory is one row, however many dimensions it has.
  const bool row = index.is_contiguous();
  const c10::IntArrayRef sizes = row ? c10::IntArrayRef(size) : index.sizes();
  const c10::IntArrayRef strides = row ? c10::IntArrayRef(stride) : index.strides();
  if (index.scalar_type() == at::kInt) {
    return detail::find_outside(index.const_data_ptr<int32_t>(), sizes, strides, low, high);
  }
  return detail::find_outside(index.const_data_ptr<int64_t>(), sizes, strides, low, high);
}

/// index_select, index_add on a vector, index_reduce: negative values are refused.
inline void check_index_in_self(const at::TensorBase& index, int64_t size) {
  TORCH_CHECK_INDEX(!find_outside(index, 0, size).has_value(), "index out of range in self");
}

/// gather, scatter and their kin: negative values are refused, with a RuntimeError as in stock.
inline void check_index_of_dimension(const at::TensorBase& index, int64_t dim, int64_t size) {
  if (const auto value = find_outside(index, 0, size)) {
    TORCH_CHECK(false, "index ", *value, " is out of bounds for dimension ", dim, " with size ",
                size);
  }
}

/// Advanced indexing: values count from the end when negative.
inline void check_wrapped_index(const at::TensorBase& index, int64_t dim, int64_t size) {
  if (const auto value = find_outside(index, -size, size)) {
    TORCH_CHECK_INDEX(false, "index ", *value, " is out of bounds for dimension ", dim,
                      " with size ", size);
  }
}

}  // namespace alt::kernels
