// Memory of GPUs: segments of CuPy's pool, cut into blocks that are described beside them.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/Stream.h>

#include <optional>
#include <utility>

#include "runtime/heap_statistics.h"

namespace alt::cuda {

// Memory of a device, for work on this thread's current stream of it; torch.OutOfMemoryError where
// there is none. The context of the DataPtr is its address.
c10::DataPtr allocate(size_t size, c10::DeviceIndex device);

// The deleter of that memory. What was submitted on its stream may still use it: the next
// allocation for that stream is ordered behind it by itself.
void release(void* data);

// `stream` uses the memory too: freed, it waits for what is on that stream by then.
void record_stream(const c10::DataPtr& data, c10::Stream stream);

// A device's statistics and limit.
HeapStatistics& statistics(c10::DeviceIndex device);

// Returns what nothing lies in to CuPy's pool, and the pool's to the driver.
void empty_cache();

// As the driver says.
std::pair<size_t, size_t> free_and_total_memory(c10::DeviceIndex device);

// In whose memory an address lies.
std::optional<c10::DeviceIndex> device_of(const void* pointer) noexcept;

}  // namespace alt::cuda
