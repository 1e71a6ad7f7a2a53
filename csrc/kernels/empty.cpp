// Memory for new tensors, and the operators that change what memory a tensor stands on.
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/Resize.h>
#include <ATen/native/TensorFactories.h>
#include <c10/core/Allocator.h>
#include <c10/core/DeviceGuard.h>

#include <cstring>

#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

void check_layout(std::optional<at::Layout> layout) {
  TORCH_CHECK_NOT_IMPLEMENTED(c10::layout_or_default(layout) == at::kStrided,
                              "alt holds strided tensors only, not ", *layout);
}

void check_pinned(std::optional<bool> pin_memory) {
  TORCH_CHECK(!c10::pinned_memory_or_default(pin_memory), "Only dense CPU tensors can be pinned");
}

/// torch.use_deterministic_algorithms with fill_uninitialized_memory promises NaN or the largest
/// integer in new memory.
at::Tensor with_deterministic_fill(at::Tensor tensor) {
  if (at::globalContext().deterministicAlgorithms() &&
      at::globalContext().deterministicFillUninitializedMemory()) {
    at::native::fill_empty_deterministic_(tensor);
  }
  return tensor;
}

at::ScalarType dtype_of(std::optional<at::ScalarType> dtype) {
  return dtype.value_or(at::get_default_dtype_as_scalartype());
}

/// The storage of `self` holds at least `nbytes` afterwards; what it held stays.
/// Makes room for elements of the sizes that `self` has or will have. The sizes are set after it:
/// a tensor that no memory was left for stays as it was.
void maybe_grow_storage(c10::TensorImpl* self, at::IntArrayRef size, size_t nbytes) {
  if (c10::multiply_integers(size) == 0) return;
  const c10::Storage& storage = self->unsafe_storage();
  TORCH_CHECK(storage, "Tensor: invalid null storage");
  if (nbytes <= storage.nbytes()) return;
  if (alt::cuda::on_gpu()) {
    at::detail::getPrivateUse1Hooks().resizePrivateUse1Bytes(storage, nbytes);
  } else {
    at::native::resize_bytes_nocuda(storage, nbytes);
  }
}

}  // namespace

at::Tensor empty_memory_format(at::IntArrayRef size, std::optional<at::ScalarType> dtype,
                               std::optional<at::Layout> layout, std::optional<at::Device>,
                               std::optional<bool> pin_memory,
                               std::optional<at::MemoryFormat> memory_format) {
  check_layout(layout);
  check_pinned(pin_memory);
  return with_deterministic_fill(at::detail::empty_generic(
      size, c10::GetAllocator(at::kPrivateUse1), kKeys, dtype_of(dtype), memory_format));
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                         std::optional<at::ScalarType> dtype, std::optional<at::Layout> layout,
                         std::optional<at::Device>, std::optional<bool> pin_memory) {
  check_layout(layout);
  check_pinned(pin_memory);
  return with_deterministic_fill(at::detail::empty_strided_generic(
      size, stride, c10::GetAllocator(at::kPrivateUse1), kKeys, dtype_of(dtype)));
}

/// A tensor of zeros without memory, which autograd uses for gradients known to vanish.
at::Tensor efficientzerotensor(at::IntArrayRef size, std::optional<at::ScalarType> dtype,
                               std::optional<at::Layout>, std::optional<at::Device> device,
                               std::optional<bool>) {
  at::native::ZeroTensorAllocator allocator(c10::device_or_default(device));
  return at::detail::empty_generic(size, &allocator,
                                   kKeys | c10::DispatchKeySet(c10::DispatchKey::ZeroTensor),
                                   dtype_of(dtype), std::nullopt);
}

const at::Tensor& resize_(const at::Tensor& self, at::IntArrayRef size,
                          std::optional<at::MemoryFormat> memory_format) {
  c10::TensorImpl* impl = self.unsafeGetTensorImpl();
  const size_t old_bytes = impl->unsafe_storage() ? impl->unsafe_storage().nbytes() : 0;
  if (impl->sizes() != size) {
    const size_t bytes = at::detail::computeStorageNbytesContiguous(
        size, self.dtype().itemsize(), static_cast<size_t>(self.storage_offset()));
    maybe_grow_storage(impl, size, bytes);
    impl->set_sizes_contiguous(size);
  }
  if (memory_format.has_value()) {
    TORCH_CHECK(*memory_format != at::MemoryFormat::Preserve, "Unsupported memory format",
                *memory_format);
    impl->empty_tensor_restride(*memory_format);
  }
  if (at::globalContext().deterministicAlgorithms() &&
      at::globalContext().deterministicFillUninitializedMemory()) {
    at::native::fill_resize_deterministic_(self, static_cast<int64_t>(old_bytes));
  }
  return self;
}

at::Tensor& set_source_storage_offset(at::Tensor& self, at::Storage source, int64_t storage_offset,
                                      at::IntArrayRef size, at::IntArrayRef stride) {
  at::native::checkSetStorage(self, source, storage_offset, size, stride);
  self.unsafeGetTensorImpl()->set_storage_offset(storage_offset);
  std::optional<at::IntArrayRef> strides;
  if (stride.data() != nullptr) strides = stride;
  c10::TensorImpl* impl = self.unsafeGetTensorImpl();
  if (impl->sizes() == size && (!strides.has_value() || impl->strides() == *strides)) return self;
  const size_t itemsize = self.dtype().itemsize();
  if (strides.has_value()) {
    maybe_grow_storage(impl, size,
                       at::detail::computeStorageNbytes(size, *strides, itemsize,
                                                        static_cast<size_t>(storage_offset)));
    impl->set_sizes_and_strides(size, *strides);
  } else {
    maybe_grow_storage(impl, size,
                       at::detail::computeStorageNbytesContiguous(
                           size, itemsize, static_cast<size_t>(storage_offset)));
    impl->set_sizes_contiguous(size);
  }
  return self;
}

at::Tensor& set_(at::Tensor& self) {
  const c10::Storage empty(c10::Storage::use_byte_size_t(), 0,
                           c10::GetAllocator(at::kPrivateUse1)->allocate(0),
                           c10::GetAllocator(at::kPrivateUse1), /*resizable=*/true);
  return set_source_storage_offset(self, empty, 0, {0}, {});
}

}  // namespace alt::kernels
