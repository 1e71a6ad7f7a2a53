#pragma once

#include <c10/core/Stream.h>

namespace alt {

// The host engine computes at once, in the thread that calls: a stream is an identity that
// programs can create, make current and compare, and its work is always done.

c10::Stream default_stream(c10::DeviceIndex device);

// A stream that no other call returned. Priorities are accepted and make no difference.
c10::Stream new_stream(c10::DeviceIndex device);

// Each thread has its own current stream of each device, the default one at first.
c10::Stream current_stream(c10::DeviceIndex device);

// Makes `stream` its device's current one, and returns the one before.
c10::Stream exchange_stream(c10::Stream stream);

}  // namespace alt
