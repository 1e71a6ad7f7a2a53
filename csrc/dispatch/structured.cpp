#include "dispatch/structured.h"

#include <ATen/EmptyTensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/result_type.h>
#include <c10/core/Allocator.h>

#include <algorithm>

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

/// Whether the operands are what meta_of_alike takes.
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

/// Whether an operator may write into `self` while it reads `others`: nothing or all is shared.
bool apart(const at::Tensor& self, at::ArrayRef<const at::Tensor*> others) {
  for (const at::Tensor* other : others) {
    if (other->is_alias_of(self) && !other->is_same(self)) return false;
  }
  return true;
}

/// A new tensor, not by way of the dispatcher, which would take as long as a small operator.
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

/// A new contiguous tensor like `like`.
at::Tensor create_like(const at::Tensor& like, at::ScalarType dtype) {
  const CurrentDevice device(like.device());
  return at::detail::empty_generic(like.sizes(), c10::GetAllocator(at::kPrivateUse1), kKeys, dtype,
                                   std::nullopt);
}

/// Checks and resizes the tensor given as out=.
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

/// Checks that an in-place operator may write its result into `self`.
void check_inplace(const at::Tensor& self, at::IntArrayRef sizes,
                   const at::TensorOptions& options) {
  TORCH_CHECK(options.dtype() == self.dtype(), "Bad in-place call: ", "input tensor dtype ",
              self.dtype(), " and output tensor dtype ", options.dtype(), " should match");
  TORCH_CHECK(options.device() == self.device(), "Bad in-place call: ", "input tensor device ",
              self.device(), " and output tensor device ", options.device(), " should match");
  TORCH_CHECK(sizes == self.sizes(), "Bad in-place call: ", "input tensor size ", self.sizes(),
              " and output tensor size ", sizes, " should match");
}

/// What TensorIterator::build would have found. A derived class may name its protected members.
struct Members : at::TensorIteratorBase {
  static constexpr auto operands = &Members::operands_;
  static constexpr auto shape = &Members::shape_;
  static constexpr auto has_coalesced_dimensions = &Members::has_coalesced_dimensions_;
  static constexpr auto view_offsets = &Members::view_offsets_;
  static constexpr auto num_outputs = &Members::num_outputs_;
  static constexpr auto all_ops_same_shape = &Members::all_ops_same_shape_;
  static constexpr auto common_dtype = &Members::common_dtype_;
  static constexpr auto common_device = &Members::common_device_;
};

/// Adds an operand of an iterator over operands that are alike.
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

}  // namespace

void set_output(Output& output, Variant variant, at::IntArrayRef sizes, at::IntArrayRef strides,
                const at::TensorOptions& options, bool exact_strides) {
  if (variant == Variant::kFunctional) {
    output.tensor = create_out(sizes, strides, options);
    return;
  }
  if (variant == Variant::kInplace) {
    check_inplace(output.tensor, sizes, options);
  } else {
    resize_out(output.tensor, sizes, strides, options);
  }
  if (exact_strides && output.tensor.strides() != strides) {
    output.proxy = create_out(sizes, strides, options);
  }
}

bool meta_of_alike(at::TensorIteratorBase& iterator, Output& output, Variant variant, Result result,
                   at::ArrayRef<const at::Tensor*> inputs) {
  if (!alike(inputs)) return false;
  const at::Tensor& first = *inputs[0];
  if (variant == Variant::kFunctional) {
    output.tensor = create_like(first, result == Result::kBool ? at::kBool : first.scalar_type());
  } else if (!apart(first, inputs.slice(1))) {
    return false;
  }
  // Many dimensions are one here, as where TensorIterator has coalesced them.
  const int64_t ndim = std::min<int64_t>(first.dim(), 1);
  if (ndim == 1) (iterator.*Members::shape).push_back(first.numel());
  iterator.*Members::has_coalesced_dimensions = first.dim() > 1;
  (iterator.*Members::view_offsets).push_back(0);
  auto& operands = iterator.*Members::operands;
  add_operand(operands, output.tensor, /*is_output=*/true, ndim);
  for (const at::Tensor* input : inputs) add_operand(operands, *input, /*is_output=*/false, ndim);
  iterator.*Members::num_outputs = 1;
  iterator.*Members::all_ops_same_shape = true;
  iterator.*Members::common_dtype = first.scalar_type();
  iterator.*Members::common_device = first.device();
  return true;
}

at::Scalar alpha_of(const at::Tensor& self, const at::Tensor& other, const at::Scalar& alpha) {
  const bool of_truths = alpha.isBoolean() && at::result_type(self, other) == at::kBool;
  return of_truths ? at::Scalar(int64_t{alpha.toBool()}) : alpha;
}

void copy_proxies(at::ArrayRef<Output> outputs) {
  for (const Output& output : outputs) {
    if (output.proxy.defined()) output.tensor.copy_(output.proxy);
  }
}

}  // namespace alt::structured
