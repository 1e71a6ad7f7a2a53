#include "runtime/pinned_memory.h"

#include <c10/core/CPUAllocator.h>
#include <pthread.h>

#include <functional>
#include <map>
#include <mutex>

#include "runtime/cuda/engine.h"
#include "runtime/cuda/pinned_memory.h"

namespace alt {
namespace {

class PinnedMemory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t size) override {
    const c10::Device on(c10::DeviceType::CPU);
    if (size > 0 && cuda::choose()) {
      void* memory = cuda::allocate_pinned(size);
      return {memory, memory, &cuda::release_pinned, on};
    }
    void* pointer = c10::GetCPUAllocator()->raw_allocate(size);
    if (pointer) {
      std::lock_guard lock(mutex_);
      ranges_.emplace(pointer, size);
    }
    return {pointer, pointer, &release, on};
  }

  c10::DeleterFnPtr raw_deleter() const override {
    return cuda::is_engine() ? &cuda::release_pinned : &release;
  }

  void copy_data(void* to, const void* from, size_t count) const override {
    default_copy_data(to, from, count);
  }

  bool contains(const void* pointer) const {
    std::lock_guard lock(mutex_);
    auto after = ranges_.upper_bound(pointer);
    if (after == ranges_.begin()) return false;
    const auto& [begin, size] = *std::prev(after);
    return static_cast<const char*>(pointer) < static_cast<const char*>(begin) + size;
  }

  std::mutex& mutex() { return mutex_; }

 private:
  static void release(void* pointer);

  mutable std::mutex mutex_;
  std::map<const void*, size_t, std::less<>> ranges_;
};

// Leaked: tensors may outlive static objects.
PinnedMemory& pinned_memory() {
  static PinnedMemory& instance = *new PinnedMemory;
  return instance;
}

void PinnedMemory::release(void* pointer) {
  if (!pointer) return;
  {
    std::lock_guard lock(pinned_memory().mutex_);
    pinned_memory().ranges_.erase(pointer);
  }
  c10::GetCPUAllocator()->raw_deallocate(pointer);
}

// Nobody else holds the lock at the moment of a fork, so the child can take it.
[[maybe_unused]] const int keep_pinned_memory_over_fork =
    pthread_atfork([] { pinned_memory().mutex().lock(); }, [] { pinned_memory().mutex().unlock(); },
                   [] { pinned_memory().mutex().unlock(); });

}  // namespace

c10::Allocator* pinned_memory_allocator() {
  return &pinned_memory();
}

bool is_pinned(const void* pointer) {
  if (!pointer) return false;
  return cuda::is_engine() ? cuda::is_pinned(pointer) : pinned_memory().contains(pointer);
}

}  // namespace alt
