#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include <optional>
#include <utility>

#include "runtime/heap_statistics.h"

namespace alt {

// The allocator that PyTorch knows for this device: one heap a device, memory for the current one.
c10::DeviceAllocator& device_allocator();

// Memory of a given device, or of the current one where the index is negative.
c10::DataPtr allocate(size_t size, c10::DeviceIndex device = -1);

// Bytes of one place in memory to another, whether on a GPU or on the host.
void copy_memory(void* to, const void* from, size_t bytes);

// The device in whose memory `pointer` lies; raises where it lies in none.
c10::Device device_of(const void* pointer);

// Memory that a device has: the system's, or ALT_MEMORY_LIMIT where that is less.
// The first is what it can still take from the system.
std::pair<size_t, size_t> free_and_total_memory(c10::DeviceIndex device);

// Bytes that a device may take from the system, over its cache and its allocations together.
// Without a value, as much as it has.
void set_memory_limit(c10::DeviceIndex device, std::optional<size_t> bytes);
std::optional<size_t> memory_limit(c10::DeviceIndex device);

// ALT_MEMORY_LIMIT, or HeapStatistics::kNoLimit.
size_t environment_memory_limit();

// torch.OutOfMemoryError with what the device has and holds.
[[noreturn]] void throw_out_of_memory(HeapStatistics& full, size_t size, c10::DeviceIndex device);

// Tells a profiler that is running of `size` bytes more, or less.
void report_to_profiler(void* data, int64_t size, const HeapStatistics& from,
                        c10::DeviceIndex device);

}  // namespace alt
