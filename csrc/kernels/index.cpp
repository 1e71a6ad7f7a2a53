// Advanced indexing: x[i, j] and x[i, j] = y, the stubs of index and index_put.
//
// The front end hands over an iterator in which the indexed dimensions of x have stride 0; an index
// value, times the byte stride of its dimension, is what is added to the address. Where the inner
// dimension is not an indexed one (x[rows]), a whole run of elements is moved at once.
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>

#include <type_traits>

#include "kernels/index_check.h"
#include "kernels/iterate.h"
#include "loops/dtype.h"
#include "loops/stream.h"

namespace alt::kernels {
namespace {

/// The byte offset that the index operands add, at position i of a row.
class Offset {
 public:
  Offset(c10::IntArrayRef sizes, c10::IntArrayRef strides) : sizes_(sizes), strides_(strides) {}

  void check(const at::TensorIteratorBase& iter, int first_index) const {
    if (iter.numel() == 0) {
      return;
    }
    for (size_t k = 0; k < sizes_.size(); ++k) {
      check_wrapped_index(iter.tensor_base(first_index + static_cast<int>(k)),
                          static_cast<int64_t>(k), sizes_[k]);
    }
  }

  bool is_constant(const int64_t* index_strides) const {
    for (size_t k = 0; k < sizes_.size(); ++k) {
      if (index_strides[k] != 0) {
        return false;
      }
    }
    return true;
  }

  int64_t at(char* const* indices, const int64_t* index_strides, int64_t i) const {
    int64_t offset = 0;
    for (size_t k = 0; k < sizes_.size(); ++k) {
      offset += one(indices[k], index_strides[k], i, k);
    }
    return offset;
  }

  int64_t one(const char* index, int64_t index_stride, int64_t i, size_t k) const {
    const int64_t value = *reinterpret_cast<const int64_t*>(index + i * index_stride);
    return (value < 0 ? value + sizes_[k] : value) * strides_[k];
  }

  size_t count() const { return sizes_.size(); }

 private:
  c10::IntArrayRef sizes_;
  c10::IntArrayRef strides_;
};

/// move(i, offset) for every i of a row.
template <class Move>
void for_each_offset(const Offset& offset, char* const* indices, const int64_t* index_strides,
                     int64_t n, Move&& move) {
  if (offset.count() == 1) {
    for (int64_t i = 0; i < n; ++i) {
      move(i, offset.one(indices[0], index_strides[0], i, 0));
    }
  } else {
    for (int64_t i = 0; i < n; ++i) {
      move(i, offset.at(indices, index_strides, i));
    }
  }
}

template <class T>
void copy_run(char* to, int64_t to_stride, const char* from, int64_t from_stride, int64_t n,
              bool streaming) {
  constexpr auto size = static_cast<int64_t>(sizeof(T));
  if (to_stride == size && from_stride == size) {
    copy_part(to, from, n * size, streaming && n * size >= kStreamBlock);
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    *reinterpret_cast<T*>(to + i * to_stride) = *reinterpret_cast<const T*>(from + i * from_stride);
  }
}

template <class T>
void add_to(char* to, const char* from) {
  T& target = *reinterpret_cast<T*>(to);
  if constexpr (std::is_same_v<T, bool>) {
    target = target || *reinterpret_cast<const T*>(from);
  } else {
    target = static_cast<T>(target + *reinterpret_cast<const T*>(from));
  }
}

template <class T>
void add_run(char* to, int64_t to_stride, const char* from, int64_t from_stride, int64_t n) {
  constexpr auto size = static_cast<int64_t>(sizeof(T));
  if (to_stride == size && from_stride == size) {
    for (int64_t i = 0; i < n; ++i) {
      add_to<T>(to + i * size, from + i * size);
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    add_to<T>(to + i * to_stride, from + i * from_stride);
  }
}

}  // namespace

void index(at::TensorIteratorBase& iter, c10::IntArrayRef indexed_sizes,
           c10::IntArrayRef indexed_strides) {
  const Offset offset(indexed_sizes, indexed_strides);
  offset.check(iter, 2);
  const bool streaming = worth_streaming(iter.numel() * iter.element_size(0));
  visit_element_size(static_cast<int64_t>(iter.element_size(0)), [&]<class T>() {
    const auto row = [&](char** data, const int64_t* strides, int64_t n) {
      char* out = data[0];
      const char* self = data[1];
      if (offset.is_constant(strides + 2)) {
        copy_run<T>(out, strides[0], self + offset.at(data + 2, strides + 2, 0), strides[1], n,
                    streaming);
        return;
      }
      for_each_offset(offset, data + 2, strides + 2, n, [&](int64_t i, int64_t where) {
        *reinterpret_cast<T*>(out + i * strides[0]) =
            *reinterpret_cast<const T*>(self + i * strides[1] + where);
      });
    };
    for_each_row(iter, /*serial=*/false, row, [streaming] {
      if (streaming) stream_fence();
    });
  });
}

void index_put(at::TensorIterator& iter, c10::IntArrayRef indexed_sizes,
               c10::IntArrayRef indexed_strides, bool accumulate) {
  const Offset offset(indexed_sizes, indexed_strides);
  offset.check(iter, 2);
  // Two rows may name the same element, so the order is kept: the last write wins, sums are
  // reproducible.
  if (accumulate) {
    visit<EveryType>(iter.dtype(0), "index_put", [&]<class T>() {
      for_each_row(iter, /*serial=*/true, [&](char** data, const int64_t* strides, int64_t n) {
        if (offset.is_constant(strides + 2)) {
          add_run<T>(data[0] + offset.at(data + 2, strides + 2, 0), strides[0], data[1], strides[1],
                     n);
          return;
        }
        for_each_offset(offset, data + 2, strides + 2, n, [&](int64_t i, int64_t where) {
          add_to<T>(data[0] + i * strides[0] + where, data[1] + i * strides[1]);
        });
      });
    });
    return;
  }
  visit_element_size(static_cast<int64_t>(iter.element_size(0)), [&]<class T>() {
    for_each_row(iter, /*serial=*/true, [&](char** data, const int64_t* strides, int64_t n) {
      if (offset.is_constant(strides + 2)) {
        copy_run<T>(data[0] + offset.at(data + 2, strides + 2, 0), strides[0], data[1], strides[1],
                    n, /*streaming=*/false);
        return;
      }
      for_each_offset(offset, data + 2, strides + 2, n, [&](int64_t i, int64_t where) {
        *reinterpret_cast<T*>(data[0] + i * strides[0] + where) =
            *reinterpret_cast<const T*>(data[1] + i * strides[1]);
      });
    });
  });
}

}  // namespace alt::kernels
