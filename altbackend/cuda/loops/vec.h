// The twin of csrc/loops/vec.h in a CUDA thread, where a number is a vector of one lane and a mask
// is a bool. csrc/ops takes the branches that it has for lanes, since `is_vec_v` says so.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "loops/function.h"

namespace alt {

template <class T>
struct Vec;  // never defined: what asks for its lanes is the host's
template <class T>
using Mask = bool;

template <class T>
inline constexpr bool is_vec_v = std::is_floating_point_v<T>;
template <class T>
inline constexpr bool has_vec_v = false;

template <class T>
using element_t = T;
template <class T>
using lane_integer_t = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

template <class T>
ALT_FN lane_integer_t<T> bits_of(T x) {
  return __builtin_bit_cast(lane_integer_t<T>, x);
}
template <class T>
ALT_FN T from_bits(lane_integer_t<T> bits) {
  return __builtin_bit_cast(T, bits);
}
template <class T>
ALT_FN T integer_lanes(lane_integer_t<T> integer) {
  return static_cast<T>(integer);
}

}  // namespace alt
