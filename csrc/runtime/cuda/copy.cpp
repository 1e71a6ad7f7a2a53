#include "runtime/cuda/copy.h"

#include <cstring>

#include "runtime/cuda/engine.h"
#include "runtime/cuda/pinned_memory.h"
#include "runtime/cuda/stream.h"
#include "runtime/stream.h"

namespace alt::cuda {
namespace {

void copy_between_devices(void* to, const void* from, size_t bytes, const Where& where) {
  const DeviceInUse receiver(where.to);
  const DeviceInUse sender(where.from);
  CUstream other = handle(current_stream_id(where.to));
  CUstream stream = handle(current_stream_id(where.from));
  // What still uses the destination is on its own device's stream, and so is who reads it next.
  order(where.from, stream, where.to, other);
  use_device(where.from);
  check(driver().MemcpyPeerAsync(address(to), receiver.context(), address(from), sender.context(),
                                 bytes, stream),
        "cuMemcpyPeerAsync");
  order(where.to, other, where.from, stream);
}

}  // namespace

void copy_bytes(void* to, const void* from, size_t bytes, const Where& where) {
  const bool to_host = where.to == kHostMemory;
  const bool from_host = where.from == kHostMemory;
  if (to_host && from_host) {
    std::memcpy(to, from, bytes);
    return;
  }
  if (bytes > 0 && !to_host && !from_host && where.to != where.from) {
    return copy_between_devices(to, from, bytes, where);
  }
  const c10::DeviceIndex device = from_host ? where.to : where.from;
  const DeviceInUse in_use(device);
  CUstream stream = handle(current_stream_id(device));
  if (bytes > 0) {
    check(driver().MemcpyAsync(address(to), address(from), bytes, stream), "cuMemcpyAsync");
  }
  if (!to_host && !from_host) return;
  const bool pinned = use_pinned(to_host ? to : from, device, stream);
  if (pinned && where.non_blocking) return;
  // From memory that is not pinned the driver has read all when it returns.
  if (to_host || pinned) synchronize_and_check(device, stream);
}

void fill_bytes(void* to, unsigned char value, size_t bytes, c10::DeviceIndex device) {
  const DeviceInUse in_use(device);
  CUstream stream = handle(current_stream_id(device));
  if (bytes > 0)
    check(driver().MemsetD8Async(address(to), value, bytes, stream), "cuMemsetD8Async");
}

}  // namespace alt::cuda
