#include "runtime/allocator.h"

#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <sstream>
#include <vector>

#include "runtime/backward_thread.h"
#include "runtime/cuda/copy.h"
#include "runtime/cuda/engine.h"
#include "runtime/cuda/memory.h"
#include "runtime/device.h"
#include "runtime/environment.h"
#include "runtime/fork.h"
#include "runtime/heap.h"
#include "runtime/system_memory.h"

namespace alt {
namespace {

constexpr size_t kNoLimit = HeapStatistics::kNoLimit;

using Heaps = std::vector<std::unique_ptr<Heap>>;

Heaps* make_heaps() {
  auto* heaps = new Heaps;
  for (c10::DeviceIndex i = 0; i < device_count(); ++i) {
    heaps->push_back(std::make_unique<Heap>());
    heaps->back()->set_limit(environment_memory_limit());
  }
  return heaps;
}

Heaps& all_heaps();

// Of the engine that computes: the heap on the host, or the GPU's.
HeapStatistics& statistics(c10::DeviceIndex device) {
  device = resolve_device(device);
  return cuda::is_engine() ? cuda::statistics(device) : *all_heaps()[static_cast<size_t>(device)];
}

void lock_all() {
  for (auto& heap : all_heaps()) heap->mutex().lock();
}

void unlock_all() {
  for (auto& heap : all_heaps()) heap->mutex().unlock();
}

// Leaked: tensors may outlive static objects.
Heaps& all_heaps() {
  static Heaps& heaps = *[] {
    Heaps* made = make_heaps();
    // Nobody else holds a lock at the moment of a fork: the child finds its memory as it was.
    pthread_atfork(&lock_all, &unlock_all, &unlock_all);
    prepare_for_forks();
    return made;
  }();
  return heaps;
}

/// Of a device that is known to be one.
Heap& heap_at(c10::DeviceIndex device) {
  return *all_heaps()[static_cast<size_t>(device)];
}

std::string format_bytes(size_t bytes) {
  static constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double number = static_cast<double>(bytes);
  size_t unit = 0;
  for (; number >= 1024 && unit + 1 < std::size(kUnits); ++unit) number /= 1024;
  std::ostringstream out;
  out.precision(unit == 0 ? 0 : 2);
  out << std::fixed << number << ' ' << kUnits[unit];
  return out.str();
}

}  // namespace

void throw_out_of_memory(HeapStatistics& full, size_t size, c10::DeviceIndex device) {
  full.count_out_of_memory();
  const size_t allocated = static_cast<size_t>(full.allocated_bytes());
  const size_t reserved = static_cast<size_t>(full.reserved_bytes());
  const size_t limit = full.limit();
  const auto [free, total] = free_and_total_memory(device);
  const c10::Device name(c10::DeviceType::PrivateUse1, device);
  c10::reportOutOfMemoryToProfiler(static_cast<int64_t>(size), allocated, reserved, name);
  TORCH_CHECK_WITH(
      OutOfMemoryError, false, c10::DeviceTypeName(c10::DeviceType::PrivateUse1, true),
      " out of memory. Tried to allocate ", format_bytes(size), ". ", device_name(device),
      " has a total capacity of ", format_bytes(total), " of which ", format_bytes(free),
      " is free. ", format_bytes(allocated), " is allocated by PyTorch, and ",
      format_bytes(reserved - std::min(reserved, allocated)), " is reserved but unallocated.",
      limit == kNoLimit ? "" : " It may take " + format_bytes(limit) + ".");
  __builtin_unreachable();
}

void report_to_profiler(void* data, int64_t size, const HeapStatistics& from,
                        c10::DeviceIndex device) {
  if (!c10::memoryProfilingEnabled()) return;
  c10::reportMemoryUsageToProfiler(data, size, static_cast<size_t>(from.allocated_bytes()),
                                   static_cast<size_t>(from.reserved_bytes()),
                                   c10::Device(c10::DeviceType::PrivateUse1, device));
}

namespace {

void release(void* data) {
  if (!data) return;
  if (c10::memoryProfilingEnabled()) {
    const auto bytes = static_cast<int64_t>(Block::of(data)->allocated());
    Heap& from = Heap::heap_of(data);
    Heap::release(data);
    const auto& heaps = all_heaps();
    const auto at = std::find_if(heaps.begin(), heaps.end(),
                                 [&](const auto& other) { return other.get() == &from; });
    report_to_profiler(data, -bytes, from, static_cast<c10::DeviceIndex>(at - heaps.begin()));
  } else {
    Heap::release(data);
  }
}

// What PyTorch holds of both engines.
class Allocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t size) override { return alt::allocate(size); }

  c10::DeleterFnPtr raw_deleter() const override {
    return cuda::on_gpu() ? &cuda::release : &release;
  }

  void copy_data(void* to, const void* from, size_t count) const override {
    copy_memory(to, from, count);
  }

  bool initialized() override { return device_count_or_zero() > 0; }

  // There are no private pools.
  void emptyCache(c10::MempoolId_t) override {
    for (auto& each : all_heaps()) each->empty_cache();
    if (cuda::is_engine()) cuda::empty_cache();
  }

  // On the host, work is done before memory can be freed.
  void recordStream(const c10::DataPtr& data, c10::Stream stream) override {
    if (cuda::is_engine()) cuda::record_stream(data, stream);
  }

  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex device) override {
    return statistics(device).stats();
  }

  void resetAccumulatedStats(c10::DeviceIndex device) override {
    statistics(device).reset_accumulated_stats();
  }

  void resetPeakStats(c10::DeviceIndex device) override { statistics(device).reset_peak_stats(); }

  // Without `override`: not every supported PyTorch declares it.
  virtual std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex device) {
    return free_and_total_memory(device);
  }
};

[[maybe_unused]] const bool registered = [] {
  c10::SetAllocator(c10::DeviceType::PrivateUse1, &device_allocator());
  return true;
}();

}  // namespace

size_t environment_memory_limit() {
  return environment().memory_limit.value_or(kNoLimit);
}

c10::DeviceAllocator& device_allocator() {
  static Allocator& instance = *new Allocator;
  return instance;
}

c10::DataPtr allocate(size_t size, c10::DeviceIndex device) {
  run_backward_in_calling_thread();
  device = resolve_device(device);
  if (cuda::choose() && cuda::on_gpu()) return cuda::allocate(size, device);
  const c10::Device on(c10::DeviceType::PrivateUse1, device);
  if (size == 0) return {nullptr, nullptr, &release, on};
  Heap& from = heap_at(device);
  void* data = from.allocate(size);
  if (!data) {
    // The memory that the devices hold back is the same system's.
    from.count_retry();
    for (auto& each : all_heaps()) each->empty_cache();
    data = from.allocate(size);
  }
  if (!data) throw_out_of_memory(from, size, device);
  report_to_profiler(data, static_cast<int64_t>(Block::of(data)->allocated()), from, device);
  return {data, data, &release, on};
}

void copy_memory(void* to, const void* from, size_t bytes) {
  if (!cuda::is_engine()) {
    std::memcpy(to, from, bytes);
    return;
  }
  const auto place = [](const void* memory) {
    return cuda::device_of(memory).value_or(cuda::kHostMemory);
  };
  cuda::copy_bytes(to, from, bytes, {.to = place(to), .from = place(from)});
}

c10::Device device_of(const void* pointer) {
  if (const auto device = cuda::device_of(pointer)) {
    return {c10::DeviceType::PrivateUse1, *device};
  }
  for (c10::DeviceIndex i = 0; i < device_count(); ++i) {
    if (heap_at(i).contains(pointer)) return {c10::DeviceType::PrivateUse1, i};
  }
  TORCH_CHECK(false, "The specified pointer resides on host memory and is not registered with any ",
              c10::DeviceTypeName(c10::DeviceType::PrivateUse1, true), " device.");
}

std::pair<size_t, size_t> free_and_total_memory(c10::DeviceIndex device) {
  device = resolve_device(device);
  const auto [free, all] = [&]() -> std::pair<size_t, size_t> {
    if (cuda::choose()) return cuda::free_and_total_memory(device);
    const SystemMemory memory = SystemMemory::query();
    return {memory.available, memory.total};
  }();
  const size_t total = std::min(all, environment_memory_limit());
  const auto reserved = static_cast<size_t>(statistics(device).reserved_bytes());
  return {std::min(free, total - std::min(total, reserved)), total};
}

void set_memory_limit(c10::DeviceIndex device, std::optional<size_t> bytes) {
  statistics(device).set_limit(std::min(bytes.value_or(kNoLimit), environment_memory_limit()));
}

std::optional<size_t> memory_limit(c10::DeviceIndex device) {
  const size_t limit = statistics(device).limit();
  return limit == kNoLimit ? std::nullopt : std::optional<size_t>(limit);
}

}  // namespace alt
