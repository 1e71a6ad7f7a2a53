// How the structs of loops/arguments.h are filled.
#pragma once

#include <c10/core/Scalar.h>
#include <c10/util/ArrayRef.h>

#include <bit>

#include "loops/arguments.h"

namespace alt::cuda {

inline constexpr int64_t kMostElements = (int64_t{1} << 31) - 1;  // that a divider divides

/// Granlund and Montgomery's multiplier for dividends below 2^31.
inline DividerArgs divider(int64_t divisor) {
  const auto d = static_cast<uint64_t>(divisor);
  const auto shift = static_cast<uint64_t>(std::bit_width(d - 1));
  const uint64_t multiplier = ((uint64_t{1} << 32) * ((uint64_t{1} << shift) - d)) / d + 1;
  return {static_cast<uint32_t>(d), static_cast<uint32_t>(multiplier),
          static_cast<uint32_t>(shift)};
}

/// A number in all the forms that a kernel may want.
ScalarArgs scalar_args(const c10::Scalar& value);

/// One operand of a pointwise kernel, broadcast to the kernel's sizes.
struct PointwiseOperand {
  void* data;  // null: a number that the host has, at `number`
  const void* number;
  int64_t item_size;
  const int64_t* strides;  // in bytes, innermost first
};

/// Sizes innermost first; those of 1 are left out, and neighbours that lie alike are joined. False
/// where more than kMaxDims are left.
bool fill_pointwise(PointwiseArgs& into, c10::ArrayRef<int64_t> sizes,
                    c10::ArrayRef<PointwiseOperand> operands, c10::ArrayRef<c10::Scalar> scalars);

/// Whether `lanes` elements of each operand can be moved at once: they lie alike, without gaps and
/// at aligned addresses; an input may be one number throughout.
bool is_contiguous(const PointwiseArgs& arguments, int outputs,
                   c10::ArrayRef<PointwiseOperand> operands, int64_t lanes);

}  // namespace alt::cuda
