#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include <optional>
#include <utility>

namespace alt {

// The allocator that PyTorch knows for this device: one heap a device, memory for the current one.
c10::DeviceAllocator& device_allocator();

// Memory of a given device, or of the current one where the index is negative.
c10::DataPtr allocate(size_t size, c10::DeviceIndex device = -1);

// The device in whose memory `pointer` lies; raises where it lies in none.
c10::Device device_of(const void* pointer);

// Memory that a device has: the system's, or ALT_MEMORY_LIMIT where that is less.
// The first is what it can still take from the system.
std::pair<size_t, size_t> free_and_total_memory(c10::DeviceIndex device);

// Bytes that a device may take from the system, over its cache and its allocations together.
// Without a value, as much as it has.
void set_memory_limit(c10::DeviceIndex device, std::optional<size_t> bytes);
std::optional<size_t> memory_limit(c10::DeviceIndex device);

}  // namespace alt
