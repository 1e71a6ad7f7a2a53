#include "dispatch/structured.h"

#include <ATen/EmptyTensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/as_strided_native.h>
#include <c10/core/Allocator.h>

#include "runtime/device.h"

namespace alt::structured {
namespace {

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

bool computes_alike(at::ScalarType dtype) {
  return dtype == at::kFloat || dtype == at::kDouble || dtype == at::kHalf ||
         dtype == at::kBFloat16;
}

/// Whether `tensor` is one number that takes the dtype of `other`, whatever its own is. Some
/// operators refuse a truth value.
bool is_number_beside(const at::Tensor& tensor, const at::Tensor& other) {
  if (tensor.dim() != 0 || !(tensor.device() == other.device() || tensor.is_cpu())) return false;
  const at::ScalarType dtype = tensor.scalar_type();
  if (!computes_alike(dtype) && !c10::isIntegralType(dtype, /*includeBool=*/false)) return false;
  return tensor.unsafeGetTensorImpl()->is_wrapped_number() || other.dim() > 0;
}

}  // namespace

// Not by way of the dispatcher, which would take as long as a small operator.
at::Tensor create_out(at::IntArrayRef sizes, at::IntArrayRef strides,
                      const at::TensorOptions& options) {
  const CurrentDevice device(options.device());
  c10::Allocator* allocator = c10::GetAllocator(at::kPrivateUse1);
  const at::ScalarType dtype = c10::typeMetaToScalarType(options.dtype());
  if (!strides.empty()) {
    return at::detail::empty_strided_generic(sizes, strides, allocator, kKeys, dtype);
  }
  return at::detail::empty_generic(sizes, allocator, kKeys, dtype, options.memory_format_opt());
}

at::Tensor create_like(const at::Tensor& like, at::ScalarType dtype) {
  const CurrentDevice device(like.device());
  return at::detail::empty_generic(like.sizes(), c10::GetAllocator(at::kPrivateUse1), kKeys, dtype,
                                   std::nullopt);
}

bool alike(at::ArrayRef<const at::Tensor*> operands) {
  const at::Tensor& first = *operands[0];
  const at::ScalarType dtype = first.scalar_type();
  if (!first.is_privateuseone() || !computes_alike(dtype) || !first.is_contiguous()) return false;
  if (first.unsafeGetTensorImpl()->is_wrapped_number() || ALT_HAS_NAMES(first)) return false;
  for (size_t i = 1; i < operands.size(); ++i) {
    const at::Tensor& other = *operands[i];
    if (other.scalar_type() == dtype && other.device() == first.device() &&
        other.sizes() == first.sizes() && other.is_contiguous() && !ALT_HAS_NAMES(other)) {
      continue;
    }
    return i == 1 && operands.size() == 2 && is_number_beside(other, first);
  }
  return true;
}

bool apart(const at::Tensor& self, at::ArrayRef<const at::Tensor*> others) {
  for (const at::Tensor* other : others) {
    if (other->is_alias_of(self) && !other->is_same(self)) return false;
  }
  return true;
}

void add_operand(c10::SmallVectorImpl<at::OperandInfo>& operands, const at::Tensor& tensor,
                 bool is_output, int64_t ndim) {
  at::OperandInfo& operand =
      operands.emplace_back(c10::MaybeOwned<at::TensorBase>::borrowed(tensor));
  operand.is_output = is_output;
  operand.data = is_output ? tensor.mutable_data_ptr() : const_cast<void*>(tensor.const_data_ptr());
  if (ndim == 0) return;
  operand.stride_bytes.push_back(tensor.dim() > 0 ? static_cast<int64_t>(tensor.element_size())
                                                  : 0);
}

void resize_out(const at::Tensor& out, at::IntArrayRef sizes, at::IntArrayRef strides,
                const at::TensorOptions& options) {
  TORCH_CHECK(options.dtype() == out.dtype(), "Expected out tensor to have dtype ", options.dtype(),
              ", but got ", out.dtype(), " instead");
  TORCH_CHECK(options.device() == out.device(), "Expected out tensor to have device ",
              options.device(), ", but got ", out.device(), " instead");
  if (!at::native::resize_output(out, sizes)) return;
  if (!strides.empty()) {
    TORCH_INTERNAL_ASSERT(!options.memory_format_opt().has_value());
    at::native::as_strided__symint(out, c10::fromIntArrayRefSlow(sizes),
                                   c10::fromIntArrayRefSlow(strides));
  } else if (options.memory_format_opt().has_value()) {
    out.unsafeGetTensorImpl()->empty_tensor_restride(*options.memory_format_opt());
  }
}

void check_inplace(const at::Tensor& self, at::IntArrayRef sizes,
                   const at::TensorOptions& options) {
  TORCH_CHECK(options.dtype() == self.dtype(), "Bad in-place call: ", "input tensor dtype ",
              self.dtype(), " and output tensor dtype ", options.dtype(), " should match");
  TORCH_CHECK(options.device() == self.device(), "Bad in-place call: ", "input tensor device ",
              self.device(), " and output tensor device ", options.device(), " should match");
  TORCH_CHECK(sizes == self.sizes(), "Bad in-place call: ", "input tensor size ", self.sizes(),
              " and output tensor size ", sizes, " should match");
}

std::optional<at::Tensor> maybe_create_proxy(const at::Tensor& out, at::IntArrayRef sizes,
                                             at::IntArrayRef strides,
                                             const at::TensorOptions& options) {
  if (out.strides() == strides) return std::nullopt;
  return create_out(sizes, strides, options);
}

}  // namespace alt::structured
