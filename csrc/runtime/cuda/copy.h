// Copies of bytes between the host and GPUs.
#pragma once

#include <c10/core/Device.h>

#include <cstddef>

namespace alt::cuda {

inline constexpr c10::DeviceIndex kHostMemory = -1;

struct Where {
  c10::DeviceIndex to = kHostMemory;
  c10::DeviceIndex from = kHostMemory;
  // The caller does not touch the host's side before it has waited for the current stream. Counts
  // for pinned memory alone.
  bool non_blocking = false;
};

// Submitted on the current stream: of the device that `from` names, or else of `to`'s; between two
// devices, the other's current stream waits for it. Returns at once from device to device; to the
// host, when the bytes are there, after which a kernel's bad input is raised; from the host, when
// its memory may change.
void copy_bytes(void* to, const void* from, size_t bytes, const Where& where);

// `value` everywhere, submitted on the device's current stream.
void fill_bytes(void* to, unsigned char value, size_t bytes, c10::DeviceIndex device);

}  // namespace alt::cuda
