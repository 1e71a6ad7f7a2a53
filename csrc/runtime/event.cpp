#include "runtime/event.h"

#include <c10/util/Exception.h>

#include "runtime/device.h"

namespace alt {

void Event::record(c10::DeviceIndex device) {
  TORCH_CHECK(!recorded_ || device == device_, "Event device ", device_name(device_),
              " does not match recording stream's device ", device_name(device), ".");
  device_ = device;
  recorded_ = true;
  if (timed_) time_ = Clock::now();
}

double Event::elapsed_time(const Event& end) const {
  TORCH_CHECK_VALUE(timed_ && end.timed_,
                    "Both events must be created with argument 'enable_timing=True'.");
  TORCH_CHECK_VALUE(recorded_ && end.recorded_,
                    "Both events must be recorded before calculating elapsed time.");
  TORCH_CHECK(device_ == end.device_, "Events of ", device_name(device_), " and ",
              device_name(end.device_), " cannot be compared.");
  return std::chrono::duration<double, std::milli>(end.time_ - time_).count();
}

}  // namespace alt
