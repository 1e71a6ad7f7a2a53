// Bad input that a kernel found (altbackend/cuda/loops/failure.cuh): a thread cannot throw.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace alt::cuda {

// As failure.cuh has it. The first thread to fail writes it, and clearing it lets another.
struct Failure {
  int32_t kind;
  int32_t taken;
  int64_t value;
  int64_t bound;
};

// The device's record, in pinned memory: what every module's `alt_failure` is set to.
Failure* failure_record(c10::DeviceIndex device);

// Raises what a record says, as the host engine raises it at the call, and clears it.
void check_failure(Failure& record);

// The same of the device's record. To be called after waiting for the device.
void check_failure(c10::DeviceIndex device);

}  // namespace alt::cuda
