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

  /// element(fixed, index, moving) for all elements. `meet` says whether elements of a lane may
  /// write the same place, in which case a lane stays with one thread.
  template <class Element>
  void run(std::array<char*, 3> data, bool meet, Element&& element) const {
    if (count_ == 0 || length_ == 0) {
      return;
    }
    constexpr int64_t grain = 1 << 13;
    if (!meet && count_ < 4 && length_ > grain) {
      parallel_for(0, length_, grain, [&](int64_t first, int64_t last) {
        run_lanes(data, 0, count_, first, last, element);
      });
      return;
    }
    parallel_for(0, count_, std::max<int64_t>(1, grain / length_), [&](int64_t begin, int64_t end) {
      run_lanes(data, begin, end, 0, length_, element);
    });
  }

  int64_t fixed_dim_stride() const { return dim_stride_[0]; }

 private:
  template <class Element>
  void run_lanes(const std::array<char*, 3>& data, int64_t begin, int64_t end, int64_t first,
                 int64_t last, Element& element) const {
    const int64_t width = sizes_.back();
    while (begin < end) {
      const int64_t column = begin % width;
      const int64_t columns = std::min(width - column, end - begin);
      std::array<char*, 3> start;
      for (size_t k = 0; k < start.size(); ++k) {
        start[k] = data[k] + outer_offset(k, begin / width) + column * strides_[k].back();
      }
      // By value: what an element writes might otherwise be a stride.
      const std::array<int64_t, 3> across = {strides_[0].back(), strides_[1].back(),
                                             strides_[2].back()};
      const std::array<int64_t, 3> along = {0, dim_stride_[1], dim_stride_[2]};
      if (along_first_ || columns == 1) {
        run_nested(start, {0, columns}, across, {first, last}, along, element);
      } else {
        run_nested(start, {first, last}, along, {0, columns}, across, element);
      }
      begin += columns;
    }
  }

  using Range = std::pair<int64_t, int64_t>;

  /// element(data) where `outer` and `inner` steps have been taken, the inner ones in turn first.
  template <class Element>
  static void run_nested(std::array<char*, 3> data, Range outer, std::array<int64_t, 3> outer_step,
                         Range inner, std::array<int64_t, 3> inner_step, Element& element) {
    for (int64_t i = outer.first; i < outer.second; ++i) {
      char* a = data[0] + i * outer_step[0] + inner.first * inner_step[0];
      char* b = data[1] + i * outer_step[1] + inner.first * inner_step[1];
      char* c = data[2] + i * outer_step[2] + inner.first * inner_step[2];
      for (int64_t j = inner.first; j < inner.second; ++j) {
        element(a, b, c);
        a += inner_step[0];
        b += inner_step[1];
        c += inner_step[2];
      }
    }
  }

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
