// Loops over contiguous memory, a vector at a time and the rest an element at a time, for kernels
// whose inner loop is one expression that takes both.
#pragma once

#include <cstdint>

#include "loops/vec.h"

namespace alt {

/// Calls body.template operator()<V>(i) for vectors V = Vec<T>, then for elements V = T, that make
/// up [0, n).
template <class T, class Body>
void for_each_lane(int64_t n, Body&& body) {
  int64_t i = 0;
  for (; i + Vec<T>::size <= n; i += Vec<T>::size) {
    body.template operator()<Vec<T>>(i);
  }
  for (; i < n; ++i) {
    body.template operator()<T>(i);
  }
}

/// A vector, or one element, from memory.
template <class V, class T>
V read(const T* from) {
  if constexpr (is_vec_v<V>) {
    return V::load(from);
  } else {
    return *from;
  }
}

template <class T>
void write(Vec<T> value, T* to) {
  value.store(to);
}
template <class T>
void write(T value, T* to) {
  *to = value;
}

}  // namespace alt
