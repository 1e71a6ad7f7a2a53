#include "runtime/cuda/failure.h"

#include <c10/util/Exception.h>

#include <array>
#include <atomic>
#include <cstring>
#include <mutex>

#include "runtime/cuda/engine.h"
#include "runtime/device.h"

namespace alt::cuda {
namespace {

// As failure.cuh numbers them; any other is a bad value.
enum Kind : int32_t { kZeroDivision = 1, kIndexOutOfRange = 2, kIndexOfDimension = 4 };

// Null until somebody asks for the record: until then no module is loaded that could write it.
std::array<std::atomic<Failure*>, kMostDevices> records{};

}  // namespace

Failure* failure_record(c10::DeviceIndex device) {
  static std::mutex& mutex = *new std::mutex;
  auto& record = records[static_cast<size_t>(device)];
  std::lock_guard lock(mutex);
  if (!record) {
    const DeviceInUse in_use(device);
    void* memory = nullptr;
    check(driver().MemHostAlloc(&memory, sizeof(Failure), kHostPortable), "cuMemHostAlloc");
    std::memset(memory, 0, sizeof(Failure));
    record = static_cast<Failure*>(memory);
  }
  return record;
}

void check_failure(Failure& record) {
  // Of several threads that wait, one raises.
  const int32_t recorded = std::atomic_ref(record.kind).exchange(0);
  if (recorded == 0) return;
  const int32_t kind = recorded & 0xff, dimension = recorded >> 8;
  const int64_t value = record.value;
  const int64_t bound = record.bound;
  std::atomic_ref(record.taken).store(0);
  TORCH_CHECK(kind != kZeroDivision, "ZeroDivisionError");
  TORCH_CHECK_INDEX(kind != kIndexOutOfRange, "index ", value,
                    " is out of bounds for a dimension of size ", bound);
  TORCH_CHECK(kind != kIndexOfDimension, "index ", value, " is out of bounds for dimension ",
              dimension, " with size ", bound);
  TORCH_CHECK(false, "a kernel was given ", value, ", and takes less than ", bound);
}

void check_failure(c10::DeviceIndex device) {
  if (Failure* record = records[static_cast<size_t>(device)]) check_failure(*record);
}

}  // namespace alt::cuda
