#pragma once

#include <c10/core/ScalarType.h>

namespace alt {

/// What moves an element of a dtype, for kernels that only move: an unsigned integer of its size.
inline at::ScalarType moved_as(at::ScalarType dtype) {
  switch (c10::elementSize(dtype)) {
    case 1:
      return at::kByte;
    case 2:
      return at::kUInt16;
    case 4:
      return at::kUInt32;
    case 8:
      return at::kUInt64;
    default:
      return at::kComplexDouble;
  }
}

}  // namespace alt
