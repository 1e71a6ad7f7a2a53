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

// Bytes that each device may take from the system; ALT_MEMORY_LIMIT at first, none for no limit.
void set_memory_limit(std::optional<size_t> bytes);
std::optional<size_t> memory_limit();

}  // namespace alt
