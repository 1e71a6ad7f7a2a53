#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <type_traits>

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

/// The same of a C++ type; elements of 16 bytes move as they are.
template <class T>
using moved_as_t = std::conditional_t<
    sizeof(T) == 1, uint8_t,
    std::conditional_t<sizeof(T) == 2, uint16_t,
                       std::conditional_t<sizeof(T) == 4, uint32_t,
                                          std::conditional_t<sizeof(T) == 8, uint64_t, T>>>>;

}  // namespace alt
