#include "runtime/cuda/stream.h"

#include <array>
#include <atomic>
#include <mutex>

#include "runtime/cuda/engine.h"
#include "runtime/cuda/event.h"
#include "runtime/cuda/failure.h"
#include "runtime/device.h"
#include "runtime/stream.h"

namespace alt::cuda {
namespace {

// As many as PyTorch keeps for CUDA; nobody tells when a stream is no longer wanted.
constexpr size_t kPooled = 32;

struct StreamPool {
  std::mutex mutex;
  std::array<CUstream, kPooled> streams{};
  size_t next = 0;
};

StreamPool& pool_of(c10::DeviceIndex device, bool high_priority) {
  static auto& pools = *new std::array<StreamPool[2], kMostDevices>;
  return pools[static_cast<size_t>(device)][high_priority];
}

}  // namespace

CUstream current() {
  return current(current_device());
}

CUstream current(c10::DeviceIndex device) {
  use_device(device);
  return handle(current_stream_id(device));
}

c10::StreamId pooled_stream(c10::DeviceIndex device, bool high_priority) {
  const DeviceInUse in_use(device);
  StreamPool& pool = pool_of(device, high_priority);
  std::lock_guard lock(pool.mutex);
  CUstream& stream = pool.streams[pool.next++ % kPooled];
  if (!stream) {
    check(driver().StreamCreateWithPriority(&stream, kStreamNonBlocking, high_priority ? -1 : 0),
          "cuStreamCreateWithPriority");
  }
  return stream_id(stream);
}

bool query(c10::DeviceIndex device, CUstream stream) {
  const DeviceInUse in_use(device);
  const CUresult result = driver().StreamQuery(stream);
  if (result == kNotReady) return false;
  check(result, "cuStreamQuery");
  return true;
}

void order(c10::DeviceIndex waiting_device, CUstream waiting, c10::DeviceIndex done_device,
           CUstream done) {
  if (waiting == done && waiting_device == done_device) return;
  const DeviceInUse of_event(done_device);
  const ScopedEvent event;
  check(driver().EventRecord(event.get(), done), "cuEventRecord");
  const DeviceInUse of_waiting(waiting_device);
  check(driver().StreamWaitEvent(waiting, event.get(), 0), "cuStreamWaitEvent");
}

void synchronize_and_check(c10::DeviceIndex device, CUstream stream) {
  const DeviceInUse in_use(device);
  check(driver().StreamSynchronize(stream), "cuStreamSynchronize");
  check_failure(device);
}

void synchronize_and_check(c10::DeviceIndex device, CUevent event) {
  const DeviceInUse in_use(device);
  check(driver().EventSynchronize(event), "cuEventSynchronize");
  check_failure(device);
}

void synchronize_and_check(c10::DeviceIndex device) {
  const DeviceInUse in_use(device);
  check(driver().CtxSynchronize(), "cuCtxSynchronize");
  check_failure(device);
}

}  // namespace alt::cuda
