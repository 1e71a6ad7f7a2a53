#pragma once

#include <c10/core/Stream.h>

#include <memory>

namespace alt {

// A moment in a stream. What was submitted before it has been computed before it.
class Event {
 public:
  explicit Event(bool timed) : timed_(timed) {}
  virtual ~Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(c10::Stream stream);
  c10::DeviceIndex device() const { return device_; }

  // Milliseconds from this event to `end`. Both must be timed and on one device.
  double elapsed_time(const Event& end) const;

  // What `stream` gets from now on waits for the event. One that was never recorded is over.
  virtual void block(c10::Stream stream) const = 0;
  virtual bool query() const = 0;
  virtual void synchronize() const = 0;

 protected:
  bool timed() const { return timed_; }

 private:
  virtual void mark(c10::Stream stream) = 0;
  virtual double milliseconds_to(const Event& end) const = 0;

  const bool timed_;
  bool recorded_ = false;
  c10::DeviceIndex device_ = -1;
};

// One of the engine that computes.
std::unique_ptr<Event> make_event(bool timed);

}  // namespace alt
