// Views that most programs make most often, without a second way through the dispatcher: PyTorch's
// functions end in as_strided, whose call costs a tenth of what x[i] does.
//
// What is out of the ordinary, errors above all, is left to PyTorch's functions.
#include <ATen/ExpandUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/expand_native.h>
#include <ATen/ops/select_native.h>
#include <ATen/ops/slice_native.h>
#include <ATen/ops/t_native.h>
#include <ATen/ops/transpose_native.h>
#include <ATen/ops/unsqueeze_native.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "generated/torch_compat.h"

namespace alt::kernels {
namespace {

/// A tensor on the memory of `self`, `offset` elements behind it.
at::Tensor view_of(const at::Tensor& self, at::IntArrayRef sizes, at::IntArrayRef strides,
                   int64_t offset = 0) {
  at::Tensor result = at::detail::make_tensor<c10::TensorImpl>(
      c10::TensorImpl::VIEW, c10::Storage(self.storage()), self.key_set(), self.dtype());
  result.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides,
                                                      self.storage_offset() + offset);
  return result;
}

/// `dim` counted from the front, if it is one of `count`.
std::optional<size_t> position(int64_t dim, int64_t count) {
  if (dim < 0) dim += count;
  return 0 <= dim && dim < count ? std::optional(static_cast<size_t>(dim)) : std::nullopt;
}

at::Tensor swapped(const at::Tensor& self, size_t one, size_t other) {
  at::DimVector sizes(self.sizes()), strides(self.strides());
  std::swap(sizes[one], sizes[other]);
  std::swap(strides[one], strides[other]);
  return view_of(self, sizes, strides);
}

}  // namespace

at::Tensor select(const at::Tensor& self, int64_t dim, int64_t index) {
  const auto at = position(dim, self.dim());
  const auto place = at ? position(index, self.size(dim)) : std::nullopt;
  if (!place || ALT_HAS_NAMES(self)) return at::native::select_symint(self, dim, index);
  at::DimVector sizes(self.sizes()), strides(self.strides());
  const int64_t offset = static_cast<int64_t>(*place) * strides[*at];
  sizes.erase(sizes.begin() + *at);
  strides.erase(strides.begin() + *at);
  return view_of(self, sizes, strides, offset);
}

at::Tensor slice(const at::Tensor& self, int64_t dim, std::optional<int64_t> start,
                 std::optional<int64_t> end, int64_t step) {
  const auto at = position(dim, self.dim());
  if (!at || step <= 0 || ALT_HAS_NAMES(self)) {
    return at::native::slice(self, dim, start, end, step);
  }
  at::DimVector sizes(self.sizes()), strides(self.strides());
  int64_t& size = sizes[*at];
  const auto clamped = [&](int64_t bound) {
    return std::clamp<int64_t>(bound < 0 ? bound + size : bound, 0, size);
  };
  const int64_t first = clamped(start.value_or(0));
  const int64_t length = std::max<int64_t>(0, clamped(end.value_or(size)) - first);
  const int64_t offset = first * strides[*at];
  size = length / step + (length % step != 0 ? 1 : 0);
  strides[*at] *= step;
  return view_of(self, sizes, strides, offset);
}

at::Tensor transpose(const at::Tensor& self, int64_t dim0, int64_t dim1) {
  const auto one = position(dim0, self.dim()), other = position(dim1, self.dim());
  if (!one || !other || one == other || ALT_HAS_NAMES(self)) {
    return at::native::transpose(self, dim0, dim1);
  }
  return swapped(self, *one, *other);
}

at::Tensor t(const at::Tensor& self) {
  if (self.dim() != 2 || ALT_HAS_NAMES(self)) return at::native::t(self);
  return swapped(self, 0, 1);
}

at::Tensor unsqueeze(const at::Tensor& self, int64_t dim) {
  const auto at = position(dim, self.dim() + 1);
  if (!at || ALT_HAS_NAMES(self)) return at::native::unsqueeze(self, dim);
  at::DimVector sizes(self.sizes()), strides(self.strides());
  const int64_t stride = *at < sizes.size() ? sizes[*at] * strides[*at] : 1;
  sizes.insert(sizes.begin() + *at, 1);
  strides.insert(strides.begin() + *at, stride);
  return view_of(self, sizes, strides);
}

at::Tensor expand(const at::Tensor& self, at::IntArrayRef size, bool implicit) {
  if (static_cast<int64_t>(size.size()) < self.dim() || ALT_HAS_NAMES(self)) {
    return at::native::expand(self, size, implicit);
  }
  const auto geometry = at::inferExpandGeometry_dimvector(self.sizes(), self.strides(), size);
  return view_of(self, geometry.sizes, geometry.strides);
}

}  // namespace alt::kernels
