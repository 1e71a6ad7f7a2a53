// Events of the CUDA engine.
#pragma once

#include <utility>

#include "runtime/cuda/driver.h"
#include "runtime/event.h"

namespace alt::cuda {

// An event without a time, of the device that is in use; gone at the end of the block. The driver
// keeps what still waits for it.
class ScopedEvent {
 public:
  ScopedEvent() { check(driver().EventCreate(&event_, kEventDisableTiming), "cuEventCreate"); }
  ~ScopedEvent() {
    if (event_) driver().EventDestroy(event_);
  }
  ScopedEvent(const ScopedEvent&) = delete;
  ScopedEvent& operator=(const ScopedEvent&) = delete;

  CUevent get() const { return event_; }
  CUevent release() { return std::exchange(event_, nullptr); }

 private:
  CUevent event_ = nullptr;
};

// torch.Event's.
class Event final : public alt::Event {
 public:
  using alt::Event::Event;
  ~Event() override;

  void block(c10::Stream stream) const override;
  bool query() const override;
  void synchronize() const override;

 private:
  void mark(c10::Stream stream) override;
  double milliseconds_to(const alt::Event& end) const override;

  CUevent event_ = nullptr;
};

}  // namespace alt::cuda
