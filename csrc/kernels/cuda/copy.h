// Copies, fills and reading one element on a GPU: what csrc/kernels/copy.cpp asks for there.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Scalar.h>

namespace at {
struct TensorIterator;
}

namespace alt::kernels::cuda {

/// The elements of `src`, cast, to a tensor of its sizes or of those that it broadcasts to; one of
/// them at least is a GPU's. Lazy conjugation and negation are not looked at. A copy between a GPU
/// and pinned memory may still be under way afterwards where it is `non_blocking`.
void copy_elements(const at::Tensor& dst, const at::Tensor& src, bool non_blocking);

/// The same of tensors of one dtype whose elements lie alike and without gaps.
void copy_block(const at::Tensor& dst, const at::Tensor& src, bool non_blocking);

/// Zeros to a tensor without gaps.
void zero_block(const at::Tensor& self);

/// `element`, in host memory and of the iterator's dtype, to all elements.
void fill_elements(at::TensorIterator& iter, const void* element);

/// The bytes of a tensor's one element, when all work before is done.
void read_element(const at::Tensor& self, void* to);

}  // namespace alt::kernels::cuda
