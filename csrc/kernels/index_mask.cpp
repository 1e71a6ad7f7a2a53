// x[mask] and x[mask] = values for one mask of all of x. PyTorch finds the positions first, in 8
// bytes for each element that is picked, and gathers or scatters by those; elements can be picked
// by the bits of the mask (masked.cpp). Everything else, and every error, is left to PyTorch, which
// fills with a number where it lies on the CPU only: Python makes it on alt.
#include <ATen/MemoryOverlap.h>
#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_index_put_impl_native.h>

#include <optional>

#include "kernels/chunk_counts.h"
#include "kernels/masked.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

using Indices = c10::List<std::optional<at::Tensor>>;

/// The mask, if it is all that indexes `self`, and of its shape.
std::optional<at::Tensor> sole_mask(const at::Tensor& self, const Indices& indices) {
  if (indices.size() != 1 || alt::cuda::on_gpu()) return std::nullopt;
  const std::optional<at::Tensor> index = indices[0];
  const bool is_mask = index.has_value() && index->defined() && index->scalar_type() == at::kBool &&
                       index->device() == self.device() && index->layout() == at::kStrided &&
                       index->dim() > 0 && index->sizes() == self.sizes();
  return is_mask ? index : std::nullopt;
}

/// Whether a mask is all that indexes, of some of the dimensions or of all.
bool is_by_mask(const Indices& indices) {
  int given = 0, masks = 0;
  for (const std::optional<at::Tensor> index : indices) {
    if (!index.has_value() || !index->defined()) continue;
    ++given;
    if (index->scalar_type() == at::kBool || index->scalar_type() == at::kByte) ++masks;
  }
  return given == 1 && masks == 1;
}

bool overlap(const at::Tensor& a, const at::Tensor& b) {
  return at::get_overlap_status(a, b) != at::MemOverlapStatus::No;
}

}  // namespace

std::optional<at::Tensor> index_by_mask(const at::Tensor& self, const Indices& indices) {
  const auto mask = sole_mask(self, indices);
  return mask ? std::optional(masked_select(self, *mask)) : std::nullopt;
}

bool index_put_by_mask(at::Tensor& self, const Indices& indices, const at::Tensor& values,
                       bool accumulate, bool unsafe) {
  if (accumulate || values.device() != self.device() || values.layout() != at::kStrided) {
    return false;
  }
  const auto mask = sole_mask(self, indices);
  const bool apart = mask && at::has_internal_overlap(self) == at::MemOverlap::No &&
                     !overlap(self, *mask) && !overlap(self, values);
  if (values.numel() == 1 && !alt::cuda::on_gpu() && is_by_mask(indices)) {
    if (apart) {
      masked_fill_scalar_(self, *mask, values.item());
    } else {
      at::native::_index_put_impl_(self, indices, values.cpu(), accumulate, unsafe);
    }
    return true;
  }
  if (!apart || values.dim() != 1 || values.scalar_type() != self.scalar_type()) return false;
  const at::Tensor flags = mask->contiguous();
  const auto counts = count_nonzero(flags.const_data_ptr<bool>(), flags.numel());
  if (counts.total() != values.numel()) return false;
  spread(self, flags, counts, values.contiguous());
  return true;
}

}  // namespace alt::kernels
