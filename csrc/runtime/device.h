#pragma once

#include <c10/core/Device.h>

#include <atomic>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>

namespace alt {

// Whatever is kept for each of them: as many as an index can name.
inline constexpr size_t kMostDevices = std::numeric_limits<c10::DeviceIndex>::max() + size_t{1};

// On the host engine ALT_DEVICE_COUNT, or one; on the CUDA engine the GPUs, or ALT_DEVICE_COUNT of
// them. Raises ValueError where the engine or the count that is asked for cannot be.
c10::DeviceIndex device_count();

// The same for callers that may not see an exception: no devices where the environment is wrong.
c10::DeviceIndex device_count_or_zero() noexcept;

// Each thread has its own current device, 0 at first.
c10::DeviceIndex current_device() noexcept;
void set_device(c10::DeviceIndex device);
void set_device_unchecked(c10::DeviceIndex device) noexcept;  // A negative index does nothing.

// Set the device and return the one before. `maybe_` leaves it as it is for a negative index.
c10::DeviceIndex exchange_device(c10::DeviceIndex device);
c10::DeviceIndex maybe_exchange_device(c10::DeviceIndex device);

// Whether some thread has had another current device than the first. Until then nobody needs to
// look.
extern std::atomic<bool> device_was_changed;

// A device made this thread's current one until the end of the block; none, or one of another kind,
// changes nothing. c10::DeviceGuard without the virtual calls, which a small operator would feel.
class CurrentDevice {
 public:
  explicit CurrentDevice(std::optional<c10::Device> device) {
    if (!device.has_value() || !device->is_privateuseone() || device->index() < 0) return;
    if (device->index() == 0 && !device_was_changed.load(std::memory_order_relaxed)) return;
    before_ = exchange_device(device->index());
  }
  ~CurrentDevice() {
    if (before_ >= 0) set_device_unchecked(before_);
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  c10::DeviceIndex before_ = -1;
};

// Raises for an index of no device.
void check_device(c10::DeviceIndex device);

// `device` with a negative index replaced by the current one, checked.
c10::DeviceIndex resolve_device(c10::DeviceIndex device);

// "alt:0", under the name that the backend was given.
std::string device_name(c10::DeviceIndex device);

}  // namespace alt
