#pragma once

#include <c10/core/Stream.h>

#include <chrono>

namespace alt {

// A moment in a stream. What was submitted before it has been computed before it.
class Event {
 public:
  explicit Event(bool timed) : timed_(timed) {}

  void record(c10::DeviceIndex device);
  c10::DeviceIndex device() const { return device_; }

  // Milliseconds from this event to `end`. Both must be timed and on one device.
  double elapsed_time(const Event& end) const;

 private:
  using Clock = std::chrono::steady_clock;

  const bool timed_;
  bool recorded_ = false;
  c10::DeviceIndex device_ = -1;
  Clock::time_point time_;
};

}  // namespace alt
