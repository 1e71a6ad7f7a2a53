#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <chrono>
#include <cstdlib>
#include <set>
#include <thread>

#include "check.h"
#include "runtime/device.h"
#include "runtime/stream.h"

namespace {

constexpr c10::DeviceType kDeviceType = c10::DeviceType::PrivateUse1;

const c10::impl::DeviceGuardImplInterface& guard() {
  return *c10::impl::getDeviceGuardImpl(kDeviceType);
}

c10::Device device(int index) {
  return {kDeviceType, static_cast<c10::DeviceIndex>(index)};
}

void devices_are_set_and_restored() {
  CHECK(guard().deviceCount() == 2);
  CHECK(guard().getDevice() == device(0));
  {
    c10::DeviceGuard inside(device(1));
    CHECK(guard().getDevice() == device(1));
    c10::DeviceGuard unchanged(c10::Device(kDeviceType, -1));
    CHECK(guard().getDevice() == device(1));
  }
  CHECK(guard().getDevice() == device(0));
  CHECK_THROWS(c10::Error, guard().setDevice(device(2)));
  CHECK_THROWS(c10::Error, guard().setDevice(c10::Device(c10::DeviceType::CPU)));
  CHECK_THROWS(c10::Error, guard().synchronizeDevice(5));
}

void new_streams_differ() {
  std::set<c10::StreamId> ids{guard().getDefaultStream(device(0)).id()};
  for (int i = 0; i < 50; ++i) ids.insert(guard().getNewStream(device(0), -1).id());
  for (int i = 0; i < 50; ++i) ids.insert(guard().getStreamFromGlobalPool(device(0), true).id());
  CHECK(ids.size() == 101);
  CHECK_THROWS(c10::Error, guard().getNewStream(device(3), 0));
}

void streams_are_current_per_thread_and_device() {
  const c10::Stream stream = guard().getNewStream(device(1), 0);
  CHECK(guard().getStream(device(1)) == guard().getDefaultStream(device(1)));
  {
    c10::StreamGuard inside(stream);
    CHECK(guard().getStream(device(1)) == stream);
    CHECK(guard().getDevice() == device(1));
    CHECK(guard().getStream(device(0)) == guard().getDefaultStream(device(0)));
    std::thread([] {
      CHECK(guard().getStream(device(1)) == guard().getDefaultStream(device(1)));
    }).join();
  }
  CHECK(guard().getStream(device(1)) == guard().getDefaultStream(device(1)));
  CHECK(guard().getDevice() == device(0));
}

void streams_are_always_done() {
  const c10::Stream stream = guard().getNewStream(device(0), 0);
  CHECK(stream.query());
  stream.synchronize();
  CHECK(!guard().isStreamCapturing(stream));
}

void events_measure_time() {
  const c10::Stream stream = guard().getDefaultStream(device(0));
  c10::Event begin(kDeviceType, c10::EventFlag::BACKEND_DEFAULT);
  c10::Event end(kDeviceType, c10::EventFlag::BACKEND_DEFAULT);
  CHECK(begin.query());
  begin.record(stream);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  end.record(stream);
  CHECK(begin.query());
  begin.block(stream);
  end.synchronize();
  const double time = begin.elapsedTime(end);
  CHECK(time >= 20 && time < 2000);
  CHECK(end.elapsedTime(begin) == -time);
  begin.record(stream);
  CHECK(end.elapsedTime(begin) >= 0);
}

void events_refuse_what_makes_no_sense() {
  const c10::Stream stream = guard().getDefaultStream(device(0));
  c10::Event timed(kDeviceType, c10::EventFlag::BACKEND_DEFAULT);
  c10::Event never_recorded(kDeviceType, c10::EventFlag::BACKEND_DEFAULT);
  c10::Event untimed(kDeviceType, c10::EventFlag::PYTORCH_DEFAULT);
  timed.record(stream);
  untimed.record(stream);
  CHECK_THROWS(c10::ValueError, timed.elapsedTime(never_recorded));
  CHECK_THROWS(c10::ValueError, timed.elapsedTime(untimed));
  CHECK_THROWS(c10::Error, timed.record(guard().getDefaultStream(device(1))));
}

}  // namespace

int main() {
  setenv("ALT_DEVICE_COUNT", "2", 1);
  check::test("devices_are_set_and_restored", devices_are_set_and_restored);
  check::test("new_streams_differ", new_streams_differ);
  check::test("streams_are_current_per_thread_and_device",
              streams_are_current_per_thread_and_device);
  check::test("streams_are_always_done", streams_are_always_done);
  check::test("events_measure_time", events_measure_time);
  check::test("events_refuse_what_makes_no_sense", events_refuse_what_makes_no_sense);
  return check::finish();
}
