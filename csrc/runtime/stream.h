#pragma once

#include <c10/core/Stream.h>

namespace alt {

// The host engine computes at once, in the thread that calls: a stream is an identity that
// programs can create, make current and compare, and its work is always done. On the CUDA engine it
// is CUDA's (runtime/cuda/stream.h).

c10::Stream default_stream(c10::DeviceIndex device);

// A stream that no other call returned; on the CUDA engine, the next of a few. Priorities make no
// difference on the host.
c10::Stream new_stream(c10::DeviceIndex device, bool high_priority);

// Each thread has its own current stream of each device, the default one at first.
c10::Stream current_stream(c10::DeviceIndex device);

// The same of a device that is known to be one.
c10::StreamId current_stream_id(c10::DeviceIndex device) noexcept;

// Whether the stream's work is done, and waiting until it is.
bool query_stream(c10::Stream stream);
void synchronize_stream(c10::Stream stream);

// Waits for all work on a device.
void synchronize_device(c10::DeviceIndex device);

// Makes `stream` its device's current one, and returns the one before.
c10::Stream exchange_stream(c10::Stream stream);

}  // namespace alt
