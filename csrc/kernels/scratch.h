// Working memory of a thread.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstdint>
#include <memory>
#include <new>

namespace alt::kernels {

/// Aligned memory for `size` elements of a trivial type, not initialised. The thread keeps it
/// for the next use, as fresh pages cost more than the arithmetic of a small problem; what exceeds
/// kKeptBytes is given back. One at a time in a thread for each T and Use: the next would share its
/// memory.
template <class T, class Use = void>
class Scratch {
 public:
  static constexpr int64_t kKeptBytes = int64_t{4} << 20;

  explicit Scratch(int64_t size) {
    thread_local Memory kept;
    thread_local int64_t kept_size = 0;
    if (size * static_cast<int64_t>(sizeof(T)) > kKeptBytes) {
      large_ = allocate(size);
      data_ = large_.get();
      return;
    }
    if (size > kept_size) {
      kept.reset();
      kept_size = 0;
      kept = allocate(size);
      kept_size = size;
    }
    data_ = kept.get();
  }

  T* data() const { return data_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(T* memory) const { operator delete[](memory, kAlignment); }
  };
  using Memory = std::unique_ptr<T[], Free>;

  static Memory allocate(int64_t size) {
    const size_t bytes = static_cast<size_t>(size) * sizeof(T);
    return Memory(static_cast<T*>(operator new[](bytes, kAlignment)));
  }

  Memory large_;
  T* data_ = nullptr;
};

/// Memory that all threads of a call share, such as packed weights: the calling thread's own where
/// that may be kept, else from alt's allocator, whose pages are not fresh.
template <class T>
class SharedScratch {
 public:
  explicit SharedScratch(int64_t size)
      : is_small_(size * static_cast<int64_t>(sizeof(T)) <= Small::kKeptBytes),
        small_(is_small_ ? size : 0) {
    if (is_small_) return;
    large_ = at::empty(
        {size},
        at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value).device(at::kPrivateUse1));
  }

  T* data() const { return is_small_ ? small_.data() : large_.template mutable_data_ptr<T>(); }

 private:
  using Small = Scratch<T, SharedScratch>;
  bool is_small_;
  Small small_;
  at::Tensor large_;
};

/// Hands out one piece of memory after the other.
template <class T>
struct Pieces {
  T* next;

  T* take(int64_t size) {
    T* const taken = next;
    next += size;
    return taken;
  }
};

}  // namespace alt::kernels
