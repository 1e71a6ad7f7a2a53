#include "runtime/cuda/event.h"

#include "runtime/cuda/engine.h"
#include "runtime/cuda/stream.h"

namespace alt::cuda {

Event::~Event() {
  if (event_ && !in_bad_fork()) driver().EventDestroy(event_);
}

void Event::mark(c10::Stream stream) {
  const DeviceInUse in_use(stream.device_index());
  if (!event_) {
    check(driver().EventCreate(&event_, timed() ? kEventDefault : kEventDisableTiming),
          "cuEventCreate");
  }
  check(driver().EventRecord(event_, handle(stream.id())), "cuEventRecord");
}

void Event::block(c10::Stream stream) const {
  if (!event_) return;
  const DeviceInUse in_use(stream.device_index());
  check(driver().StreamWaitEvent(handle(stream.id()), event_, 0), "cuStreamWaitEvent");
}

bool Event::query() const {
  if (!event_) return true;
  const DeviceInUse in_use(device());
  const CUresult result = driver().EventQuery(event_);
  if (result == kNotReady) return false;
  check(result, "cuEventQuery");
  return true;
}

void Event::synchronize() const {
  if (event_) synchronize_and_check(device(), event_);
}

double Event::milliseconds_to(const alt::Event& end) const {
  const DeviceInUse in_use(device());
  float result = 0;
  const CUresult error =
      driver().EventElapsedTime(&result, event_, static_cast<const Event&>(end).event_);
  TORCH_CHECK(error != kNotReady, "Both events must be completed before calculating elapsed time.");
  check(error, "cuEventElapsedTime");
  return result;
}

}  // namespace alt::cuda
