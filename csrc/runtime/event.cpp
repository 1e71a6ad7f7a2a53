#include "runtime/event.h"

#include <c10/util/Exception.h>

#include <chrono>

#include "runtime/cuda/engine.h"
#include "runtime/cuda/event.h"
#include "runtime/device.h"

namespace alt {
namespace {

// The host engine computes at once: an event is over when it is recorded.
class HostEvent final : public Event {
 public:
  using Event::Event;

  void block(c10::Stream) const override {}
  bool query() const override { return true; }
  void synchronize() const override {}

 private:
  using Clock = std::chrono::steady_clock;

  void mark(c10::Stream) override {
    if (timed()) time_ = Clock::now();
  }

  double milliseconds_to(const Event& end) const override {
    const auto time = static_cast<const HostEvent&>(end).time_ - time_;
    return std::chrono::duration<double, std::milli>(time).count();
  }

  Clock::time_point time_;
};

}  // namespace

void Event::record(c10::Stream stream) {
  const c10::DeviceIndex device = stream.device_index();
  TORCH_CHECK(!recorded_ || device == device_, "Event device ", device_name(device_),
              " does not match recording stream's device ", device_name(device), ".");
  mark(stream);
  device_ = device;
  recorded_ = true;
}

double Event::elapsed_time(const Event& end) const {
  TORCH_CHECK_VALUE(timed_ && end.timed_,
                    "Both events must be created with argument 'enable_timing=True'.");
  TORCH_CHECK_VALUE(recorded_ && end.recorded_,
                    "Both events must be recorded before calculating elapsed time.");
  TORCH_CHECK(device_ == end.device_, "Events of ", device_name(device_), " and ",
              device_name(end.device_), " cannot be compared.");
  return milliseconds_to(end);
}

std::unique_ptr<Event> make_event(bool timed) {
  if (cuda::is_engine()) return std::make_unique<cuda::Event>(timed);
  return std::make_unique<HostEvent>(timed);
}

}  // namespace alt
