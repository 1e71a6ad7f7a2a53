#include "loops/cuda/arguments.h"

#include <cmath>
#include <cstring>

namespace alt::cuda {

ScalarArgs scalar_args(const c10::Scalar& value) {
  if (value.isComplex()) {
    const auto z = value.toComplexDouble();
    return {z.real(), z.imag(), 0};
  }
  if (value.isFloatingPoint()) {
    const double x = value.toDouble();
    return {x, 0, std::abs(x) < 0x1p63 ? static_cast<int64_t>(x) : 0};
  }
  if (value.isBoolean()) return {value.toBool() ? 1.0 : 0.0, 0, value.toBool()};
  if (value.isUnsigned()) {
    const uint64_t n = value.toUInt64();
    return {static_cast<double>(n), 0, static_cast<int64_t>(n)};
  }
  const int64_t n = value.toLong();
  return {static_cast<double>(n), 0, n};
}

bool fill_pointwise(PointwiseArgs& into, c10::ArrayRef<int64_t> sizes,
                    c10::ArrayRef<PointwiseOperand> operands, c10::ArrayRef<c10::Scalar> scalars) {
  TORCH_INTERNAL_ASSERT(operands.size() <= kMaxOperands && scalars.size() <= kMaxScalars);
  int64_t shape[kMaxDims];
  int dims = 0;
  into.numel = 1;
  const auto step = [&](size_t k, size_t d) {
    return operands[k].strides[d] / operands[k].item_size;
  };
  for (size_t d = 0; d < sizes.size(); ++d) {
    into.numel *= sizes[d];
    if (sizes[d] == 1) continue;
    bool joins = dims > 0;
    for (size_t k = 0; joins && k < operands.size(); ++k) {
      joins = step(k, d) == into.strides[k][dims - 1] * shape[dims - 1];
    }
    if (joins) {
      shape[dims - 1] *= sizes[d];
      continue;
    }
    if (dims == kMaxDims) return false;
    shape[dims] = sizes[d];
    for (size_t k = 0; k < operands.size(); ++k) into.strides[k][dims] = step(k, d);
    ++dims;
  }
  into.ndim = dims;
  for (int d = 0; d < dims; ++d) into.sizes[d] = divider(shape[d]);
  for (size_t k = 0; k < operands.size(); ++k) {
    into.data[k] = operands[k].data;
    if (operands[k].data == nullptr) {
      std::memcpy(into.numbers[k], operands[k].number, static_cast<size_t>(operands[k].item_size));
    }
  }
  for (size_t k = 0; k < scalars.size(); ++k) into.scalars[k] = scalar_args(scalars[k]);
  return true;
}

bool is_contiguous(const PointwiseArgs& arguments, int outputs,
                   c10::ArrayRef<PointwiseOperand> operands, int64_t lanes) {
  if (arguments.ndim != 1) return false;
  for (size_t k = 0; k < operands.size(); ++k) {
    const int64_t stride = arguments.strides[k][0];
    if (stride == 0 && k >= static_cast<size_t>(outputs)) continue;
    const auto address = reinterpret_cast<uintptr_t>(arguments.data[k]);
    if (stride != 1 || address % static_cast<uintptr_t>(operands[k].item_size * lanes) != 0) {
      return false;
    }
  }
  return true;
}

}  // namespace alt::cuda
