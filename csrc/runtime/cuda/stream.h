// Streams of the CUDA engine. A c10::StreamId is the CUstream's address: 0 is CUDA's default
// stream, which CuPy works on too.
#pragma once

#include <c10/core/Stream.h>

#include "runtime/cuda/driver.h"

namespace alt::cuda {

inline CUstream handle(c10::StreamId id) {
  return reinterpret_cast<CUstream>(static_cast<intptr_t>(id));
}
inline c10::StreamId stream_id(CUstream stream) {
  return static_cast<c10::StreamId>(reinterpret_cast<intptr_t>(stream));
}

// The calling thread's current stream of its current device, whose context it makes current.
CUstream current();

// The same of a given device, whose context stays current.
CUstream current(c10::DeviceIndex device);

// One of the device's streams, 32 of either priority, one after another. Work on it does not wait
// for the default stream's.
c10::StreamId pooled_stream(c10::DeviceIndex device, bool high_priority);

// Whether all work on a stream is done.
bool query(c10::DeviceIndex device, CUstream stream);

// Work that `waiting` gets from now on runs after what `done` has got so far.
void order(c10::DeviceIndex waiting_device, CUstream waiting, c10::DeviceIndex done_device,
           CUstream done);

// These wait for a stream, for an event, or for the whole device, and then raise what a kernel
// recorded as bad input (runtime/cuda/failure.h).
void synchronize_and_check(c10::DeviceIndex device, CUstream stream);
void synchronize_and_check(c10::DeviceIndex device, CUevent event);
void synchronize_and_check(c10::DeviceIndex device);

}  // namespace alt::cuda
