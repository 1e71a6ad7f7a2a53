// Comparisons and logic: the result is a truth value.
#pragma once

#include "loops/function.h"
#include "loops/math.h"

namespace alt::ops {

template <class T>
ALT_FN auto eq(T x, T y) {
  return x == y;
}
template <class T>
ALT_FN auto ne(T x, T y) {
  return x != y;
}
template <class T>
ALT_FN auto lt(T x, T y) {
  return x < y;
}
template <class T>
ALT_FN auto le(T x, T y) {
  return x <= y;
}
template <class T>
ALT_FN auto gt(T x, T y) {
  return x > y;
}
template <class T>
ALT_FN auto ge(T x, T y) {
  return x >= y;
}

template <class T>
ALT_FN auto logical_not(T x) {
  return x == T(0);
}
template <class T>
ALT_FN auto logical_and(T x, T y) {
  return (x != T(0)) & (y != T(0));
}
template <class T>
ALT_FN auto logical_or(T x, T y) {
  return (x != T(0)) | (y != T(0));
}
template <class T>
ALT_FN auto logical_xor(T x, T y) {
  return (x != T(0)) ^ (y != T(0));
}

template <class T>
ALT_FN auto isposinf(T x) {
  return x == T(std::numeric_limits<element_t<T>>::infinity());
}
template <class T>
ALT_FN auto isneginf(T x) {
  return isposinf(T(0) - x);
}

}  // namespace alt::ops
