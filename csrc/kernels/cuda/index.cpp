// gather, scatter and indexing on the GPU (altbackend/cuda/kernels/index.cuh). An index out of
// range is found by the kernel, touches nothing, and is raised where the host waits for the device.
//
// Elements that are only moved are named by an unsigned integer of their size. What is added as a
// complex number is added as two real ones, along a dimension more.
#include "kernels/cuda/index.h"

#include <ATen/TensorIterator.h>
#include <ATen/native/ReductionType.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/WrapDimMinimal.h>

#include "kernels/cuda/array.h"
#include "kernels/cuda/launches.h"
#include "kernels/operands.h"
#include "loops/element_size.h"
#include "runtime/cuda/no_kernel.h"

namespace alt::kernels::cuda {
namespace {

using alt::cuda::no_kernel;
using at::Tensor;

/// index::Mode of the kernels.
enum Mode : int64_t { kAssign, kAdd, kMultiply, kMaximum, kMinimum };

/// A dtype that the kernels which also add know, for elements that are only moved; of complex
/// doubles, a half.
at::ScalarType assigned_as(at::ScalarType dtype) {
  switch (c10::elementSize(dtype)) {
    case 1:
      return at::kByte;
    case 2:
      return at::kShort;
    case 4:
      return at::kInt;
    default:
      return at::kLong;
  }
}

void check_dims(int64_t dims) {
  if (dims > kMaxDims) no_kernel("a kernel takes tensors of at most ", kMaxDims, " dimensions");
}

/// How a kernel that may add sees elements: as this dtype, in pairs where they are complex.
struct Seen {
  at::ScalarType dtype;
  bool pairs;

  Seen(at::ScalarType given, Mode mode)
      : dtype(mode == kAssign ? assigned_as(given) : c10::toRealValueType(given)),
        pairs(mode == kAssign ? c10::elementSize(given) == 16 : c10::isComplexType(given)) {}

  TensorArgs elements(TensorArgs a) const { return pairs ? with_pairs(a, 2, 1) : a; }
  TensorArgs indices(const TensorArgs& a) const { return pairs ? with_pairs(a, 1, 0) : a; }

 private:
  static TensorArgs with_pairs(TensorArgs a, int64_t factor, int64_t stride) {
    check_dims(a.ndim + 1);
    for (int64_t d = 0; d < a.ndim; ++d) a.strides[d] *= factor;
    a.sizes[a.ndim] = 2;
    a.strides[a.ndim++] = stride;
    return a;
  }
};

/// An operand of an iterator, whose dimension 0 is the innermost, in elements.
TensorArgs operand_args(const at::TensorIteratorBase& iter, int operand) {
  check_dims(iter.ndim());
  TensorArgs result{};
  result.data = iter.data_ptr(operand);
  result.ndim = iter.ndim();
  const auto bytes = static_cast<int64_t>(c10::elementSize(iter.dtype(operand)));
  for (int64_t d = 0; d < result.ndim; ++d) {
    result.sizes[d] = iter.shape()[result.ndim - 1 - d];
    result.strides[d] = iter.strides(operand)[result.ndim - 1 - d] / bytes;
  }
  return result;
}

constexpr int64_t kMostIndices = kMaxTensors - 2;
constexpr size_t kUnsigned = 0, kMode = 1, kSizes = 2, kStrides = 10;  // of the kernels' integers

/// Operands 0, 1 and the indices from `first` on, with what indexed dimensions are; strides are in
/// bytes.
KernelArgs indexed(const at::TensorIteratorBase& iter, int first, c10::IntArrayRef sizes,
                   c10::IntArrayRef strides) {
  const auto count = static_cast<int64_t>(sizes.size());
  if (count > kMostIndices) {
    no_kernel("the CUDA engine indexes at most ", kMostIndices, " dimensions by tensors, but got ",
              count);
  }
  KernelArgs result{};
  const auto bytes = static_cast<int64_t>(c10::elementSize(iter.dtype(0)));
  for (int64_t k = 0; k < count; ++k) {
    result.tensors[2 + k] = operand_args(iter, first + static_cast<int>(k));
    result.integers[kSizes + k] = sizes[k];
    result.integers[kStrides + k] = strides[k] / bytes;
  }
  return result;
}

/// self = values at the indices, or what the mode says; `a` has the indices.
void put(KernelArgs a, const TensorArgs& self, const TensorArgs& values, at::ScalarType dtype,
         int64_t elements, Mode mode) {
  const Seen seen(dtype, mode);
  a.integers[kMode] = mode;
  a.tensors[0] = seen.elements(self);
  a.tensors[1] = seen.elements(values);
  for (int64_t k = 2; k < kMaxTensors && a.tensors[k].data != nullptr; ++k) {
    a.tensors[k] = seen.indices(a.tensors[k]);
    if (seen.pairs) a.integers[kStrides + k - 2] *= 2;
  }
  launch_elements(kernel("index_put", {seen.dtype, at::kLong}), elements * (seen.pairs ? 2 : 1), a);
}

/// An iterator's operands of one index along a dimension: index_copy, index_fill, take and put.
KernelArgs one_index(const at::TensorIteratorBase& iter, int operand, int64_t size,
                     int64_t stride) {
  KernelArgs result{};
  result.tensors[2] = operand_args(iter, operand);
  result.integers[kSizes] = size;
  result.integers[kStrides] = stride;
  return result;
}

TensorArgs flat_memory(const at::TensorBase& tensor, const TensorArgs& like) {
  TensorArgs result = like;
  result.data = const_cast<void*>(tensor.const_data_ptr());
  std::fill_n(result.strides, kMaxDims, int64_t{0});
  return result;
}

void scatter_into(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source,
                  Mode mode) {
  if (index.numel() == 0) return;
  const bool wide = mode != kAssign && at::isReducedFloatingType(self.scalar_type());
  if (wide) {  // half types accumulate in float, and are rounded once
    const Tensor sums = self.to(at::kFloat);
    scatter_into(sums, dim, index, source.to(at::kFloat), mode);
    self.copy_(sums);
    return;
  }
  dim = c10::maybe_wrap_dim(dim, self.dim());
  const Seen seen(self.scalar_type(), mode);
  KernelArgs a =
      arguments({seen.elements(tensor_args(self)), seen.indices(tensor_args(index.to(at::kLong))),
                 seen.elements(tensor_args(source))},
                {dim, mode});
  launch_elements(kernel("scatter", {seen.dtype, at::kLong}), index.numel() * (seen.pairs ? 2 : 1),
                  a);
}

Mode mode_of(const at::native::ReductionType& reduce) {
  switch (reduce) {
    case at::native::ReductionType::PROD:
      return kMultiply;
    case at::native::ReductionType::MAX:
      return kMaximum;
    case at::native::ReductionType::MIN:
      return kMinimum;
    default:
      return kAdd;
  }
}

/// A number for every element of an index.
Tensor number_like(const at::Scalar& value, const Tensor& self, at::IntArrayRef sizes) {
  return at::full({}, value, self.options()).expand(sizes);
}

/// Complex products by atomics would need two words at once.
void check_mode(const Tensor& self, Mode mode) {
  if (mode > kAdd && self.is_complex()) no_kernel("complex numbers are not multiplied by atomics");
}

}  // namespace

void index(at::TensorIteratorBase& iter, c10::IntArrayRef indexed_sizes,
           c10::IntArrayRef indexed_strides) {
  if (iter.numel() == 0) return;
  KernelArgs a = indexed(iter, 2, indexed_sizes, indexed_strides);
  a.tensors[0] = operand_args(iter, 0);
  a.tensors[1] = operand_args(iter, 1);
  launch_elements(kernel("index_get", {moved_as(iter.dtype(0)), at::kLong}), iter.numel(), a);
}

/// The iterator's operands turn round what they turn by negative strides.
void flip(at::TensorIterator& iter, const bool /*quantized*/) {
  if (iter.numel() == 0) return;
  launch_elements(kernel("index_get", {moved_as(iter.dtype(0)), at::kLong}), iter.numel(),
                  arguments({operand_args(iter, 0), operand_args(iter, 1)}));
}

void index_put(at::TensorIterator& iter, c10::IntArrayRef indexed_sizes,
               c10::IntArrayRef indexed_strides, bool accumulate) {
  if (iter.numel() == 0) return;
  put(indexed(iter, 2, indexed_sizes, indexed_strides), operand_args(iter, 0),
      operand_args(iter, 1), iter.dtype(0), iter.numel(), accumulate ? kAdd : kAssign);
}

void index_copy(at::TensorIterator& iter, int64_t /*dim*/, int64_t self_dim_size,
                int64_t self_dim_stride) {
  if (iter.numel() == 0) return;
  KernelArgs a = one_index(iter, 1, self_dim_size, self_dim_stride);
  a.integers[kUnsigned] = 1;
  put(a, operand_args(iter, 0), operand_args(iter, 2), iter.dtype(0), iter.numel(), kAssign);
}

void index_fill(at::TensorIterator& iter, int64_t /*dim*/, int64_t self_dim_size,
                int64_t self_dim_stride, const at::Scalar& source) {
  if (iter.numel() == 0) return;
  const Tensor value = at::full({}, source, iter.tensor(0).options());
  const TensorArgs self = operand_args(iter, 0);
  put(one_index(iter, 1, self_dim_size, self_dim_stride), self, flat_memory(value, self),
      iter.dtype(0), iter.numel(), kAssign);
}

void take(at::TensorIterator& iter, const at::TensorBase& input) {
  if (iter.numel() == 0) return;
  const Tensor source = Tensor(input).contiguous();
  KernelArgs a = one_index(iter, 1, source.numel(), 1);
  a.tensors[0] = operand_args(iter, 0);
  a.tensors[1] = flat_memory(source, a.tensors[0]);
  launch_elements(kernel("index_get", {moved_as(iter.dtype(0)), at::kLong}), iter.numel(), a);
}

void put(at::TensorIterator& iter, const at::TensorBase& self, const bool accumulate) {
  if (iter.numel() == 0) return;
  write_dense(Tensor(self), [&](const Tensor& target) {
    if (!target.is_same(Tensor(self))) target.copy_(Tensor(self));
    const TensorArgs values = operand_args(iter, 0);
    put(one_index(iter, 1, target.numel(), 1), flat_memory(target, values), values,
        target.scalar_type(), iter.numel(), accumulate ? kAdd : kAssign);
  });
}

void gather(const Tensor& result, const Tensor& self, int64_t dim, const Tensor& index) {
  if (index.numel() == 0) return;
  const KernelArgs a = arguments({tensor_args(result), tensor_args(self), tensor_args(index)},
                                 {c10::maybe_wrap_dim(dim, self.dim())});
  launch_elements(kernel("gather", {moved_as(self.scalar_type()), index.scalar_type()}),
                  index.numel(), a);
}

void scatter(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& src) {
  scatter_into(self, dim, index, src, kAssign);
}

void scatter_fill(const Tensor& self, int64_t dim, const Tensor& index, const at::Scalar& src) {
  scatter_into(self, dim, index, number_like(src, self, index.sizes()), kAssign);
}

void scatter_add(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& src) {
  scatter_into(self, dim, index, src, kAdd);
}

void scatter_reduce(const Tensor& self, const int64_t dim, const Tensor& index, const Tensor& src,
                    const at::native::ReductionType& reduce) {
  const Mode mode = mode_of(reduce);
  check_mode(self, mode);
  scatter_into(self, dim, index, src, mode);
}

void scatter_scalar_reduce(const Tensor& self, const int64_t dim, const Tensor& index,
                           const at::Scalar& value, const at::native::ReductionType& reduce) {
  const Mode mode = mode_of(reduce);
  check_mode(self, mode);
  scatter_into(self, dim, index, number_like(value, self, index.sizes()), mode);
}

void index_select(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& out) {
  if (self.dim() > kMaxDims) {  // those before and behind `dim` as one each
    const auto joined = [dim](const Tensor& t) {
      const int64_t size = t.size(dim), before = c10::multiply_integers(t.sizes().slice(0, dim));
      return t.contiguous().view({before, size, t.numel() / std::max<int64_t>(before * size, 1)});
    };
    write_dense(out, [&](const Tensor& to) { index_select(joined(self), 1, index, joined(to)); });
    return;
  }
  const bool number = self.dim() == 0;
  const Tensor from = number ? self.view(1) : self, to = number ? out.view(1) : out;
  launch_elements(kernel("index_select", {moved_as(self.scalar_type()), index.scalar_type()}),
                  out.numel(),
                  arguments({tensor_args(to), tensor_args(from), tensor_args(index)}, {dim}));
}

void index_add(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source,
               const at::Scalar& alpha, const Tensor& out) {
  if (!out.is_same(self)) out.copy_(self);
  if (out.numel() == 0 || source.numel() == 0) return;
  if (at::isReducedFloatingType(out.scalar_type())) {
    const Tensor sums = out.to(at::kFloat);
    cuda::index_add(sums, dim, index, source.to(at::kFloat), alpha, sums);
    out.copy_(sums);
    return;
  }
  const Tensor scaled = alpha.equal(1) ? source : source.mul(alpha);
  const bool number = out.dim() == 0;
  const Tensor to = number ? out.view(1) : out, from = number ? scaled.reshape(1) : scaled;
  const Seen seen(out.scalar_type(), kAdd);
  launch_elements(kernel("index_add", {seen.dtype, at::kLong}), from.numel() * (seen.pairs ? 2 : 1),
                  arguments({seen.elements(tensor_args(to)), seen.elements(tensor_args(from)),
                             tensor_args(index.to(at::kLong))},
                            {number ? 0 : c10::maybe_wrap_dim(dim, out.dim())}, {1.0}));
}

Tensor embedding_dense_backward(const Tensor& grad, const Tensor& index, int64_t num_weights,
                                int64_t padding_idx, bool scale_grad_by_freq) {
  const int64_t width = grad.size(-1), places = index.numel();
  const at::ScalarType sums = opmath_dtype(grad.scalar_type());
  const Tensor result = at::zeros({num_weights, width}, grad.options().dtype(sums));
  if (places == 0 || width == 0) return result.to(grad.scalar_type());
  const Tensor gradient = grad.to(sums), flat = index.view(-1);
  Tensor counts;
  if (scale_grad_by_freq) {
    counts = at::zeros({num_weights}, flat.options());
    counts.index_add_(0, flat, at::ones({places}, flat.options()));
  }
  launch_elements(kernel("embedding_backward", {sums, index.scalar_type()}), places * width,
                  arguments({tensor_args(result), dense_args(gradient, {places, width}),
                             tensor_args(flat), tensor_args(counts)},
                            {padding_idx}));
  return result.to(grad.scalar_type());
}

Tensor places_of(const Tensor& mask) {
  return new_from_array("sort.nonzero", {mask.reshape(-1)}).at(0).view(-1);
}

}  // namespace alt::kernels::cuda
