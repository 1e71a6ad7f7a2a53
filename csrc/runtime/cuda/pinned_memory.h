// Host memory that GPUs reach by themselves.
#pragma once

#include <c10/core/Device.h>

#include <cstddef>

#include "runtime/cuda/driver.h"

namespace alt::cuda {

// Blocks are kept for later ones of a similar size: pinning takes the driver longer than a copy.
// Raises where the driver gives none.
void* allocate_pinned(size_t bytes);

// Given to nobody else before the copies that use it are done.
void release_pinned(void* memory) noexcept;

bool is_pinned(const void* pointer);

// Whether the address lies in pinned memory, which a stream then uses until it is done with what it
// has got so far.
bool use_pinned(const void* pointer, c10::DeviceIndex device, CUstream stream);

// Gives what nobody holds back to the driver.
void empty_pinned_cache();

}  // namespace alt::cuda
