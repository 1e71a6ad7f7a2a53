// One function a pair of dtypes. The contiguous case is a loop of its own, because that is the one
// the compiler turns into vector conversions; float to and from the half types are lanes.h's. A
// byte of a bool may be any, where a tensor is a view of bytes: not 0 is true.
#include "loops/convert.h"

#include <c10/util/Load.h>
#include <c10/util/TypeCast.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "loops/lanes.h"
#include "loops/storable.h"

namespace alt {
namespace {

constexpr size_t kDtypes = static_cast<size_t>(at::ScalarType::NumOptions);

template <class T>
constexpr bool is_half = std::is_same_v<T, at::Half> || std::is_same_v<T, at::BFloat16>;

template <class To, class From>
void convert_contiguous(To* __restrict dst, const From* __restrict src, int64_t n) {
  if constexpr (std::is_same_v<To, From>) {
    std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(To));
  } else if constexpr (is_half<To> && std::is_same_v<From, float>) {
    int64_t i = 0;
    for (; i + Vec<float>::size <= n; i += Vec<float>::size) {
      write_narrowed(Vec<float>::load(src + i), dst + i);
    }
    for (; i < n; ++i) dst[i] = src[i];
  } else if constexpr (std::is_same_v<To, float> && is_half<From>) {
    int64_t i = 0;
    for (; i + Vec<float>::size <= n; i += Vec<float>::size) read_widened(src + i).store(dst + i);
    for (; i < n; ++i) dst[i] = src[i];
  } else if constexpr (std::is_same_v<From, bool>) {
    // g++ finds lanes in a choice by bytes, but not in a conversion of truth values.
    const auto* bytes = reinterpret_cast<const uint8_t*>(src);
    const To one = c10::convert<To, bool>(true), zero = c10::convert<To, bool>(false);
    for (int64_t i = 0; i < n; ++i) dst[i] = bytes[i] != 0 ? one : zero;
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i] = c10::convert<To, From>(src[i]);
  }
}

template <class To, class From>
void convert_strided(void* dst, int64_t dst_stride, const void* src, int64_t src_stride,
                     int64_t n) {
  if (dst_stride == sizeof(To) && src_stride == sizeof(From)) {
    convert_contiguous(static_cast<To*>(dst), static_cast<const From*>(src), n);
    return;
  }
  auto* to = static_cast<char*>(dst);
  const auto* from = static_cast<const char*>(src);
  if (src_stride == 0 && dst_stride == sizeof(To) && n > 0) {  // one number, spread
    std::fill_n(static_cast<To*>(dst), n, c10::convert<To, From>(c10::load<From>(src)));
    return;
  }
  if constexpr (std::is_floating_point_v<From> || std::is_same_v<To, From>) {
    // As of a complex's real part.
    if (src_stride == 2 * sizeof(From) && dst_stride == sizeof(To)) {
      for (int64_t i = 0; i < n; ++i) {
        static_cast<To*>(dst)[i] = c10::convert<To, From>(static_cast<const From*>(src)[2 * i]);
      }
      return;
    }
  }
#pragma GCC unroll 8
  for (int64_t i = 0; i < n; ++i) {
    *reinterpret_cast<To*>(to + i * dst_stride) =
        c10::convert<To, From>(c10::load<From>(from + i * src_stride));
  }
}

/// For pairs that few convert: a loop or two, where the others have four, most of them unrolled.
template <class To, class From>
void convert_each(void* dst, int64_t dst_stride, const void* src, int64_t src_stride, int64_t n) {
  if constexpr (std::is_arithmetic_v<To> && std::is_arithmetic_v<From>) {
    if (dst_stride == sizeof(To) && src_stride == sizeof(From)) {
      convert_contiguous(static_cast<To*>(dst), static_cast<const From*>(src), n);
      return;
    }
  }
  auto* to = static_cast<char*>(dst);
  const auto* from = static_cast<const char*>(src);
  for (int64_t i = 0; i < n; ++i) {
    *reinterpret_cast<To*>(to + i * dst_stride) =
        c10::convert<To, From>(c10::load<From>(from + i * src_stride));
  }
}

template <class T, class... Ts>
constexpr bool is_one_of(TypeList<Ts...>) {
  return (std::is_same_v<T, Ts> || ...);
}

using RareTypes = concat_t<concat_t<Float8Types, BarebonesUnsignedTypes>,
                           TypeList<int8_t, int16_t, c10::complex<at::Half>>>;

/// Complex numbers are made of floating-point ones.
template <class A, class B>
constexpr bool is_rare = is_one_of<A>(RareTypes{}) ||
                         (is_one_of<A>(ComplexTypes{}) && !is_one_of<B>(FloatingAndComplexTypes{}));

template <class To, class From>
constexpr ConvertFunction conversion() {
  constexpr bool rare = is_rare<To, From> || is_rare<From, To>;
  if constexpr (rare && !std::is_same_v<To, From>) {
    return convert_each<To, From>;
  } else {
    return convert_strided<To, From>;
  }
}

using Table = std::array<std::array<ConvertFunction, kDtypes>, kDtypes>;

template <class To, class... Froms>
void fill_row(Table& table, TypeList<Froms...>) {
  auto& row = table[static_cast<size_t>(c10::CppTypeToScalarType<To>::value)];
  ((row[static_cast<size_t>(c10::CppTypeToScalarType<Froms>::value)] = conversion<To, Froms>()),
   ...);
}

template <class... Tos>
Table make_table(TypeList<Tos...>) {
  Table table{};
  (fill_row<Tos>(table, StorableTypes{}), ...);
  return table;
}

}  // namespace

ConvertFunction convert_function(at::ScalarType to, at::ScalarType from) {
  static const Table table = make_table(StorableTypes{});
  ConvertFunction function = table[static_cast<size_t>(to)][static_cast<size_t>(from)];
  TORCH_CHECK_NOT_IMPLEMENTED(function != nullptr, "alt cannot convert ", from, " to ", to);
  return function;
}

void convert(at::ScalarType to, void* dst, at::ScalarType from, const void* src, int64_t n) {
  convert_function(to, from)(dst, static_cast<int64_t>(c10::elementSize(to)), src,
                             static_cast<int64_t>(c10::elementSize(from)), n);
}

}  // namespace alt
