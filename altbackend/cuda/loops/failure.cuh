// How a thread says that its input was bad.
//
// It neither traps, which would lose the context and every tensor with it, nor reads or writes out
// of bounds: the first thread to fail leaves a record in memory that the host sees, and goes on
// without touching what it may not. The runtime looks at the record where the host waits for the
// device, clears it and raises.
#pragma once

#include <cstdint>

#include "loops/function.h"

namespace alt {

enum class FailureKind : int32_t {
  kNone = 0,
  kZeroDivision = 1,      // ZeroDivisionError
  kIndexOutOfRange = 2,   // IndexError: index `value` is out of bounds for a dimension of `bound`
  kBadValue = 3,          // RuntimeError: `value` where the operator takes less than `bound`
  kIndexOfDimension = 4,  // kIndexOutOfRange of gather and scatter, which is a RuntimeError
};

/// One a device, in pinned memory; altbackend/cuda/failure.py reads it.
struct Failure {
  int32_t kind;   // and above its 8 bits the dimension, of an index of gather and scatter
  int32_t taken;  // 1 once a thread owns the record
  int64_t value;
  int64_t bound;
};

}  // namespace alt

/// Set when a module is loaded (altbackend/cuda/compile.py); null where nobody listens.
extern "C" {
__device__ alt::Failure* alt_failure = nullptr;
}

namespace alt {

/// A value of any type, for a function that has none to return.
struct Nothing {
  template <class T>
  ALT_FN operator T() const {
    return T();
  }
};

ALT_FN Nothing fail(FailureKind kind, int64_t value, int64_t bound, int64_t dimension = 0) {
  Failure* record = alt_failure;
  if (record != nullptr && atomicCAS(&record->taken, 0, 1) == 0) {
    record->value = value;
    record->bound = bound;
    __threadfence_system();
    record->kind = static_cast<int32_t>(kind) | static_cast<int32_t>(dimension) << 8;
  }
  return {};
}

}  // namespace alt
