// Operators on the bits of integers.
#pragma once

#include <type_traits>

#include "loops/function.h"

namespace alt::ops {

template <class T>
ALT_FN T bitwise_not(T x) {
  if constexpr (std::is_same_v<T, bool>) {
    return !x;
  } else {
    return static_cast<T>(~x);
  }
}
template <class T>
ALT_FN T bitwise_and(T x, T y) {
  return static_cast<T>(x & y);
}
template <class T>
ALT_FN T bitwise_or(T x, T y) {
  return static_cast<T>(x | y);
}
template <class T>
ALT_FN T bitwise_xor(T x, T y) {
  return static_cast<T>(x ^ y);
}

/// A shift by the width or more, or by a negative count, gives 0.
template <class T>
ALT_FN T lshift(T x, T count) {
  using Unsigned = std::make_unsigned_t<T>;
  constexpr auto kBits = static_cast<Unsigned>(sizeof(T) * 8);
  if (static_cast<Unsigned>(count) >= kBits) return T(0);
  return static_cast<T>(static_cast<Unsigned>(x) << count);
}

/// A shift by the width or more, or by a negative count, leaves the sign.
template <class T>
ALT_FN T rshift(T x, T count) {
  using Unsigned = std::make_unsigned_t<T>;
  constexpr int kLast = static_cast<int>(sizeof(T) * 8) - std::is_signed_v<T>;
  if (static_cast<Unsigned>(count) >= static_cast<Unsigned>(kLast)) {
    return std::is_signed_v<T> ? static_cast<T>(x >> kLast) : T(0);
  }
  return static_cast<T>(x >> count);
}

}  // namespace alt::ops
