#include "runtime/device.h"

#include <c10/util/Exception.h>

#include <algorithm>

#include "runtime/cuda/engine.h"
#include "runtime/environment.h"

namespace alt {
namespace {

thread_local c10::DeviceIndex thread_device = 0;

std::atomic<c10::DeviceIndex> known_count{0};  // 0 until the engine is chosen.

void change_to(c10::DeviceIndex device) noexcept {
  if (device != 0) device_was_changed.store(true, std::memory_order_relaxed);
  thread_device = device;
  if (cuda::is_engine()) cuda::follow_current_device();
}

}  // namespace

std::atomic<bool> device_was_changed{false};

c10::DeviceIndex device_count() {
  const c10::DeviceIndex known = known_count.load(std::memory_order_relaxed);
  if (known > 0) return known;
  const std::optional<int>& wanted = environment().device_count;
  const int there_are = cuda::choose() ? cuda::engine().devices : wanted.value_or(1);
  const auto count = static_cast<c10::DeviceIndex>(std::min(wanted.value_or(there_are), there_are));
  known_count = count;
  return count;
}

c10::DeviceIndex device_count_or_zero() noexcept {
  try {
    return device_count();
  } catch (const std::exception&) {
    return 0;
  }
}

c10::DeviceIndex current_device() noexcept {
  return thread_device;
}

void set_device(c10::DeviceIndex device) {
  check_device(device);
  change_to(device);
}

void set_device_unchecked(c10::DeviceIndex device) noexcept {
  if (device >= 0) change_to(device);
}

c10::DeviceIndex exchange_device(c10::DeviceIndex device) {
  const c10::DeviceIndex before = thread_device;
  set_device(device);
  return before;
}

c10::DeviceIndex maybe_exchange_device(c10::DeviceIndex device) {
  return device < 0 ? thread_device : exchange_device(device);
}

void check_device(c10::DeviceIndex device) {
  const c10::DeviceIndex count = device_count();
  TORCH_CHECK(device >= 0 && device < count, "invalid device ordinal: there is no ",
              device_name(device), ", the number of devices is ", static_cast<int>(count),
              environment().device_count || !cuda::is_engine() ? " (set by ALT_DEVICE_COUNT)" : "");
}

c10::DeviceIndex resolve_device(c10::DeviceIndex device) {
  if (device < 0) return thread_device;
  check_device(device);
  return device;
}

std::string device_name(c10::DeviceIndex device) {
  return c10::DeviceTypeName(c10::DeviceType::PrivateUse1, /*lower_case=*/true) + ":" +
         std::to_string(static_cast<int>(device));
}

}  // namespace alt
