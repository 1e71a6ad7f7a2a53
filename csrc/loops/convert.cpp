// One function a pair of dtypes. The contiguous case is a loop of its own, because that is the one
// the compiler turns into vector conversions; float to and from the half types by AVX-512/F16C too.
#include "loops/convert.h"

#include <c10/util/TypeCast.h>

#include <array>
#include <cstring>

#include "loops/dtype.h"

namespace alt {
namespace {

constexpr size_t kDtypes = static_cast<size_t>(at::ScalarType::NumOptions);

template <class To, class From>
void convert_contiguous(To* __restrict dst, const From* __restrict src, int64_t n) {
  if constexpr (std::is_same_v<To, From>) {
    std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(To));
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
  for (int64_t i = 0; i < n; ++i) {
    *reinterpret_cast<To*>(to + i * dst_stride) =
        c10::convert<To, From>(*reinterpret_cast<const From*>(from + i * src_stride));
  }
}

using Table = std::array<std::array<ConvertFunction, kDtypes>, kDtypes>;

template <class To, class... Froms>
void fill_row(Table& table, TypeList<Froms...>) {
  auto& row = table[static_cast<size_t>(c10::CppTypeToScalarType<To>::value)];
  ((row[static_cast<size_t>(c10::CppTypeToScalarType<Froms>::value)] = convert_strided<To, Froms>),
   ...);
}

template <class... Tos>
Table make_table(TypeList<Tos...>) {
  Table table{};
  (fill_row<Tos>(table, EveryType{}), ...);
  return table;
}

}  // namespace

ConvertFunction convert_function(at::ScalarType to, at::ScalarType from) {
  static const Table table = make_table(EveryType{});
  ConvertFunction function = table[static_cast<size_t>(to)][static_cast<size_t>(from)];
  TORCH_CHECK_NOT_IMPLEMENTED(function != nullptr, "alt cannot convert ", from, " to ", to);
  return function;
}

void convert(at::ScalarType to, void* dst, at::ScalarType from, const void* src, int64_t n) {
  convert_function(to, from)(dst, static_cast<int64_t>(c10::elementSize(to)), src,
                             static_cast<int64_t>(c10::elementSize(from)), n);
}

}  // namespace alt
