// nonzero and nonzero_static.
//
// The coordinates are laid out dimension by dimension, and the result is the transpose of that, as
// in stock.
#include <ATen/MemoryOverlap.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/empty.h>
#include <c10/util/SmallVector.h>

#include <algorithm>

#include "kernels/chunk_counts.h"
#include "loops/dtype.h"

namespace alt::kernels {
namespace {

template <class T>
bool is_nonzero(T value) {
  return value != T(0);
}

template <class T>
ChunkCounts count_chunks(const T* data, int64_t numel) {
  return ChunkCounts(numel, [data](int64_t begin, int64_t end) {
    int64_t count = 0;
    for (int64_t i = begin; i < end; ++i) {
      count += is_nonzero(data[i]);
    }
    return count;
  });
}

/// Coordinate d of the k-th element goes to out[d * dim_stride + k * element_stride], k < limit.
template <class T>
void write_coordinates(const T* data, c10::IntArrayRef sizes, const ChunkCounts& counts,
                       int64_t limit, int64_t* out, int64_t element_stride, int64_t dim_stride) {
  const auto dims = static_cast<int64_t>(sizes.size());
  counts.for_each([&](int64_t begin, int64_t end, int64_t first) {
    c10::SmallVector<int64_t, 8> coordinates(sizes.size(), 0);
    for (int64_t d = dims - 1, position = begin; d >= 0; --d) {
      coordinates[d] = position % sizes[d];
      position /= sizes[d];
    }
    for (int64_t i = begin; i < end && first < limit; ++i) {
      if (is_nonzero(data[i])) {
        for (int64_t d = 0; d < dims; ++d) {
          out[d * dim_stride + first * element_stride] = coordinates[d];
        }
        ++first;
      }
      for (int64_t d = dims - 1; d >= 0 && ++coordinates[d] == sizes[d]; --d) {
        coordinates[d] = 0;
      }
    }
  });
}

}  // namespace

at::Tensor& nonzero_out(const at::Tensor& self, at::Tensor& out) {
  TORCH_CHECK(out.scalar_type() == at::kLong,
              "nonzero: Expected out tensor to have scalar type Long but got scalar type",
              out.scalar_type());
  at::assert_no_internal_overlap(out);
  at::assert_no_overlap(out, self);
  const auto source = self.contiguous();
  visit<EveryType>(self.scalar_type(), "nonzero_count_cpu", [&]<class T>() {
    const T* data = source.const_data_ptr<T>();
    const auto counts = count_chunks(data, source.numel());
    const int64_t total = counts.total();
    const bool resized = at::native::resize_output(out, {total, self.dim()});
    if (out.numel() == 0) {
      return;
    }
    auto coordinates = at::empty({self.dim(), total}, out.options());
    write_coordinates(data, source.sizes(), counts, total, coordinates.mutable_data_ptr<int64_t>(),
                      1, total);
    if (resized) {
      out.set_(coordinates.t());
    } else {
      out.copy_(coordinates.t());
    }
  });
  return out;
}

at::Tensor nonzero(const at::Tensor& self) {
  const auto source = self.contiguous();
  at::Tensor coordinates;
  visit<EveryType>(self.scalar_type(), "nonzero_count_cpu", [&]<class T>() {
    const T* data = source.const_data_ptr<T>();
    const auto counts = count_chunks(data, source.numel());
    coordinates = at::empty({self.dim(), counts.total()}, self.options().dtype(at::kLong));
    if (coordinates.numel() > 0) {
      write_coordinates(data, source.sizes(), counts, counts.total(),
                        coordinates.mutable_data_ptr<int64_t>(), 1, counts.total());
    }
  });
  return coordinates.t();
}

at::Tensor& nonzero_static_out(const at::Tensor& self, int64_t size, int64_t fill_value,
                               at::Tensor& out) {
  TORCH_CHECK(size >= 0, "nonzero_static: 'size' must be an non-negative integer");
  TORCH_CHECK(out.scalar_type() == at::kLong,
              "nonzero_static: Expected out tensor to have scalar type Long but got scalar type",
              out.scalar_type());
  const int64_t dims = self.dim();
  if (out.dim() != 2 || out.size(0) != size || out.size(1) != dims) {
    at::native::resize_output(out, {size, dims});
  }
  if (out.numel() == 0) {
    return out;
  }
  const auto source = self.contiguous();
  visit<EveryType>(self.scalar_type(), "nonzero_count_cpu", [&]<class T>() {
    const T* data = source.const_data_ptr<T>();
    const auto counts = count_chunks(data, source.numel());
    write_coordinates(data, source.sizes(), counts, size, out.mutable_data_ptr<int64_t>(),
                      out.stride(0), out.stride(1));
    const int64_t filled = std::min(size, counts.total());
    if (filled < size) {
      out.narrow(0, filled, size - filled).fill_(fill_value);
    }
  });
  return out;
}

at::Tensor nonzero_static(const at::Tensor& self, int64_t size, int64_t fill_value) {
  TORCH_CHECK(size >= 0, "nonzero_static: 'size' must be an non-negative integer");
  auto out = at::empty({size, self.dim()}, self.options().dtype(at::kLong));
  nonzero_static_out(self, size, fill_value, out);
  return out;
}

}  // namespace alt::kernels
