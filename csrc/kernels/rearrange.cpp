// flip, roll, repeat, repeat_interleave, the shuffles of pixels and channels, and triangles:
// elements move. And the gradient of unfold, which adds them up.
#include <ATen/TensorIterator.h>
#include <ATen/core/IListRef.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/PixelShuffle.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/WrapDimMinimal.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "kernels/iterate.h"
#include "kernels/lane_offsets.h"
#include "loops/dtype.h"
#include "loops/stream.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

/// Along `dim` all elements and those behind them are a block; its last bytes become its first.
at::Tensor roll_one(const at::Tensor& self, int64_t shift, int64_t dim) {
  const int64_t size = self.size(dim);
  if (alt::cuda::on_gpu()) {
    const int64_t first = size - ((shift % size) + size) % size;
    return at::cat({self.narrow(dim, first, size - first), self.narrow(dim, 0, first)}, dim);
  }
  const auto source = self.contiguous();
  auto out = at::empty_like(source, at::MemoryFormat::Contiguous);
  const int64_t step = source.stride(dim) * static_cast<int64_t>(self.element_size());
  const int64_t block = size * step, moved = ((shift % size) + size) % size * step;
  const auto* from = static_cast<const char*>(source.const_data_ptr());
  auto* to = static_cast<char*>(out.mutable_data_ptr());
  const auto bytes = static_cast<int64_t>(out.nbytes());
  const bool streaming = worth_streaming(bytes);
  parallel_for(0, bytes, 1 << 18, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t place = begin % block;
      const bool wrapped = place < moved;
      const int64_t count = std::min(end - begin, (wrapped ? moved : block) - place);
      copy_part(to + begin, from + begin + (wrapped ? block - moved : -moved), count, streaming);
      begin += count;
    }
    if (streaming) stream_fence();
  });
  return out;
}

at::Tensor with_last_three(const at::Tensor& self, std::array<int64_t, 3> sizes) {
  auto shape = self.sizes().vec();
  std::copy(sizes.begin(), sizes.end(), shape.end() - 3);
  return at::empty(shape, self.options(), self.suggest_memory_format());
}

/// (c, h, w) as (c, h / r, r, w / r, r).
at::Tensor split_pixels(const at::Tensor& image, int64_t r) {
  return image.unflatten(-1, {image.size(-1) / r, r}).unflatten(-3, {image.size(-2) / r, r});
}

/// Copies one side of the diagonal and zeroes the other.
template <class T>
void copy_triangle(const at::Tensor& self, const at::Tensor& out, int64_t diagonal, bool upper) {
  const int64_t rows = self.size(-2);
  const int64_t columns = self.size(-1);
  const LaneOffsets lanes(self.sizes(), self.dim() - 1);
  const bool in_place = out.is_same(self);
  const T* from = static_cast<const T*>(self.const_data_ptr());
  T* to = static_cast<T*>(out.mutable_data_ptr());
  const int64_t from_stride = self.stride(-1);
  const int64_t to_stride = out.stride(-1);
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, columns));
  parallel_for(0, lanes.count(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t lane = begin; lane < end; ++lane) {
      const int64_t row = lane % rows;
      // tril keeps columns below `split`, triu those from it on.
      const int64_t split = std::clamp<int64_t>(row + diagonal + (upper ? 0 : 1), 0, columns);
      const int64_t kept_begin = upper ? split : 0;
      const int64_t kept_end = upper ? columns : split;
      T* target = to + lanes.start(out, lane);
      const T* source = from + lanes.start(self, lane);
      if (!in_place) {
        for (int64_t j = kept_begin; j < kept_end; ++j) {
          target[j * to_stride] = source[j * from_stride];
        }
      }
      const int64_t zero_begin = upper ? 0 : split;
      const int64_t zero_end = upper ? split : columns;
      for (int64_t j = zero_begin; j < zero_end; ++j) {
        target[j * to_stride] = T(0);
      }
    }
  });
}

void triangle(const at::Tensor& self, int64_t diagonal, const at::Tensor& out, bool upper) {
  if (out.numel() == 0) {
    return;
  }
  visit_element_size(static_cast<int64_t>(self.element_size()),
                     [&]<class T>() { copy_triangle<T>(self, out, diagonal, upper); });
}

/// A row turned round. The memory is read forwards, as the processor foresees it.
template <class T>
void turn_row(T* to, const T* from, int64_t n, bool streaming) {
  const auto turn = [&](T* part, int64_t begin, int64_t count) {
    const T* first = from + (n - begin - count);
    for (int64_t i = 0; i < count; ++i) part[count - 1 - i] = first[i];  // whole vectors
  };
  constexpr auto size = static_cast<int64_t>(sizeof(T)), block = kStreamBlock / size;
  if (!streaming || n * size < kStreamedRow) return turn(to, 0, n);
  alignas(kLine) T turned[block];
  for (int64_t end = n; end > 0;) {
    const int64_t behind_line = (kLine - bytes_before_line(to + end, kLine)) % kLine / size;
    const int64_t count = std::min(end, behind_line > 0 ? behind_line : block);
    end -= count;
    turn(turned, end, count);
    stream_copy(to + end, turned, count * size);
  }
}

}  // namespace

void flip(at::TensorIterator& iter, const bool /*quantized*/) {
  const bool streaming = worth_streaming(iter.numel() * iter.element_size(0));
  visit_element_size(static_cast<int64_t>(iter.element_size(0)), [&]<class T>() {
    constexpr auto size = static_cast<int64_t>(sizeof(T));
    const auto row = [&](char** data, const int64_t* strides, int64_t n) {
      if (strides[0] == -size && strides[1] == size) {
        turn_row(reinterpret_cast<T*>(data[0]) - (n - 1), reinterpret_cast<const T*>(data[1]), n,
                 streaming);
      } else if (strides[0] == size && strides[1] == size) {
        copy_part(data[0], data[1], n * size, streaming);
      } else {
        for (int64_t i = 0; i < n; ++i) {
          *reinterpret_cast<T*>(data[0] + i * strides[0]) =
              *reinterpret_cast<const T*>(data[1] + i * strides[1]);
        }
      }
    };
    for_each_row(iter, /*serial=*/false, row, [streaming] {
      if (streaming) stream_fence();
    });
  });
}

at::Tensor& narrow_copy_out(const at::Tensor& self, int64_t dim, int64_t start, int64_t length,
                            at::Tensor& out) {
  TORCH_CHECK(self.dtype() == out.dtype());
  if (const auto self_sizes = self.sizes(); !self_sizes.empty()) {
    TORCH_CHECK(dim < static_cast<int64_t>(self_sizes.size()));  // stock's message is this text
    const int64_t size = self.size(dim);
    TORCH_CHECK(length >= 0, "start (", start < 0 ? start + size : start, ") + length (", length,
                ") exceeds dimension size (", size, ").");  // narrow has other words for it
  }
  const auto part = self.narrow(dim, start, length);
  return out.resize_(part.sizes()).copy_(part);
}

at::Tensor narrow_copy(const at::Tensor& self, int64_t dim, int64_t start, int64_t length) {
  at::Tensor out = at::empty({0}, self.options());
  return narrow_copy_out(self, dim, start, length, out);
}

/// Of views and one copy, so that autograd, which knows no formula for it, sees through.
at::Tensor channel_shuffle(const at::Tensor& self, int64_t groups) {
  TORCH_CHECK(self.dim() > 2,
              "channel_shuffle expects input with > 2 dims, but got input with sizes ",
              self.sizes());
  const int64_t channels = self.size(1);
  TORCH_CHECK(groups > 0, "Number of groups to divide channels in must be positive.",
              " Value of groups:", groups);
  TORCH_CHECK(channels % groups == 0, "Number of channels must be divisible by groups. Got ",
              channels, " channels and ", groups, " groups.");
  const auto grouped = self.unflatten(1, {groups, channels / groups});
  return grouped.transpose(1, 2).flatten(1, 2).contiguous(self.suggest_memory_format());
}

/// (c, r, r, h, w) to (c, h, r, w, r): a pixel's r x r channels become its neighbourhood.
at::Tensor pixel_shuffle(const at::Tensor& self, int64_t upscale_factor) {
  at::native::check_pixel_shuffle_shapes(self, upscale_factor);
  const int64_t r = upscale_factor, channels = self.size(-3) / (r * r);
  const at::Tensor out = with_last_three(self, {channels, self.size(-2) * r, self.size(-1) * r});
  const auto blocks = self.unflatten(-3, {channels, r, r});
  split_pixels(out, r).copy_(blocks.transpose(-4, -2).transpose(-3, -2).transpose(-2, -1));
  return out;
}

at::Tensor pixel_unshuffle(const at::Tensor& self, int64_t downscale_factor) {
  at::native::check_pixel_unshuffle_shapes(self, downscale_factor);
  const int64_t r = downscale_factor, channels = self.size(-3);
  const at::Tensor out =
      with_last_three(self, {channels * r * r, self.size(-2) / r, self.size(-1) / r});
  const auto blocks = split_pixels(self, r).transpose(-2, -1).transpose(-3, -2).transpose(-4, -2);
  out.unflatten(-3, {channels, r, r}).copy_(blocks);
  return out;
}

/// One copy of an expanded view: each dimension of the result is (repeats, size).
at::Tensor repeat(const at::Tensor& self, c10::IntArrayRef repeats) {
  const auto dims = static_cast<int64_t>(repeats.size()), added = dims - self.dim();
  TORCH_CHECK(added >= 0,
              "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
              "tensor");
  std::vector<int64_t> sizes, split_sizes, split_strides;
  for (int64_t i = 0; i < dims; ++i) {
    const bool is_new = i < added;
    const int64_t size = is_new ? 1 : self.size(i - added);
    sizes.push_back(size * repeats[i]);
    split_sizes.insert(split_sizes.end(), {repeats[i], size});
    split_strides.insert(split_strides.end(), {0, is_new ? 0 : self.stride(i - added)});
  }
  const auto out = at::empty(sizes, self.options());
  if (out.numel() > 0) out.view(split_sizes).copy_(self.as_strided(split_sizes, split_strides));
  return out;
}

at::Tensor roll(const at::Tensor& self, c10::IntArrayRef shifts, c10::IntArrayRef dims) {
  if (dims.size() == 1 && shifts.size() == 1) {
    if (self.numel() == 0) {
      return self.clone(at::MemoryFormat::Preserve);
    }
    return roll_one(self, shifts[0], at::maybe_wrap_dim(dims[0], self.dim()));
  }
  TORCH_CHECK(!shifts.empty(), "`shifts` required");
  if (dims.empty() && shifts.size() == 1) {
    if (self.numel() == 0) {
      return self.clone(at::MemoryFormat::Preserve);
    }
    return roll_one(self.contiguous().view(self.numel()), shifts[0], 0).view(self.sizes());
  }
  TORCH_CHECK(shifts.size() == dims.size(),
              "shifts and dimensions must align. shifts: ", shifts.size(), ", dims:", dims.size());
  auto out = self;
  for (size_t i = 0; i < dims.size(); ++i) {
    out = roll(out, shifts[i], dims[i]);
  }
  return out;
}

void unfold_backward(at::Tensor& grad_input, const at::Tensor& grad, int64_t dim, int64_t size,
                     int64_t step) {
  dim = at::maybe_wrap_dim(dim, grad_input.dim());
  const auto target = grad_input.dim() > 0 ? grad_input : grad_input.view({1});
  const int64_t windows = grad_input.dim() > 0 ? grad.size(dim) : 1;
  // Elements at one place of all windows do not overlap. From the last place on, so that an element
  // takes its windows in their order.
  for (int64_t place = size - 1; place >= 0; --place) {
    auto elements = target.slice(dim, place, place + (windows - 1) * step + 1, step);
    elements.add_(grad.select(-1, place).expand_as(elements));
  }
}

at::Tensor repeat_interleave(const at::Tensor& repeats, std::optional<int64_t> output_size) {
  TORCH_CHECK(repeats.dim() == 1, "repeat_interleave only accept 1D vector as repeat");
  at::Tensor out;
  visit<TypeList<int64_t, int32_t>>(repeats.scalar_type(), "repeat_interleave_cpu", [&]<class T>() {
    const auto counts = repeats.contiguous();
    const T* count = counts.const_data_ptr<T>();
    const int64_t n = counts.numel();
    int64_t total = 0;
    for (int64_t i = 0; i < n; ++i) {
      TORCH_CHECK(count[i] >= 0, "repeats can not be negative");
      total += count[i];
    }
    TORCH_CHECK(n == 0 || !output_size.has_value() || *output_size == total,
                "allocated size does not match required size");
    out = at::empty({total}, repeats.options());
    T* next = out.mutable_data_ptr<T>();
    for (int64_t i = 0; i < n; ++i) {
      next = std::fill_n(next, count[i], static_cast<T>(i));
    }
  });
  return out;
}

void tril(const at::Tensor& self, int64_t diagonal, const at::Tensor& out) {
  triangle(self, diagonal, out, /*upper=*/false);
}

void triu(const at::Tensor& self, int64_t diagonal, const at::Tensor& out) {
  triangle(self, diagonal, out, /*upper=*/true);
}

}  // namespace alt::kernels
