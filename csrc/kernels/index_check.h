// Index values are checked before anything is written.
#pragma once

#include <ATen/core/TensorBase.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>

#include "runtime/thread_pool.h"

namespace alt::kernels {

namespace detail {

/// Whether contiguous memory holds a value outside [low, high): such a one, less `low`, is not
/// below `high - low` as an unsigned number, and a maximum runs in lanes.
template <class Index>
bool any_outside(const Index* data, int64_t n, int64_t low, int64_t high) {
  std::atomic<bool> outside{false};
  parallel_for(0, n, int64_t{1} << 15, [&](int64_t begin, int64_t end) {
    uint64_t largest = 0;
    for (int64_t i = begin; i < end; ++i) {
      const auto value = static_cast<uint64_t>(data[i]) - static_cast<uint64_t>(low);
      largest = std::max(largest, value);
    }
    if (largest >= static_cast<uint64_t>(high - low)) {
      outside.store(true, std::memory_order_relaxed);
    }
  });
  return outside.load(std::memory_order_relaxed);
}

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
  if (strides[0] == 1 && !any_outside(data, size, low, high)) {
    return std::nullopt;
  }
  for (int64_t i = 0; i < size; ++i) {
    const auto value = static_cast<int64_t>(data[i * strides[0]]);
    if (value < low || value >= high) {
      return value;
    }
  }
  return std::nullopt;
}

/// find_outside for memory seen as one row, where that is possible.
template <class Index>
std::optional<int64_t> find_outside(const at::TensorBase& index, int64_t low, int64_t high) {
  const Index* data = index.const_data_ptr<Index>();
  if (index.is_contiguous() && !any_outside(data, index.numel(), low, high)) {
    return std::nullopt;
  }
  return find_outside(data, index.sizes(), index.strides(), low, high);
}

}  // namespace detail

/// The first value of an index tensor (int64 or int32) outside [low, high), if there is one.
inline std::optional<int64_t> find_outside(const at::TensorBase& index, int64_t low, int64_t high) {
  if (index.numel() == 0) {
    return std::nullopt;
  }
  return index.scalar_type() == at::kInt ? detail::find_outside<int32_t>(index, low, high)
                                         : detail::find_outside<int64_t>(index, low, high);
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
