#include "runtime/stream.h"

#include <array>
#include <atomic>

#include "runtime/cuda/engine.h"
#include "runtime/cuda/stream.h"
#include "runtime/device.h"

namespace alt {
namespace {

constexpr c10::StreamId kDefaultStream = 0;

std::atomic<c10::StreamId> last_stream{kDefaultStream};

thread_local std::array<c10::StreamId, kMostDevices> current_streams{};

c10::Stream make_stream(c10::DeviceIndex device, c10::StreamId id) {
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(c10::DeviceType::PrivateUse1, device), id);
}

}  // namespace

c10::Stream default_stream(c10::DeviceIndex device) {
  return make_stream(resolve_device(device), kDefaultStream);
}

c10::Stream new_stream(c10::DeviceIndex device, bool high_priority) {
  device = resolve_device(device);
  return make_stream(device,
                     cuda::choose() ? cuda::pooled_stream(device, high_priority) : ++last_stream);
}

c10::Stream current_stream(c10::DeviceIndex device) {
  device = resolve_device(device);
  return make_stream(device, current_stream_id(device));
}

c10::StreamId current_stream_id(c10::DeviceIndex device) noexcept {
  return current_streams[static_cast<size_t>(device)];
}

c10::Stream exchange_stream(c10::Stream stream) {
  const c10::Stream before = current_stream(stream.device_index());
  current_streams[static_cast<size_t>(before.device_index())] = stream.id();
  return before;
}

bool query_stream(c10::Stream stream) {
  check_device(stream.device_index());
  return !cuda::is_engine() || cuda::query(stream.device_index(), cuda::handle(stream.id()));
}

void synchronize_stream(c10::Stream stream) {
  check_device(stream.device_index());
  if (!cuda::is_engine()) return;
  cuda::synchronize_and_check(stream.device_index(), cuda::handle(stream.id()));
}

void synchronize_device(c10::DeviceIndex device) {
  device = resolve_device(device);
  if (cuda::is_engine()) cuda::synchronize_and_check(device);
}

}  // namespace alt
