// The walk that gather and scatter share.
//
// Fix every coordinate but the one along `dim`: that is a lane. Lanes never meet, so threads split
// them; within a lane elements come in order, so that of equal indices the last one wins and sums
// do not depend on the number of threads.
#pragma once

#include <ATen/core/TensorBase.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "runtime/thread_pool.h"

namespace alt::kernels {

class Lanes {
 public:
  /// `fixed` stays at its lane's start, `index` and `moving` go along; all have at least the size
  /// of `index` in every dimension but `dim`, where only `moving` must.
  Lanes(const at::TensorBase& fixed, const at::TensorBase& index, const at::TensorBase& moving,
        int64_t dim)
      : length_(index.dim() > 0 ? index.size(dim) : 1) {
    const std::array<const at::TensorBase*, 3> operands = {&fixed, &index, &moving};
    c10::SmallVector<int64_t, 8> order;
    for (int64_t d = 0; d < index.dim(); ++d) {
      if (d != dim) {
        order.push_back(d);
      }
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return moving.stride(a) > moving.stride(b); });
    for (size_t k = 0; k < operands.size(); ++k) {
      const auto& operand = *operands[k];
      const auto bytes = static_cast<int64_t>(operand.element_size());
      for (const int64_t d : order) {
        strides_[k].push_back(operand.dim() > 0 ? operand.stride(d) * bytes : 0);
      }
      dim_stride_[k] = operand.dim() > 0 ? operand.stride(dim) * bytes : bytes;
      if (order.empty()) {
        strides_[k].push_back(0);
      }
    }
    for (const int64_t d : order) {
      sizes_.push_back(index.size(d));
    }
    if (order.empty()) {
      sizes_.push_back(1);
    }
    for (const int64_t size : sizes_) {
      count_ *= size;
    }
    along_first_ = dim_stride_[2] < strides_[2].back();
  }

  /// What `run` does for gather: the moving element becomes the fixed one at the index.
  struct Gather {};

  /// access(fixed at the index, moving) for all elements. Those of a lane may write the same place,
  /// so that a lane stays with one thread, but for `Gather`.
  template <class T, class Access>
  void run(std::array<char*, 3> data, Access access) const {
    if (count_ == 0 || length_ == 0) {
      return;
    }
    constexpr int64_t grain = 1 << 13;
    if (std::is_same_v<Access, Gather> && count_ < 4 && length_ > grain) {
      parallel_for(0, length_, grain, [&](int64_t first, int64_t last) {
        run_lanes<T>(data, 0, count_, first, last, access);
      });
      return;
    }
    parallel_for(0, count_, std::max<int64_t>(1, grain / length_), [&](int64_t begin, int64_t end) {
      run_lanes<T>(data, begin, end, 0, length_, access);
    });
  }

 private:
  using Range = std::pair<int64_t, int64_t>;
  using Steps = std::array<int64_t, 3>;

  template <class T, class Access>
  void run_lanes(const std::array<char*, 3>& data, int64_t begin, int64_t end, int64_t first,
                 int64_t last, Access access) const {
    const int64_t width = sizes_.back();
    while (begin < end) {
      const int64_t column = begin % width;
      const int64_t columns = std::min(width - column, end - begin);
      std::array<char*, 3> start;
      for (size_t k = 0; k < start.size(); ++k) {
        start[k] = data[k] + outer_offset(k, begin / width) + column * strides_[k].back();
      }
      Range outer = {first, last}, inner = {0, columns};
      Steps outer_step = {0, dim_stride_[1], dim_stride_[2]};
      Steps inner_step = {strides_[0].back(), strides_[1].back(), strides_[2].back()};
      if (along_first_ || columns == 1) {
        std::swap(outer, inner);
        std::swap(outer_step, inner_step);
      }
      run_nested<T>(start, outer, outer_step, inner, inner_step, access);
      begin += columns;
    }
  }

  /// All steps of `inner` for each of `outer`. Where the inner ones go through dense memory, their
  /// strides are constants of the loop.
  template <class T, class Access>
  void run_nested(const std::array<char*, 3>& start, Range outer, const Steps& outer_step,
                  Range inner, const Steps& inner_step, Access access) const {
    constexpr auto size = static_cast<int64_t>(sizeof(T));
    constexpr auto index_size = static_cast<int64_t>(sizeof(int64_t));
    const int64_t n = inner.second - inner.first;
    const int64_t stride = dim_stride_[0];
    const bool dense = inner_step[1] == index_size && inner_step[2] == size;
    for (int64_t i = outer.first; i < outer.second; ++i) {
      std::array<char*, 3> data;
      for (size_t k = 0; k < data.size(); ++k) {
        data[k] = start[k] + i * outer_step[k] + inner.first * inner_step[k];
      }
      if (dense && inner_step[0] == 0 && stride == size) {
        run_row<T>(data, n, Constant<0>{}, Constant<index_size>{}, Constant<size>{},
                   Constant<size>{}, access);
      } else if (dense && inner_step[0] == size) {
        run_row<T>(data, n, Constant<size>{}, Constant<index_size>{}, Constant<size>{}, stride,
                   access);
      } else {
        run_row<T>(data, n, inner_step[0], inner_step[1], inner_step[2], stride, access);
      }
    }
  }

  template <int64_t value>
  using Constant = std::integral_constant<int64_t, value>;

  /// Everything by value: what is written might otherwise be a stride.
  template <class T, class Fixed, class Where, class Moving, class Stride, class Access>
  static void run_row(std::array<char*, 3> data, int64_t n, Fixed fixed_step, Where index_step,
                      Moving moving_step, Stride stride, Access access) {
    const auto fixed = [&](int64_t j, int64_t where) -> T& {
      return *reinterpret_cast<T*>(data[0] + j * fixed_step + where * stride);
    };
    const auto where = [&](int64_t j) -> int64_t {
      return *reinterpret_cast<const int64_t*>(data[1] + j * index_step);
    };
    const auto moving = [&](int64_t j) -> T& {
      return *reinterpret_cast<T*>(data[2] + j * moving_step);
    };
    int64_t j = 0;
    if constexpr (!std::is_same_v<Where, int64_t>) {
      for (; j + kBatch <= n; j += kBatch) {
        run_batch<T>(j, fixed, where, moving, access);
      }
    }
    for (; j < n; ++j) {
      if constexpr (std::is_same_v<Access, Gather>) {
        moving(j) = fixed(j, where(j));
      } else {
        access(fixed(j, where(j)), moving(j));
      }
    }
  }

  /// First the reads, then the writes: a read that follows a write to an address with the same low
  /// 12 bits waits for it, and tensors that begin at page boundaries have many of those.
  template <class T, class Fixed, class Where, class Moving, class Access>
  static void run_batch(int64_t j, const Fixed& fixed, const Where& where, const Moving& moving,
                        Access access) {
    std::array<T, kBatch> values;
    if constexpr (std::is_same_v<Access, Gather>) {
#pragma GCC unroll 8
      for (int64_t k = 0; k < kBatch; ++k) {
        values[k] = fixed(j + k, where(j + k));
      }
#pragma GCC unroll 8
      for (int64_t k = 0; k < kBatch; ++k) {
        moving(j + k) = values[k];
      }
    } else {
      std::array<int64_t, kBatch> places;
#pragma GCC unroll 8
      for (int64_t k = 0; k < kBatch; ++k) {
        places[k] = where(j + k);
        values[k] = moving(j + k);
      }
#pragma GCC unroll 8
      for (int64_t k = 0; k < kBatch; ++k) {
        access(fixed(j + k, places[k]), values[k]);
      }
    }
  }

  static constexpr int64_t kBatch = 8;

  int64_t outer_offset(size_t operand, int64_t position) const {
    int64_t offset = 0;
    for (size_t d = sizes_.size() - 1; d-- > 0;) {
      offset += position % sizes_[d] * strides_[operand][d];
      position /= sizes_[d];
    }
    return offset;
  }

  c10::SmallVector<int64_t, 8> sizes_;
  std::array<c10::SmallVector<int64_t, 8>, 3> strides_;
  std::array<int64_t, 3> dim_stride_ = {0, 0, 0};
  int64_t length_;
  int64_t count_ = 1;
  bool along_first_ = false;
};

}  // namespace alt::kernels
