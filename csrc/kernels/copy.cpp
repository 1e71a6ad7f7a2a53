// Copies between alt and alt or the CPU, and reading one element.
//
// Loop order: threads claim ranges of the destination; TensorIterator gives 2-d pieces with the
// destination's fastest dimension innermost. Where the source is contiguous along the other
// dimension (a transposition) the piece is walked in tiles of kTile x kTile elements, so that each
// cache line of the source is used kTile/element times while it is in L1 (64 x 64 doubles touch
// 64 lines of 64 bytes a side and 32 KiB in all).
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/conj_physical.h>
#include <ATen/ops/copy_native.h>
#include <ATen/ops/fill_native.h>
#include <ATen/ops/neg.h>
#include <ATen/ops/zero_native.h>
#include <c10/core/Scalar.h>

#include <algorithm>
#include <cstring>

#include "generated/torch_compat.h"
#include "kernels/cuda/copy.h"
#include "loops/convert.h"
#include "loops/element_size.h"
#include "loops/storable.h"
#include "loops/stream.h"
#include "loops/transpose.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

constexpr int64_t kTile = 64;
constexpr int64_t kGrain = 65536;
constexpr int64_t kGrainBytes = 4 * kGrain;

struct Piece {
  char* dst;
  const char* src;
  int64_t dst_inner, src_inner, dst_outer, src_outer;
};

/// How elements get from one side to the other.
struct Move {
  ConvertFunction convert;
  int64_t dst_size, src_size;
  bool same;       // dtypes
  bool streaming;  // past the caches, where the destination is contiguous
};

Move move_between(const at::Tensor& dst, const at::Tensor& src) {
  const bool same = dst.scalar_type() == src.scalar_type();
  const auto dst_size = static_cast<int64_t>(dst.element_size());
  return {
      .convert = same ? convert_function(moved_as(dst.scalar_type()), moved_as(src.scalar_type()))
                      : convert_function(dst.scalar_type(), src.scalar_type()),
      .dst_size = dst_size,
      .src_size = static_cast<int64_t>(src.element_size()),
      .same = same,
      .streaming = worth_streaming(dst.numel() * dst_size),
  };
}

void copy_rows(const Move& move, const Piece& p, int64_t inner, int64_t outer) {
  const int64_t bytes = inner * move.dst_size;
  const bool rows_to = p.dst_inner == move.dst_size;
  const bool as_it_is = rows_to && move.same && p.src_inner == move.src_size;
  const bool streaming = move.streaming && rows_to && bytes >= kStreamedRow;
  for (int64_t o = 0; o < outer; ++o) {
    char* dst = p.dst + o * p.dst_outer;
    const char* src = p.src + o * p.src_outer;
    if (as_it_is) {
      copy_part(dst, src, bytes, streaming);
    } else if (streaming) {
      stream_cast(move.convert, dst, move.dst_size, src, p.src_inner, inner);
    } else {
      move.convert(dst, p.dst_inner, src, p.src_inner, inner);
    }
  }
}

/// A tile that is read by columns. It is turned in a buffer, for the rows of either side may be a
/// power of two apart, where all lines of a tile fall into one set of the first cache.
void turn_tile(const Move& move, const Piece& p, int64_t columns, int64_t rows) {
  alignas(64) float turned[kTile * kTile];
  transpose(turned, kTile, reinterpret_cast<const float*>(p.src), p.src_inner / kTransposedSize,
            rows, columns);
  const int64_t bytes = columns * kTransposedSize;
  for (int64_t r = 0; r < rows; ++r) {
    copy_part(p.dst + r * p.dst_outer, turned + r * kTile, bytes, move.streaming);
  }
}

void copy_tiles(const Move& move, const Piece& p, int64_t inner, int64_t outer) {
  const bool turnable = move.same && move.dst_size == kTransposedSize &&
                        p.dst_inner == kTransposedSize && p.src_outer == kTransposedSize &&
                        p.dst_outer % kTransposedSize == 0 && p.src_inner % kTransposedSize == 0;
  // Down the columns, where what a tile reads follows on what the one before has read.
  for (int64_t i = 0; i < inner; i += kTile) {
    for (int64_t o = 0; o < outer; o += kTile) {
      Piece tile = p;
      tile.dst += o * p.dst_outer + i * p.dst_inner;
      tile.src += o * p.src_outer + i * p.src_inner;
      const int64_t columns = std::min(kTile, inner - i);
      const int64_t rows = std::min(kTile, outer - o);
      if (turnable) {
        turn_tile(move, tile, columns, rows);
      } else {
        copy_rows(move, tile, columns, rows);
      }
    }
  }
}

void copy_piece(const Move& move, const Piece& p, int64_t inner, int64_t outer) {
  if (p.dst_outer == inner * move.dst_size && p.src_outer == inner * move.src_size &&
      p.dst_inner == move.dst_size && p.src_inner == move.src_size) {
    copy_rows(move, p, inner * outer, 1);
  } else if (p.src_outer != 0 && std::abs(p.src_outer) < std::abs(p.src_inner) && outer > 1) {
    copy_tiles(move, p, inner, outer);
  } else {
    copy_rows(move, p, inner, outer);
  }
}

void copy_elements(const at::Tensor& dst, const at::Tensor& src) {
  auto iter = at::TensorIteratorConfig()
                  .add_output(dst)
                  .add_const_input(src)
                  .resize_outputs(false)
                  .check_all_same_dtype(false)
                  .check_all_same_device(false)
                  .build();
  if (iter.numel() == 0) return;
  const Move move = move_between(dst, src);
  const auto loop = [&](char** data, const int64_t* strides, int64_t inner, int64_t outer) {
    copy_piece(move, {data[0], data[1], strides[0], strides[1], strides[2], strides[3]}, inner,
               outer);
  };
  parallel_for(0, iter.numel(), kGrain, [&](int64_t begin, int64_t end) {
    iter.serial_for_each(loop, {begin, end});
    if (move.streaming) stream_fence();
  });
}

/// `tensor` without its lazy conjugation and negation: the memory as it is.
at::Tensor physical(const at::Tensor& tensor) {
  if (!tensor.is_conj() && !tensor.is_neg()) return tensor;
  at::Tensor raw = tensor.detach();
  raw._set_conj(false);
  raw._set_neg(false);
  return raw;
}

/// Whether two tensors of one dtype are the same bytes in the same order.
bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return false;
  if (a.is_contiguous()) return b.is_contiguous();
  return a.strides() == b.strides() && a.is_non_overlapping_and_dense();
}

/// Of either engine.
void move_elements(const at::Tensor& dst, const at::Tensor& src, bool non_blocking) {
  if (!alt::cuda::on_gpu()) {
    copy_elements(dst, src);
  } else if (dst.scalar_type() == src.scalar_type() && same_layout(dst, src) &&
             !dst.is_alias_of(src)) {
    cuda::copy_block(dst, src, non_blocking);
  } else {
    cuda::copy_elements(dst, src, non_blocking);
  }
}

void check_device(const at::Tensor& tensor) {
  TORCH_CHECK_NOT_IMPLEMENTED(tensor.device().is_cpu() || tensor.device().is_privateuseone(),
                              "alt copies to and from the CPU only; go through the CPU to reach ",
                              tensor.device());
}

}  // namespace

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& dst, bool non_blocking) {
  check_device(self);
  check_device(dst);
  if (self.is_same(dst)) return dst;
  if (self.is_complex() && !dst.is_complex()) {
    TORCH_WARN_ONCE("Casting complex values to real discards the imaginary part");
  }
  const at::Tensor to = physical(dst);
  move_elements(to, physical(self), non_blocking);
  // The copy moved memory; where only one side is lazily conjugated or negated, mend the values.
  if (dst.is_complex() && self.is_complex() && self.is_conj() != dst.is_conj()) {
    at::conj_physical_(const_cast<at::Tensor&>(to));
  }
  if (self.is_neg() != dst.is_neg()) at::neg_(const_cast<at::Tensor&>(to));
  return dst;
}

/// Elements as they lie, of one dtype or cast: the two sides have one layout and share no memory.
void copy_dense(const at::Tensor& dst, const at::Tensor& src) {
  const Move move = move_between(dst, src);
  auto* to = static_cast<char*>(dst.mutable_data_ptr());
  const auto* from = static_cast<const char*>(src.const_data_ptr());
  parallel_for(0, dst.numel(), kGrain, [&](int64_t begin, int64_t end) {
    copy_rows(move,
              {to + begin * move.dst_size, from + begin * move.src_size, move.dst_size,
               move.src_size, 0, 0},
              end - begin, 1);
    if (move.streaming) stream_fence();
  });
}

/// Most copies need none of the front-end: between tensors of one size that are what they seem.
at::Tensor& copy_(at::Tensor& self, const at::Tensor& src, bool non_blocking) {
  const auto is_plain = [](const at::Tensor& tensor) {
    return tensor.layout() == at::kStrided && (tensor.is_privateuseone() || tensor.is_cpu()) &&
           !tensor.is_conj() && !tensor.is_neg() && !tensor._is_zerotensor() &&
           !ALT_HAS_NAMES(tensor);
  };
  const bool plain = src.defined() && is_plain(self) && is_plain(src) &&
                     self.sizes() == src.sizes() && self.is_complex() == src.is_complex() &&
                     !self.is_same(src);
  const bool dense = plain && same_layout(self, src) && !self.is_alias_of(src);
  if (alt::cuda::on_gpu()) {
    if (!dense || self.scalar_type() != src.scalar_type()) {
      return at::native::copy_(self, src, non_blocking);
    }
    cuda::copy_block(self, src, non_blocking);
  } else if (dense) {
    copy_dense(self, src);
  } else if (plain && self.device() == src.device()) {
    copy_elements(self, src);
  } else {
    return at::native::copy_(self, src, non_blocking);
  }
  return self;
}

at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& dst) {
  if (dst.sizes() != self.sizes()) dst.resize_(self.sizes());
  return copy_from(self, dst, false);
}

at::Scalar local_scalar_dense(const at::Tensor& self) {
  std::optional<at::Scalar> value;
  visit<StorableTypes>(self.scalar_type(), "_local_scalar_dense", [&]<class T>() {
    if (alt::cuda::on_gpu()) {
      T element;
      cuda::read_element(self, &element);
      value.emplace(element);
    } else {
      value.emplace(*self.const_data_ptr<T>());
    }
  });
  return *value;
}

void fill(at::TensorIterator& iter, const at::Scalar& value) {
  if (iter.numel() == 0) return;
  visit<StorableTypes>(iter.dtype(), "fill", [&]<class T>() {
    const T element = value.to<T>();
    if (alt::cuda::on_gpu()) return cuda::fill_elements(iter, &element);
    const auto loop = [&](char** data, const int64_t* strides, int64_t inner, int64_t outer) {
      for (int64_t o = 0; o < outer; ++o) {
        char* row = data[0] + o * strides[1];
        if (strides[0] == sizeof(T)) {
          std::fill_n(reinterpret_cast<T*>(row), inner, element);
        } else {
          for (int64_t i = 0; i < inner; ++i) *reinterpret_cast<T*>(row + i * strides[0]) = element;
        }
      }
    };
    parallel_for(0, iter.numel(), kGrain,
                 [&](int64_t begin, int64_t end) { iter.serial_for_each(loop, {begin, end}); });
  });
}

at::Tensor& fill_scalar_(at::Tensor& self, const at::Scalar& value) {
  const bool plain = !alt::cuda::on_gpu() && self.is_non_overlapping_and_dense() &&
                     self.scalar_type() == at::kFloat &&
                     (value.isFloatingPoint() || value.isIntegral(/*includeBool=*/true));
  if (!plain) return at::native::fill_(self, value);
  auto* to = self.mutable_data_ptr<float>();
  const auto element = value.to<float>();
  parallel_for(0, self.numel(), kGrain,
               [&](int64_t begin, int64_t end) { std::fill(to + begin, to + end, element); });
  return self;
}

at::Tensor& zero_(at::Tensor& self) {
  if (!self.is_non_overlapping_and_dense()) return at::native::zero_(self);
  if (alt::cuda::on_gpu()) {
    cuda::zero_block(self);
    return self;
  }
  auto* to = static_cast<char*>(self.mutable_data_ptr());
  const auto bytes = static_cast<int64_t>(self.nbytes());
  const bool streaming = worth_streaming(bytes);
  alignas(64) static constexpr char zeros[kStreamBlock] = {};
  parallel_for(0, bytes, kGrainBytes, [&](int64_t begin, int64_t end) {
    if (!streaming) {
      std::memset(to + begin, 0, static_cast<size_t>(end - begin));
      return;
    }
    // Other numbers than zero are not quicker to write so.
    for (; begin < end; begin += kStreamBlock) {
      stream_copy(to + begin, zeros, std::min(kStreamBlock, end - begin));
    }
    stream_fence();
  });
  return self;
}

}  // namespace alt::kernels
