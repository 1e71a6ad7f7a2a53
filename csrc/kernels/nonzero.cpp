// nonzero and nonzero_static.
//
// The coordinates are laid out dimension by dimension, and the result is the transpose of that, as
// in stock. Elements are looked at 64 at a time, as bits: a word of them lies in one row, or is cut
// where rows end, so that only the last coordinate differs from element to element.
#include <ATen/MemoryOverlap.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/empty.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/bits.h"
#include "kernels/chunk_counts.h"
#include "kernels/cuda/array.h"
#include "loops/dtype.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

/// Where a row of coordinates stands, and the step to the next row.
class Row {
 public:
  Row(c10::IntArrayRef sizes, int64_t position)
      : sizes_(sizes), coordinates_(sizes.size(), 0), dims_(static_cast<int64_t>(sizes.size())) {
    for (int64_t d = dims_ - 1; d >= 0; --d) {
      coordinates_[d] = position % sizes[d];
      position /= sizes[d];
    }
  }

  /// Elements up to the row's end; a scalar is a row.
  int64_t left() const { return dims_ > 0 ? sizes_[dims_ - 1] - coordinates_[dims_ - 1] : 1; }

  void advance(int64_t n) {
    if (dims_ == 0) {
      return;
    }
    coordinates_[dims_ - 1] += n;
    for (int64_t d = dims_ - 1; d > 0 && coordinates_[d] == sizes_[d]; --d) {
      coordinates_[d] = 0;
      ++coordinates_[d - 1];
    }
  }

  int64_t dims() const { return dims_; }
  int64_t operator[](int64_t d) const { return coordinates_[d]; }

 private:
  c10::IntArrayRef sizes_;
  c10::SmallVector<int64_t, 8> coordinates_;
  int64_t dims_;
};

/// Coordinate d of the k-th element goes to out[d * dim_stride + k * element_stride], k < limit.
struct Coordinates {
  int64_t* out;
  int64_t element_stride;
  int64_t dim_stride;
  int64_t limit;

  /// The elements of `bits`, counted from where `row` stands; returns how many were written.
  int64_t write(uint64_t bits, const Row& row, int64_t first) const {
    const int64_t count =
        std::min<int64_t>(std::popcount(bits), std::max<int64_t>(0, limit - first));
    const int64_t last_dim = row.dims() - 1;
    if (count == 0 || last_dim < 0) {
      return count;
    }
    for (int64_t d = 0; d < last_dim; ++d) {
      fill(out + d * dim_stride + first * element_stride, count, row[d]);
    }
    int64_t* last = out + last_dim * dim_stride + first * element_stride;
    if (element_stride == 1 && count == std::popcount(bits)) {
      return write_positions(bits, row[last_dim], last);
    }
    for (int64_t k = 0; k < count; ++k, bits &= bits - 1) {
      last[k * element_stride] = row[last_dim] + std::countr_zero(bits);
    }
    return count;
  }

 private:
  void fill(int64_t* to, int64_t count, int64_t value) const {
    if (element_stride == 1) {
      std::fill_n(to, count, value);
      return;
    }
    for (int64_t k = 0; k < count; ++k) {
      to[k * element_stride] = value;
    }
  }
};

template <class T>
void write_coordinates(const T* data, c10::IntArrayRef sizes, const ChunkCounts& counts,
                       const Coordinates& coordinates) {
  counts.for_each([&](int64_t begin, int64_t end, int64_t first) {
    Row row(sizes, begin);
    for (int64_t i = begin; i < end; i += kWordBits) {
      uint64_t bits = nonzero_bits(data, i, end);
      for (int64_t left = std::min(kWordBits, end - i); left > 0;) {
        const int64_t piece = std::min(left, row.left());
        first += coordinates.write(bits & low_bits(piece), row, first);
        row.advance(piece);
        left -= piece;
        bits = left > 0 ? bits >> piece : 0;
      }
    }
  });
}

/// A row of coordinates for each dimension; an output that is resized lies as they do.
void give_coordinates(const at::Tensor& coordinates, at::Tensor& out) {
  const at::Tensor found = coordinates.t();
  const bool resized = at::native::resize_output(out, found.sizes());
  if (resized && out.numel() > 0) {
    out.set_(found);
  } else {
    out.copy_(found);
  }
}

}  // namespace

at::Tensor& nonzero_out(const at::Tensor& self, at::Tensor& out) {
  TORCH_CHECK(out.scalar_type() == at::kLong,
              "nonzero: Expected out tensor to have scalar type Long but got scalar type",
              out.scalar_type());
  at::assert_no_internal_overlap(out);
  at::assert_no_overlap(out, self);
  if (alt::cuda::on_gpu()) {
    give_coordinates(cuda::new_from_array("sort.nonzero", {self}).at(0), out);
    return out;
  }
  const auto source = self.contiguous();
  visit<EveryType>(self.scalar_type(), "nonzero_count_cpu", [&]<class T>() {
    const T* data = source.const_data_ptr<T>();
    const auto counts = count_nonzero(data, source.numel());
    const int64_t total = counts.total();
    auto coordinates = at::empty({self.dim(), total}, out.options());
    if (coordinates.numel() > 0) {
      write_coordinates(data, source.sizes(), counts,
                        {coordinates.mutable_data_ptr<int64_t>(), 1, total, total});
    }
    give_coordinates(coordinates, out);
  });
  return out;
}

at::Tensor nonzero(const at::Tensor& self) {
  if (alt::cuda::on_gpu()) return cuda::new_from_array("sort.nonzero", {self}).at(0).t();
  const auto source = self.contiguous();
  at::Tensor coordinates;
  visit<EveryType>(self.scalar_type(), "nonzero_count_cpu", [&]<class T>() {
    const T* data = source.const_data_ptr<T>();
    const auto counts = count_nonzero(data, source.numel());
    const int64_t total = counts.total();
    coordinates = at::empty({self.dim(), total}, self.options().dtype(at::kLong));
    if (coordinates.numel() > 0) {
      write_coordinates(data, source.sizes(), counts,
                        {coordinates.mutable_data_ptr<int64_t>(), 1, total, total});
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
    const auto counts = count_nonzero(data, source.numel());
    write_coordinates(data, source.sizes(), counts,
                      {out.mutable_data_ptr<int64_t>(), out.stride(0), out.stride(1), size});
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
