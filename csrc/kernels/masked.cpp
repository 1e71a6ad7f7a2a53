// masked_fill_, masked_select and masked_scatter_.
//
// Selection runs twice over the mask: once to count each chunk, so that every chunk knows where its
// elements go, and once to move them, by the bits of 64 elements: a branch for each is mispredicted
// every second time where the mask is random, which is six times as slow.
#include <ATen/ExpandUtils.h>
#include <ATen/MemoryOverlap.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/where.h>

#include <bit>
#include <cstring>
#include <type_traits>

#include "kernels/chunk_counts.h"
#include "kernels/compaction.h"
#include "kernels/cuda/index.h"
#include "kernels/iterate.h"
#include "kernels/masked.h"
#include "loops/dtype.h"
#include "loops/element_size.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

void check_same_device(const at::Tensor& self, const at::Tensor& mask) {
  TORCH_CHECK(self.device() == mask.device(),
              "expected self and mask to be on the same device, but got mask on ", mask.device(),
              " and self on ", self.device());
}

/// Selects and writes every element, in lanes. Nobody else may write the row meanwhile. (GCC finds
/// no lanes in a loop over bool.)
template <class T>
void fill_row(T* to, const uint8_t* mask, int64_t n, T value) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const T old = to[i];
    to[i] = mask[i] != 0 ? value : old;
  }
}

template <class T>
void fill_where(at::TensorIteratorBase& iter, T value, bool overlaps) {
  for_each_row(iter, /*serial=*/false, [&](char** data, const int64_t* strides, int64_t n) {
    if (!overlaps && strides[0] == static_cast<int64_t>(sizeof(T)) && strides[1] == 1) {
      fill_row(reinterpret_cast<T*>(data[0]), reinterpret_cast<const uint8_t*>(data[1]), n, value);
      return;
    }
    for (int64_t i = 0; i < n; ++i) {
      if (data[1][i * strides[1]] != 0) {
        *reinterpret_cast<T*>(data[0] + i * strides[0]) = value;
      }
    }
  });
}

/// move(bits, i, first) for each 64 flags from i on; it returns how many of its elements were
/// picked, of which the first is the first-th of all.
template <class Move>
void for_words(const bool* flags, const ChunkCounts& counts, Move&& move) {
  counts.for_each([&](int64_t begin, int64_t end, int64_t first) {
    for (int64_t i = begin; i < end; i += kWordBits) {
      first += move(nonzero_bits(flags, i, end), i, first);
    }
  });
}

}  // namespace

at::Tensor& masked_fill_scalar_(at::Tensor& self, const at::Tensor& mask, const at::Scalar& value) {
  TORCH_CHECK(mask.scalar_type() == at::kBool,
              "masked_fill_ only supports boolean masks, but got mask with dtype ", mask.dtype());
  check_same_device(self, mask);
  const bool overlaps = at::has_internal_overlap(self) != at::MemOverlap::No;
  if (at::has_internal_overlap(self) == at::MemOverlap::Yes) {
    TORCH_WARN(
        "Use of masked_fill_ on expanded tensors is deprecated. Please clone() the tensor before "
        "performing this operation. This also applies to advanced indexing e.g. tensor[mask] = "
        "scalar");
  }
  at::assert_no_partial_overlap(self, mask);
  const auto expanded = at::expand_inplace(self, mask, "masked_fill_");
  if (alt::cuda::on_gpu()) {
    at::where_out(self, *expanded, at::full({}, value, self.options()), self);
    return self;
  }
  auto iter = at::TensorIteratorConfig()
                  .set_check_mem_overlap(false)
                  .check_all_same_dtype(false)
                  .resize_outputs(false)
                  .add_output(self)
                  .add_const_input(*expanded)
                  .build();
  visit<EveryType>(self.scalar_type(), "masked_fill", [&]<class T>() {
    fill_where(iter, std::bit_cast<moved_as_t<T>>(value.to<T>()), overlaps);
  });
  return self;
}

at::Tensor& masked_fill_tensor_(at::Tensor& self, const at::Tensor& mask, const at::Tensor& value) {
  TORCH_CHECK(value.dim() == 0,
              "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with ",
              value.dim(), " dimension(s).");
  return masked_fill_scalar_(self, mask, value.item());
}

at::Tensor& masked_select_out(const at::Tensor& self, const at::Tensor& mask, at::Tensor& out) {
  TORCH_CHECK(mask.scalar_type() == at::kBool, "masked_select: expected BoolTensor for mask");
  TORCH_CHECK(self.scalar_type() == out.scalar_type(),
              "masked_select(): self and result must have the same scalar type");
  check_same_device(self, mask);
  at::assert_no_internal_overlap(out);
  at::assert_no_overlap(out, self);
  at::assert_no_overlap(out, mask);
  const auto [expanded_mask, expanded_self] = at::expand_outplace(mask, self);
  const auto chosen = expanded_mask->contiguous();
  const auto source = expanded_self->contiguous();
  if (alt::cuda::on_gpu()) {
    const auto places = cuda::places_of(chosen);
    at::native::resize_output(out, {places.numel()});
    out.copy_(source.view(-1).index_select(0, places));
    return out;
  }
  const bool* flags = chosen.const_data_ptr<bool>();
  const ChunkCounts counts = count_nonzero(flags, chosen.numel());
  at::native::resize_output(out, {counts.total()});
  if (counts.total() == 0) {
    return out;
  }
  auto target = out.is_contiguous() ? out : at::empty_like(out, at::MemoryFormat::Contiguous);
  visit_element_size(static_cast<int64_t>(self.element_size()), [&]<class T>() {
    const auto* from = static_cast<const T*>(source.const_data_ptr());
    auto* to = static_cast<T*>(target.mutable_data_ptr());
    for_words(flags, counts, [&](uint64_t picked, int64_t i, int64_t first) {
      return pack_picked(picked, from + i, to + first);
    });
  });
  if (!target.is_same(out)) {
    out.copy_(target);
  }
  return out;
}

at::Tensor masked_select(const at::Tensor& self, const at::Tensor& mask) {
  auto out = at::empty({0}, self.options());
  masked_select_out(self, mask, out);
  return out;
}

void spread(at::Tensor& self, const at::Tensor& flags, const ChunkCounts& counts,
            const at::Tensor& source) {
  if (counts.total() == 0) return;
  const bool* chosen = flags.const_data_ptr<bool>();
  const auto target = self.contiguous();
  visit_element_size(static_cast<int64_t>(self.element_size()), [&]<class T>() {
    const auto* from = static_cast<const T*>(source.const_data_ptr());
    auto* to = static_cast<T*>(target.mutable_data_ptr());
    for_words(chosen, counts, [&](uint64_t picked, int64_t i, int64_t first) {
      return spread_picked(picked, from + first, to + i);
    });
  });
  if (!target.is_same(self)) {
    self.copy_(target);
  }
}

at::Tensor& masked_scatter_(at::Tensor& self, const at::Tensor& mask, const at::Tensor& source) {
  at::assert_no_internal_overlap(self);
  TORCH_CHECK(self.scalar_type() == source.scalar_type(),
              "masked_scatter: expected self and source to have same dtypes but got",
              self.scalar_type(), " and ", source.scalar_type());
  TORCH_CHECK(mask.scalar_type() == at::kBool,
              "masked_scatter_ only supports boolean masks, but got mask with dtype ",
              mask.scalar_type());
  check_same_device(self, mask);
  const auto expanded = at::expand_inplace(self, mask, "masked_scatter_");
  const auto chosen = expanded->contiguous();
  const auto values = source.contiguous();
  if (alt::cuda::on_gpu()) {
    const auto places = cuda::places_of(chosen);
    TORCH_CHECK(places.numel() <= values.numel(),
                "Number of elements of source < number of ones in mask");
    const auto target = self.contiguous();
    target.view(-1).index_copy_(0, places, values.view(-1).narrow(0, 0, places.numel()));
    if (!target.is_same(self)) self.copy_(target);
    return self;
  }
  const ChunkCounts counts = count_nonzero(chosen.const_data_ptr<bool>(), chosen.numel());
  TORCH_CHECK(counts.total() <= values.numel(),
              "Number of elements of source < number of ones in mask");
  spread(self, chosen, counts, values);
  return self;
}

}  // namespace alt::kernels
