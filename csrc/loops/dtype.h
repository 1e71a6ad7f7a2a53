// From a ScalarType known at run time to a C++ type known at compile time.
//
// `visit<List>(dtype, name, body)` calls `body.template operator()<T>()` with the member of `List`
// that `dtype` names, or raises what stock torch raises for a dtype without a kernel.
#pragma once

#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <type_traits>

namespace alt {

template <class... Ts>
struct TypeList {};

namespace detail {
template <class A, class B>
struct Concat;
template <class... As, class... Bs>
struct Concat<TypeList<As...>, TypeList<Bs...>> {
  using type = TypeList<As..., Bs...>;
};
}  // namespace detail

template <class A, class B>
using concat_t = typename detail::Concat<A, B>::type;

using FloatingTypes = TypeList<float, double>;
using HalfTypes = TypeList<at::Half, at::BFloat16>;
using FloatingAndHalfTypes = concat_t<FloatingTypes, HalfTypes>;
using SignedIntegralTypes = TypeList<int8_t, int16_t, int32_t, int64_t>;
using IntegralTypes = concat_t<TypeList<uint8_t>, SignedIntegralTypes>;
// Those with an order, but for bool and the barebones unsigned ones.
using RealTypes = concat_t<IntegralTypes, FloatingAndHalfTypes>;
using BarebonesUnsignedTypes = TypeList<uint16_t, uint32_t, uint64_t>;
using IntegralAndUnsignedTypes = concat_t<IntegralTypes, BarebonesUnsignedTypes>;
using IntegralAndBoolTypes = concat_t<IntegralAndUnsignedTypes, TypeList<bool>>;
using ComplexTypes = TypeList<c10::complex<float>, c10::complex<double>>;
using FloatingAndComplexTypes = concat_t<FloatingTypes, ComplexTypes>;
using AllTypes = concat_t<IntegralAndBoolTypes, FloatingTypes>;
using AllTypesAndHalf = concat_t<AllTypes, HalfTypes>;
using AllTypesAndComplex = concat_t<AllTypes, ComplexTypes>;
using AllTypesAndComplexAndHalf = concat_t<AllTypesAndComplex, HalfTypes>;
using EveryType = concat_t<AllTypesAndComplexAndHalf, TypeList<c10::complex<at::Half>>>;

template <class T>
struct OpMath {
  using type = T;
};
template <>
struct OpMath<at::Half> {
  using type = float;
};
template <>
struct OpMath<at::BFloat16> {
  using type = float;
};
template <>
struct OpMath<c10::complex<at::Half>> {
  using type = c10::complex<float>;
};
/// The type that arithmetic on T is done in.
template <class T>
using opmath_t = typename OpMath<T>::type;

/// The ScalarType that arithmetic on `dtype` is done in.
inline at::ScalarType opmath_dtype(at::ScalarType dtype) {
  switch (dtype) {
    case at::kHalf:
    case at::kBFloat16:
      return at::kFloat;
    case at::kComplexHalf:
      return at::kComplexFloat;
    default:
      return dtype;
  }
}

namespace detail {
template <class Body>
void visit(at::ScalarType dtype, const char* name, Body&, TypeList<>) {
  TORCH_CHECK_NOT_IMPLEMENTED(false, '"', name, "\" not implemented for '", at::toString(dtype),
                              "'");
}

template <class Body, class T, class... Rest>
void visit(at::ScalarType dtype, const char* name, Body& body, TypeList<T, Rest...>) {
  if (dtype == c10::CppTypeToScalarType<T>::value) {
    body.template operator()<T>();
  } else {
    visit(dtype, name, body, TypeList<Rest...>{});
  }
}
}  // namespace detail

template <class List, class Body>
void visit(at::ScalarType dtype, const char* name, Body&& body) {
  detail::visit(dtype, name, body, List{});
}

/// Calls `body` with an unsigned integer of `element_size` bytes (16: a complex double), for
/// operators that move elements and never look at them.
template <class Body>
void visit_element_size(int64_t element_size, Body&& body) {
  switch (element_size) {
    case 1:
      return body.template operator()<uint8_t>();
    case 2:
      return body.template operator()<uint16_t>();
    case 4:
      return body.template operator()<uint32_t>();
    case 8:
      return body.template operator()<uint64_t>();
    case 16:
      return body.template operator()<c10::complex<double>>();
    default:
      TORCH_CHECK(false, "elements of ", element_size, " bytes are not supported");
  }
}

}  // namespace alt
