#include "runtime/cuda/pinned_memory.h"

#include <pthread.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/cuda/engine.h"
#include "runtime/cuda/event.h"
#include "runtime/device.h"

namespace alt::cuda {
namespace {

constexpr size_t kSmallest = 512;

struct Use {
  c10::DeviceIndex device;
  CUstream stream;
  bool operator==(const Use&) const = default;
};

struct PinnedBlock {
  size_t size = 0;
  bool free = false;
  std::vector<Use> uses;                                     // While it is held.
  std::vector<std::pair<c10::DeviceIndex, CUevent>> events;  // Afterwards.
};

struct PinnedPool {
  std::mutex mutex;
  std::map<const void*, PinnedBlock, std::less<>> blocks;
};

PinnedPool& pool() {
  static PinnedPool& instance = *new PinnedPool;
  return instance;
}

[[maybe_unused]] const int keep_pinned_memory_over_fork = pthread_atfork(
    [] { pool().mutex.lock(); }, [] { pool().mutex.unlock(); }, [] { pool().mutex.unlock(); });

using Entry = decltype(PinnedPool::blocks)::iterator;

Entry block_at(const void* pointer) {
  auto& blocks = pool().blocks;
  auto after = blocks.upper_bound(pointer);
  if (after == blocks.begin()) return blocks.end();
  const auto found = std::prev(after);
  const char* end = static_cast<const char*>(found->first) + found->second.size;
  return !found->second.free && static_cast<const char*>(pointer) < end ? found : blocks.end();
}

// Whether the streams that used a free block are done with it.
bool is_done(PinnedBlock& block) {
  std::erase_if(block.events, [](const auto& event) {
    const DeviceInUse in_use(event.first);
    if (driver().EventQuery(event.second) != kSuccess) return false;
    driver().EventDestroy(event.second);
    return true;
  });
  return block.events.empty();
}

}  // namespace

void* allocate_pinned(size_t bytes) {
  const size_t size = std::bit_ceil(std::max(bytes, kSmallest));
  const DeviceInUse in_use(current_device());
  std::lock_guard lock(pool().mutex);
  for (auto& [memory, block] : pool().blocks) {
    if (block.free && block.size == size && is_done(block)) {
      block.free = false;
      return const_cast<void*>(memory);
    }
  }
  void* memory = nullptr;
  check(driver().MemHostAlloc(&memory, size, kHostPortable), "cuMemHostAlloc");
  pool().blocks[memory].size = size;
  return memory;
}

void release_pinned(void* memory) noexcept {
  if (!memory || in_bad_fork()) return;
  std::lock_guard lock(pool().mutex);
  const auto found = pool().blocks.find(memory);
  if (found == pool().blocks.end()) return;
  PinnedBlock& block = found->second;
  try {
    for (const Use& use : block.uses) {
      const DeviceInUse in_use(use.device);
      ScopedEvent event;
      check(driver().EventRecord(event.get(), use.stream), "cuEventRecord");
      block.events.emplace_back(use.device, event.release());
    }
    block.uses.clear();
    block.free = true;
  } catch (const std::exception&) {  // The device is lost, and with it this block.
  }
}

bool is_pinned(const void* pointer) {
  std::lock_guard lock(pool().mutex);
  return block_at(pointer) != pool().blocks.end();
}

bool use_pinned(const void* pointer, c10::DeviceIndex device, CUstream stream) {
  std::lock_guard lock(pool().mutex);
  const auto found = block_at(pointer);
  if (found == pool().blocks.end()) return false;
  auto& uses = found->second.uses;
  const Use use{device, stream};
  if (std::find(uses.begin(), uses.end(), use) == uses.end()) uses.push_back(use);
  return true;
}

void empty_pinned_cache() {
  std::lock_guard lock(pool().mutex);
  auto& blocks = pool().blocks;
  for (auto entry = blocks.begin(); entry != blocks.end();) {
    auto& [memory, block] = *entry;
    const bool gone =
        block.free && is_done(block) && driver().MemFreeHost(const_cast<void*>(memory)) == kSuccess;
    entry = gone ? blocks.erase(entry) : std::next(entry);
  }
}

}  // namespace alt::cuda
