// Lists of tensors as one range of elements, for what updates all parameters of a model at once:
// one parallel region for the whole list, however small its tensors are.
//
// Elements are computed on as float or double. A run of another dtype passes through a buffer,
// kCast elements at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <array>
#include <vector>

#include "loops/convert.h"
#include "loops/dtype.h"
#include "loops/vec.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {

/// One tensor of each list: what a step reads and writes, element by element.
struct Slot {
  char* data;
  at::ScalarType dtype;
  bool written;
};

inline Slot read(const at::Tensor& tensor) {
  return {static_cast<char*>(const_cast<void*>(tensor.const_data_ptr())), tensor.scalar_type(),
          false};
}
inline Slot write(const at::Tensor& tensor) {
  return {static_cast<char*>(tensor.mutable_data_ptr()), tensor.scalar_type(), true};
}

/// Elements that are worth a thread, some 5 us: of an optimizer's step, and of an operator's.
inline constexpr int64_t kStepGrain = 1 << 14, kMapGrain = 1 << 15;

/// Calls body(tensor, begin, end) on threads until the elements of all tensors are covered.
template <class Body>
void for_each_run(const std::vector<int64_t>& sizes, int64_t grain, Body&& body) {
  std::vector<int64_t> ends(sizes.size());
  int64_t total = 0;
  for (size_t i = 0; i < sizes.size(); ++i) ends[i] = total += sizes[i];
  parallel_for(0, total, grain, [&](int64_t begin, int64_t end) {
    size_t i =
        static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), begin) - ends.begin());
    for (; begin < end; ++i) {
      const int64_t start = ends[i] - sizes[i], stop = std::min(end, ends[i]);
      if (begin < stop) body(i, begin - start, stop - start);
      begin = std::max(begin, stop);
    }
  });
}

/// Calls body(pointers, n) with elements begin..end of the slots as T.
template <class T, size_t N, class Body>
void as_type(const std::array<Slot, N>& slots, int64_t begin, int64_t end, Body&& body) {
  constexpr int64_t kCast = 512;
  constexpr at::ScalarType kType = c10::CppTypeToScalarType<T>::value;
  std::array<T*, N> pointers;
  if (std::all_of(slots.begin(), slots.end(), [](const Slot& s) { return s.dtype == kType; })) {
    for (size_t k = 0; k < N; ++k) pointers[k] = reinterpret_cast<T*>(slots[k].data) + begin;
    body(pointers, end - begin);
    return;
  }
  T buffers[N][kCast];
  for (; begin < end; begin += kCast) {
    const int64_t n = std::min(kCast, end - begin);
    auto place = [&](const Slot& slot) {
      return slot.data + begin * static_cast<int64_t>(c10::elementSize(slot.dtype));
    };
    for (size_t k = 0; k < N; ++k) {
      pointers[k] = buffers[k];
      convert(kType, buffers[k], slots[k].dtype, place(slots[k]), n);
    }
    body(pointers, n);
    for (size_t k = 0; k < N; ++k) {
      if (slots[k].written) convert(slots[k].dtype, place(slots[k]), kType, buffers[k], n);
    }
  }
}

/// Whole vectors, and the part of one that a run ends with.
template <class T>
struct WholeLanes {
  Vec<T> load(const T* from) const { return Vec<T>::load(from); }
  void store(T* to, Vec<T> x) const { x.store(to); }
};
template <class T>
struct SomeLanes {
  int count;
  Vec<T> load(const T* from) const { return Vec<T>::load(from, count); }
  void store(T* to, Vec<T> x) const { x.store(to, count); }
};

/// Calls body(i, lanes) for i = 0, Vec<T>::size, ...; `lanes` loads and stores what there is at i.
template <class T, class Body>
void for_lanes(int64_t n, Body&& body) {
  int64_t i = 0;
  for (; i + Vec<T>::size <= n; i += Vec<T>::size) body(i, WholeLanes<T>{});
  if (i < n) body(i, SomeLanes<T>{static_cast<int>(n - i)});
}

/// Tensors that belong to one parameter, laid out alike so that element k of one goes with element
/// k of the others: themselves where their strides agree, else contiguous copies that
/// `write_back()` returns to where they came from.
class Aligned {
 public:
  explicit Aligned(std::vector<at::Tensor> tensors) : given_(std::move(tensors)) {
    const at::Tensor& first = given_[0];
    const bool alike = first.is_non_overlapping_and_dense() &&
                       std::all_of(given_.begin(), given_.end(), [&](const at::Tensor& t) {
                         return t.strides() == first.strides() && t.sizes() == first.sizes();
                       });
    if (alike) return;
    for (const at::Tensor& tensor : given_) copies_.push_back(tensor.contiguous());
  }
  const at::Tensor& operator[](size_t k) const { return copies_.empty() ? given_[k] : copies_[k]; }
  int64_t numel() const { return given_[0].numel(); }
  void write_back(size_t k) const {
    if (!copies_.empty() && !copies_[k].is_same(given_[k])) given_[k].copy_(copies_[k]);
  }

 private:
  std::vector<at::Tensor> given_, copies_;
};

}  // namespace alt::kernels
