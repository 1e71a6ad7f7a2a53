// index_select, index_add, index_copy, index_fill and index_reduce: one vector of indices along one
// dimension.
//
// A contiguous tensor is seen as [outer, size of dim, inner] and whole inner runs are moved.
// Updates with equal indices happen in order of the index; threads split rows, or outer x inner, so
// that no two of them write the same element and sums do not depend on how many there are.
#include <ATen/MemoryOverlap.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/empty.h>
#include <c10/core/WrapDimMinimal.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <type_traits>
#include <vector>

#include "kernels/cuda/index.h"
#include "kernels/index_check.h"
#include "kernels/iterate.h"
#include "kernels/operands.h"
#include "kernels/scatter_reductions.h"
#include "loops/dtype.h"
#include "loops/stream.h"
#include "runtime/cuda/engine.h"
#include "runtime/rounding.h"

namespace alt::kernels {
namespace {

constexpr int64_t kGrain = 1 << 14;

/// A contiguous tensor cut at one dimension; a scalar counts as one row of one element.
struct Cut {
  int64_t outer = 1;
  int64_t size = 1;
  int64_t inner = 1;

  Cut(const at::Tensor& tensor, int64_t dim) {
    if (tensor.dim() == 0) {
      return;
    }
    for (int64_t d = 0; d < tensor.dim(); ++d) {
      (d < dim ? outer : d == dim ? size : inner) *= tensor.size(d);
    }
  }
};

void check_index_vector(const char* name, const at::Tensor& index) {
  TORCH_CHECK_INDEX(index.dim() <= 1, name, "(): Index is supposed to be a vector");
  TORCH_CHECK(index.scalar_type() == at::kLong || index.scalar_type() == at::kInt, name,
              "(): Expected dtype int32 or int64 for index");
}

/// An index's next rows are known, and the processor cannot guess them. Long ones it finds itself.
constexpr int64_t kRowsAhead = 4;

template <class T>
void prefetch_row(const T* row, int64_t length) {
  constexpr int64_t kLine = 64 / sizeof(T), kLongest = 4096 / sizeof(T);
  if (length > kLongest) return;
  for (int64_t i = 0; i < length; i += kLine) __builtin_prefetch(row + i);
}

/// Rows of one block.
template <class T, class Index>
void select_block(T* out, const T* self, const Index* index, int64_t count, int64_t inner,
                  bool streaming) {
  if (inner == 1) {
    for (int64_t k = 0; k < count; ++k) {
      out[k] = self[index[k]];
    }
    return;
  }
  const int64_t bytes = inner * static_cast<int64_t>(sizeof(T));
  for (int64_t k = 0; k < count; ++k) {
    if (k + kRowsAhead < count) prefetch_row(self + index[k + kRowsAhead] * inner, inner);
    copy_part(out + k * inner, self + index[k] * inner, bytes, streaming);
  }
}

template <class T, class Index>
void select_runs(T* out, const T* self, const Index* index, const Cut& from, int64_t count) {
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, from.inner));
  const int64_t bytes = from.inner * static_cast<int64_t>(sizeof(T));
  const bool streaming = bytes >= kStreamBlock && worth_streaming(from.outer * count * bytes);
  parallel_for(0, from.outer * count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end;) {
      const int64_t block = row / count;
      const int64_t first = row - block * count;
      const int64_t last = std::min(count, first + end - row);
      select_block(out + row * from.inner, self + block * from.size * from.inner, index + first,
                   last - first, from.inner, streaming);
      row += last - first;
    }
    if (streaming) stream_fence();
  });
}

/// Contiguous. Indices of int32 are rare where sums are made: a copy of them costs less than every
/// loop a second time.
at::Tensor wide(const at::Tensor& index) {
  return index.to(at::kLong).contiguous();
}

template <class T, class Update>
void update_row(T* target, const T* source, int64_t width, const Update& update) {
#pragma GCC ivdep
  for (int64_t i = 0; i < width; ++i) update(target[i], source[i]);
}

/// A thread has some of the tensor's rows, and looks at every index for those that name them.
template <class T, class Update>
void update_own_rows(T* self, const T* source, const int64_t* index, int64_t rows, int64_t inner,
                     int64_t count, const Update& update) {
  const int64_t threads = count * inner < kGrain ? 1 : num_threads();
  parallel_for(0, rows, divide_up(rows, threads), [&](int64_t begin, int64_t end) {
    const auto own = [&](int64_t k) { return k < count && index[k] >= begin && index[k] < end; };
    for (int64_t k = 0; k < count; ++k) {
      if (own(k + kRowsAhead)) prefetch_row(self + index[k + kRowsAhead] * inner, inner);
      if (own(k)) update_row(self + index[k] * inner, source + k * inner, inner, update);
    }
  });
}

/// A thread has some columns of every row.
template <class T, class Update>
void update_own_columns(T* self, const T* source, const int64_t* index, const Cut& cut,
                        int64_t count, const Update& update) {
  // Pieces of a row narrower than a few cache lines would cost more than they share out.
  const int64_t grain = std::max<int64_t>(64, kGrain / std::max<int64_t>(1, count));
  parallel_for(0, cut.outer * cut.inner, grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t block = begin / cut.inner;
      const int64_t column = begin % cut.inner;
      const int64_t width = std::min(cut.inner - column, end - begin);
      T* targets = self + block * cut.size * cut.inner + column;
      for (int64_t k = 0; k < count; ++k) {
        if (k + kRowsAhead < count) {
          prefetch_row(targets + index[k + kRowsAhead] * cut.inner, width);
        }
        const T* value = source + (block * count + k) * cut.inner + column;
        update_row(targets + index[k] * cut.inner, value, width, update);
      }
      begin += width;
    }
  });
}

/// update(target, source element) for every index, in order, for each column. Lines that another
/// thread has written last come from its cache, more slowly than from memory: rows of a few lines
/// are shared out whole, as the threads that filled the tensor had them; longer ones by columns,
/// whatever the indices are. (Looking at an index costs as much as updating an element or two.)
template <class T, class Update>
void update_runs(T* self, const T* source, const int64_t* index, const Cut& cut, int64_t count,
                 const Update& update) {
  constexpr int64_t kShortest = 64 / sizeof(T), kLongest = 1024 / sizeof(T);
  if (cut.outer == 1 && cut.inner >= kShortest && cut.inner <= kLongest) {
    update_own_rows(self, source, index, cut.size, cut.inner, count, update);
  } else {
    update_own_columns(self, source, index, cut, count, update);
  }
}

template <class Body>
void visit_index(const at::Tensor& index, Body&& body) {
  if (index.scalar_type() == at::kInt) {
    body(index.const_data_ptr<int32_t>());
  } else {
    body(index.const_data_ptr<int64_t>());
  }
}

/// What index_reduce starts from when the tensor's own values do not count.
template <class T>
T neutral_value(std::string_view reduce) {
  constexpr bool has_infinity = std::numeric_limits<T>::has_infinity;
  if (reduce == "prod") {
    return T(1);
  }
  if (reduce == "amax") {
    return has_infinity ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
  }
  if (reduce == "amin") {
    return has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
  }
  return T(0);
}

template <class T>
void reduce_runs(std::string_view reduce, T* self, const T* source, const int64_t* index,
                 const Cut& cut, int64_t count) {
  if (reduce == "prod") {
    update_runs(self, source, index, cut, count, reductions::Multiply{});
  } else if (reduce == "amax") {
    update_runs(self, source, index, cut, count, reductions::Maximum{});
  } else if (reduce == "amin") {
    update_runs(self, source, index, cut, count, reductions::Minimum{});
  } else {
    update_runs(self, source, index, cut, count, reductions::Add{});
  }
}

/// Divides every sum by how many values went into it, `included` (0 or 1) besides the source's.
template <class T>
void divide_by_counts(T* self, const int64_t* index, const Cut& cut, int64_t count,
                      int64_t included) {
  std::vector<int64_t> counts(static_cast<size_t>(cut.size), included);
  for (int64_t k = 0; k < count; ++k) {
    ++counts[static_cast<size_t>(index[k])];
  }
  for (int64_t i = 0; i < cut.outer * cut.size * cut.inner; ++i) {
    const int64_t divisor = std::max<int64_t>(1, counts[i / cut.inner % cut.size]);
    if constexpr (std::is_integral_v<T>) {
      const auto wide = static_cast<int64_t>(self[i]);
      self[i] = static_cast<T>(wide / divisor - (wide % divisor < 0 ? 1 : 0));
    } else {
      self[i] = static_cast<T>(self[i] / static_cast<T>(divisor));
    }
  }
}

/// Runs `body` on `out` itself, or on a contiguous copy that is written back.
template <class Body>
void with_contiguous(const at::Tensor& out, Body&& body) {
  if (out.is_contiguous()) {
    body(out);
    return;
  }
  const auto copy = out.contiguous();
  body(copy);
  out.copy_(copy);
}

}  // namespace

at::Tensor& index_select_out(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                             at::Tensor& out) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  const int64_t count = index.numel();
  check_index_vector("index_select", index);
  TORCH_CHECK(self.dim() != 0 || count == 1,
              "index_select(): Index to scalar can have only 1 value, got ", count, " value(s)");
  TORCH_CHECK(self.scalar_type() == out.scalar_type(),
              "index_select(): self and result must have the same scalar type");
  TORCH_CHECK(self.dim() <= 1 || count == 0 || self.numel() > 0 || self.size(dim) > 0,
              "index_select(): self indexing axis dim should be positive");
  at::assert_no_internal_overlap(out);
  at::assert_no_overlap(out, self);
  at::assert_no_overlap(out, index);
  auto sizes = self.sizes().vec();
  if (self.dim() > 0) {
    sizes[dim] = count;
  }
  at::native::resize_output(out, sizes);
  if (alt::cuda::on_gpu()) {
    if (out.numel() > 0) cuda::index_select(self, dim, index, out);
    return out;
  }
  if (self.numel() == 0 && self.dim() > 1) {
    const auto outside = find_outside(index, 0, self.size(dim));
    TORCH_CHECK(!outside, "INDICES element is out of DATA bounds, id=", *outside,
                " axis_dim=", self.size(dim));
  }
  check_index_in_self(index, self.dim() > 0 ? self.size(dim) : 1);
  if (out.numel() == 0) {
    return out;
  }
  const auto source = self.contiguous();
  const auto positions = index.contiguous();
  const Cut cut(source, dim);
  write_dense(out, [&](const at::Tensor& target) {
    visit_index(positions, [&](const auto* where) {
      visit_element_size(static_cast<int64_t>(self.element_size()), [&]<class T>() {
        select_runs(static_cast<T*>(target.mutable_data_ptr()),
                    static_cast<const T*>(source.const_data_ptr()), where, cut, count);
      });
    });
  });
  return out;
}

at::Tensor index_select(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  auto out = at::empty({0}, self.options());
  index_select_out(self, dim, index, out);
  return out;
}

void index_add(const at::Tensor& self, int64_t dim, const at::Tensor& index,
               const at::Tensor& source, const at::Scalar& alpha, const at::Tensor& out) {
  const int64_t size = self.dim() > 0 ? self.size(dim) : 1;
  if (self.dim() > 1) {
    check_index_of_dimension(index, dim, size);
  } else {
    check_index_in_self(index, size);
  }
  const auto values = source.contiguous();
  const auto positions = wide(index);
  const auto* where = positions.const_data_ptr<int64_t>();
  if (!out.is_same(self)) {
    out.copy_(self);
  }
  if (out.numel() == 0 || values.numel() == 0) {
    return;
  }
  with_contiguous(out, [&](const at::Tensor& target) {
    const Cut cut(target, dim);
    visit<EveryType>(target.scalar_type(), "index_add_", [&]<class T>() {
      using Real = opmath_t<T>;
      const auto factor = alpha.to<Real>();
      update_runs(
          target.mutable_data_ptr<T>(), values.const_data_ptr<T>(), where, cut, positions.numel(),
          [factor](T& total, T value) {
            total = static_cast<T>(static_cast<Real>(total) + factor * static_cast<Real>(value));
          });
    });
  });
}

void index_reduce(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                  const at::Tensor& source, std::string_view reduce, bool include_self,
                  const at::Tensor& out) {
  TORCH_WARN_ONCE("index_reduce() is in beta and the API may change at any time.");
  check_index_in_self(index, self.dim() > 0 ? self.size(dim) : 1);
  const auto values = source.contiguous();
  const auto positions = wide(index);
  const auto* where = positions.const_data_ptr<int64_t>();
  if (!out.is_same(self)) {
    out.copy_(self);
  }
  if (out.numel() == 0 || values.numel() == 0) {
    return;
  }
  with_contiguous(out, [&](const at::Tensor& target) {
    const Cut cut(target, dim);
    const int64_t count = positions.numel();
    visit<RealTypes>(target.scalar_type(), "index_reduce", [&]<class T>() {
      T* data = target.mutable_data_ptr<T>();
      if (!include_self) {
        const T neutral = neutral_value<T>(reduce);
        update_runs(data, values.const_data_ptr<T>(), where, cut, count,
                    [neutral](T& total, T) { total = neutral; });
      }
      reduce_runs(reduce, data, values.const_data_ptr<T>(), where, cut, count);
      if (reduce == "mean") {
        divide_by_counts(data, where, cut, count, include_self ? 1 : 0);
      }
    });
  });
}

void index_copy(at::TensorIterator& iter, int64_t dim, int64_t self_dim_size,
                int64_t self_dim_stride) {
  if (const auto value = find_outside(iter.tensor_base(1), 0, self_dim_size)) {
    TORCH_CHECK_INDEX(false, "index_copy_(): index ", *value, " is out of bounds for dimension ",
                      dim, " with size ", self_dim_size);
  }
  visit_element_size(static_cast<int64_t>(iter.element_size(0)), [&]<class T>() {
    for_each_row(iter, /*serial=*/true, [&](char** data, const int64_t* strides, int64_t n) {
      for (int64_t i = 0; i < n; ++i) {
        const int64_t where = *reinterpret_cast<const int64_t*>(data[1] + i * strides[1]);
        reinterpret_cast<T*>(data[0] + i * strides[0])[where * self_dim_stride] =
            *reinterpret_cast<const T*>(data[2] + i * strides[2]);
      }
    });
  });
}

void index_fill(at::TensorIterator& iter, int64_t dim, int64_t self_dim_size,
                int64_t self_dim_stride, const at::Scalar& source) {
  if (iter.numel() == 0) {
    return;
  }
  check_wrapped_index(iter.tensor_base(1), dim, self_dim_size);
  visit<EveryType>(iter.dtype(0), "index_fill_cpu", [&]<class T>() {
    const auto value = source.to<T>();
    for_each_row(iter, /*serial=*/false, [&](char** data, const int64_t* strides, int64_t n) {
      for (int64_t i = 0; i < n; ++i) {
        int64_t where = *reinterpret_cast<const int64_t*>(data[1] + i * strides[1]);
        where += where < 0 ? self_dim_size : 0;
        reinterpret_cast<T*>(data[0] + i * strides[0])[where * self_dim_stride] = value;
      }
    });
  });
}

}  // namespace alt::kernels
