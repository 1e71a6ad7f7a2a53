// The other _foreach_ operators that optimizers and gradient clipping use.
#include "kernels/foreach.h"

#include <ATen/ops/_foreach_abs_native.h>
#include <ATen/ops/_foreach_addcdiv_native.h>
#include <ATen/ops/_foreach_addcmul_native.h>
#include <ATen/ops/_foreach_clamp_max_native.h>
#include <ATen/ops/_foreach_clamp_min_native.h>
#include <ATen/ops/_foreach_lerp_native.h>
#include <ATen/ops/_foreach_neg_native.h>
#include <ATen/ops/_foreach_reciprocal_native.h>
#include <ATen/ops/_foreach_sqrt_native.h>
#include <ATen/ops/_foreach_zero_native.h>

#include <cstring>

namespace alt::kernels {
namespace {

using namespace ops::foreach;

/// A tensor of one dimension as a number a tensor; anything else is none, and PyTorch's function
/// judges it.
Factors factors_of(const at::Tensor& tensor) {
  std::vector<at::Scalar> scalars;
  if (tensor.dim() == 1 && tensor.is_cpu() && !tensor.is_complex()) {
    for (int64_t i = 0; i < tensor.size(0); ++i) scalars.push_back(tensor[i].item());
  }
  return Factors(at::ArrayRef<at::Scalar>(scalars));
}

}  // namespace

void foreach_zero_(at::TensorList self) {
  constexpr int64_t bytes_worth_a_thread = 1 << 18;
  std::vector<int64_t> bytes;
  for (const at::Tensor& tensor : self) {
    if (alt::cuda::on_gpu() || !tensor.is_privateuseone() ||
        !tensor.is_non_overlapping_and_dense()) {
      return at::native::foreach_tensor_zero_slow_(self);
    }
    bytes.push_back(static_cast<int64_t>(tensor.nbytes()));
  }
  for_each_run(bytes, bytes_worth_a_thread, [&](size_t i, int64_t begin, int64_t end) {
    std::memset(static_cast<char*>(self[i].mutable_data_ptr()) + begin, 0,
                static_cast<size_t>(end - begin));
  });
  increment_versions(self);
}

std::vector<at::Tensor> foreach_addcdiv_scalar(at::TensorList self, at::TensorList tensor1,
                                               at::TensorList tensor2, const at::Scalar& value) {
  return foreach_new(Lists<3>{self, tensor1, tensor2}, Factors(value), Addcdiv{}, [&] {
    return at::native::foreach_tensor_addcdiv_scalar_slow(self, tensor1, tensor2, value);
  });
}
void foreach_addcdiv_scalar_(at::TensorList self, at::TensorList tensor1, at::TensorList tensor2,
                             const at::Scalar& value) {
  foreach_in_place(Lists<3>{self, tensor1, tensor2}, Factors(value), Addcdiv{}, [&] {
    at::native::foreach_tensor_addcdiv_scalar_slow_(self, tensor1, tensor2, value);
  });
}

std::vector<at::Tensor> foreach_addcdiv_scalarlist(at::TensorList self, at::TensorList tensor1,
                                                   at::TensorList tensor2,
                                                   at::ArrayRef<at::Scalar> scalars) {
  return foreach_new(Lists<3>{self, tensor1, tensor2}, Factors(scalars), Addcdiv{}, [&] {
    return at::native::foreach_tensor_addcdiv_scalarlist_slow(self, tensor1, tensor2, scalars);
  });
}
void foreach_addcdiv_scalarlist_(at::TensorList self, at::TensorList tensor1,
                                 at::TensorList tensor2, at::ArrayRef<at::Scalar> scalars) {
  foreach_in_place(Lists<3>{self, tensor1, tensor2}, Factors(scalars), Addcdiv{}, [&] {
    at::native::foreach_tensor_addcdiv_scalarlist_slow_(self, tensor1, tensor2, scalars);
  });
}

std::vector<at::Tensor> foreach_addcdiv_tensor(at::TensorList self, at::TensorList tensor1,
                                               at::TensorList tensor2, const at::Tensor& scalars) {
  return foreach_new(Lists<3>{self, tensor1, tensor2}, factors_of(scalars), Addcdiv{}, [&] {
    return at::native::foreach_tensor_addcdiv_tensor_slow(self, tensor1, tensor2, scalars);
  });
}
void foreach_addcdiv_tensor_(at::TensorList self, at::TensorList tensor1, at::TensorList tensor2,
                             const at::Tensor& scalars) {
  foreach_in_place(Lists<3>{self, tensor1, tensor2}, factors_of(scalars), Addcdiv{}, [&] {
    at::native::foreach_tensor_addcdiv_tensor_slow_(self, tensor1, tensor2, scalars);
  });
}

std::vector<at::Tensor> foreach_addcmul_scalar(at::TensorList self, at::TensorList tensor1,
                                               at::TensorList tensor2, const at::Scalar& value) {
  return foreach_new(Lists<3>{self, tensor1, tensor2}, Factors(value), Addcmul{}, [&] {
    return at::native::foreach_tensor_addcmul_scalar_slow(self, tensor1, tensor2, value);
  });
}
void foreach_addcmul_scalar_(at::TensorList self, at::TensorList tensor1, at::TensorList tensor2,
                             const at::Scalar& value) {
  foreach_in_place(Lists<3>{self, tensor1, tensor2}, Factors(value), Addcmul{}, [&] {
    at::native::foreach_tensor_addcmul_scalar_slow_(self, tensor1, tensor2, value);
  });
}

std::vector<at::Tensor> foreach_addcmul_scalarlist(at::TensorList self, at::TensorList tensor1,
                                                   at::TensorList tensor2,
                                                   at::ArrayRef<at::Scalar> scalars) {
  return foreach_new(Lists<3>{self, tensor1, tensor2}, Factors(scalars), Addcmul{}, [&] {
    return at::native::foreach_tensor_addcmul_scalarlist_slow(self, tensor1, tensor2, scalars);
  });
}
void foreach_addcmul_scalarlist_(at::TensorList self, at::TensorList tensor1,
                                 at::TensorList tensor2, at::ArrayRef<at::Scalar> scalars) {
  foreach_in_place(Lists<3>{self, tensor1, tensor2}, Factors(scalars), Addcmul{}, [&] {
    at::native::foreach_tensor_addcmul_scalarlist_slow_(self, tensor1, tensor2, scalars);
  });
}

std::vector<at::Tensor> foreach_addcmul_tensor(at::TensorList self, at::TensorList tensor1,
                                               at::TensorList tensor2, const at::Tensor& scalars) {
  return foreach_new(Lists<3>{self, tensor1, tensor2}, factors_of(scalars), Addcmul{}, [&] {
    return at::native::foreach_tensor_addcmul_tensor_slow(self, tensor1, tensor2, scalars);
  });
}
void foreach_addcmul_tensor_(at::TensorList self, at::TensorList tensor1, at::TensorList tensor2,
                             const at::Tensor& scalars) {
  foreach_in_place(Lists<3>{self, tensor1, tensor2}, factors_of(scalars), Addcmul{}, [&] {
    at::native::foreach_tensor_addcmul_tensor_slow_(self, tensor1, tensor2, scalars);
  });
}

std::vector<at::Tensor> foreach_lerp_scalar(at::TensorList self, at::TensorList tensors1,
                                            const at::Scalar& weight) {
  return foreach_new(Lists<2>{self, tensors1}, Factors(weight), Lerp{}, [&] {
    return at::native::foreach_tensor_lerp_list_kernel_slow(self, tensors1, weight);
  });
}
void foreach_lerp_scalar_(at::TensorList self, at::TensorList tensors1, const at::Scalar& weight) {
  foreach_in_place(Lists<2>{self, tensors1}, Factors(weight), Lerp{}, [&] {
    at::native::foreach_tensor_lerp_list_kernel_slow_(self, tensors1, weight);
  });
}

std::vector<at::Tensor> foreach_lerp_scalarlist(at::TensorList self, at::TensorList tensors1,
                                                at::ArrayRef<at::Scalar> weight) {
  return foreach_new(Lists<2>{self, tensors1}, Factors(weight), Lerp{}, [&] {
    return at::native::foreach_tensor_lerp_scalarlist_kernel_slow(self, tensors1, weight);
  });
}
void foreach_lerp_scalarlist_(at::TensorList self, at::TensorList tensors1,
                              at::ArrayRef<at::Scalar> weight) {
  foreach_in_place(Lists<2>{self, tensors1}, Factors(weight), Lerp{}, [&] {
    at::native::foreach_tensor_lerp_scalarlist_kernel_slow_(self, tensors1, weight);
  });
}

std::vector<at::Tensor> foreach_lerp_list(at::TensorList self, at::TensorList tensors1,
                                          at::TensorList weights) {
  return foreach_new(Lists<3>{self, tensors1, weights}, Factors(), LerpEach{}, [&] {
    return at::native::foreach_tensor_ternary_lerp_slow(self, tensors1, weights);
  });
}
void foreach_lerp_list_(at::TensorList self, at::TensorList tensors1, at::TensorList weights) {
  foreach_in_place(Lists<3>{self, tensors1, weights}, Factors(), LerpEach{},
                   [&] { at::native::foreach_tensor_ternary_lerp_slow_(self, tensors1, weights); });
}

std::vector<at::Tensor> foreach_sqrt(at::TensorList self) {
  return foreach_new(Lists<1>{self}, Factors(), Sqrt{},
                     [&] { return at::native::foreach_tensor_sqrt_slow(self); });
}
void foreach_sqrt_(at::TensorList self) {
  foreach_in_place(Lists<1>{self}, Factors(), Sqrt{},
                   [&] { at::native::foreach_tensor_sqrt_slow_(self); });
}

std::vector<at::Tensor> foreach_neg(at::TensorList self) {
  return foreach_new(Lists<1>{self}, Factors(), Neg{},
                     [&] { return at::native::foreach_tensor_neg_slow(self); });
}
void foreach_neg_(at::TensorList self) {
  foreach_in_place(Lists<1>{self}, Factors(), Neg{},
                   [&] { at::native::foreach_tensor_neg_slow_(self); });
}

std::vector<at::Tensor> foreach_abs(at::TensorList self) {
  return foreach_new(Lists<1>{self}, Factors(), Abs{},
                     [&] { return at::native::foreach_tensor_abs_slow(self); });
}
void foreach_abs_(at::TensorList self) {
  foreach_in_place(Lists<1>{self}, Factors(), Abs{},
                   [&] { at::native::foreach_tensor_abs_slow_(self); });
}

std::vector<at::Tensor> foreach_reciprocal(at::TensorList self) {
  return foreach_new(Lists<1>{self}, Factors(), Reciprocal{},
                     [&] { return at::native::foreach_tensor_reciprocal_slow(self); });
}
void foreach_reciprocal_(at::TensorList self) {
  foreach_in_place(Lists<1>{self}, Factors(), Reciprocal{},
                   [&] { at::native::foreach_tensor_reciprocal_slow_(self); });
}

std::vector<at::Tensor> foreach_clamp_max_scalar(at::TensorList self, const at::Scalar& scalar) {
  return foreach_new(Lists<1>{self}, Factors(scalar), AtMostFactor{}, [&] {
    return at::native::foreach_tensor_clamp_max_scalar_kernel_slow(self, scalar);
  });
}
void foreach_clamp_max_scalar_(at::TensorList self, const at::Scalar& scalar) {
  foreach_in_place(Lists<1>{self}, Factors(scalar), AtMostFactor{},
                   [&] { at::native::foreach_tensor_clamp_max_scalar_kernel_slow_(self, scalar); });
}

std::vector<at::Tensor> foreach_clamp_max_list(at::TensorList self, at::TensorList other) {
  return foreach_new(Lists<2>{self, other}, Factors(), AtMostOther{}, [&] {
    return at::native::foreach_tensor_clamp_max_list_kernel_slow(self, other);
  });
}
void foreach_clamp_max_list_(at::TensorList self, at::TensorList other) {
  foreach_in_place(Lists<2>{self, other}, Factors(), AtMostOther{},
                   [&] { at::native::foreach_tensor_clamp_max_list_kernel_slow_(self, other); });
}

std::vector<at::Tensor> foreach_clamp_min_scalar(at::TensorList self, const at::Scalar& scalar) {
  return foreach_new(Lists<1>{self}, Factors(scalar), AtLeastFactor{}, [&] {
    return at::native::foreach_tensor_clamp_min_scalar_kernel_slow(self, scalar);
  });
}
void foreach_clamp_min_scalar_(at::TensorList self, const at::Scalar& scalar) {
  foreach_in_place(Lists<1>{self}, Factors(scalar), AtLeastFactor{},
                   [&] { at::native::foreach_tensor_clamp_min_scalar_kernel_slow_(self, scalar); });
}

std::vector<at::Tensor> foreach_clamp_min_list(at::TensorList self, at::TensorList other) {
  return foreach_new(Lists<2>{self, other}, Factors(), AtLeastOther{}, [&] {
    return at::native::foreach_tensor_clamp_min_list_kernel_slow(self, other);
  });
}
void foreach_clamp_min_list_(at::TensorList self, at::TensorList other) {
  foreach_in_place(Lists<2>{self, other}, Factors(), AtLeastOther{},
                   [&] { at::native::foreach_tensor_clamp_min_list_kernel_slow_(self, other); });
}

std::vector<at::Tensor> foreach_maximum_scalar(at::TensorList self, const at::Scalar& scalar) {
  return foreach_new(Lists<1>{self}, Factors(scalar), AtLeastFactor{}, [&] {
    return at::native::foreach_tensor_clamp_min_scalar_kernel_slow(self, scalar);
  });
}
void foreach_maximum_scalar_(at::TensorList self, const at::Scalar& scalar) {
  foreach_in_place(Lists<1>{self}, Factors(scalar), AtLeastFactor{},
                   [&] { at::native::foreach_tensor_clamp_min_scalar_kernel_slow_(self, scalar); });
}

std::vector<at::Tensor> foreach_maximum_list(at::TensorList self, at::TensorList other) {
  return foreach_new(Lists<2>{self, other}, Factors(), AtLeastOther{}, [&] {
    return at::native::foreach_tensor_clamp_min_list_kernel_slow(self, other);
  });
}
void foreach_maximum_list_(at::TensorList self, at::TensorList other) {
  foreach_in_place(Lists<2>{self, other}, Factors(), AtLeastOther{},
                   [&] { at::native::foreach_tensor_clamp_min_list_kernel_slow_(self, other); });
}

std::vector<at::Tensor> foreach_minimum_scalar(at::TensorList self, const at::Scalar& scalar) {
  return foreach_new(Lists<1>{self}, Factors(scalar), AtMostFactor{}, [&] {
    return at::native::foreach_tensor_clamp_max_scalar_kernel_slow(self, scalar);
  });
}
void foreach_minimum_scalar_(at::TensorList self, const at::Scalar& scalar) {
  foreach_in_place(Lists<1>{self}, Factors(scalar), AtMostFactor{},
                   [&] { at::native::foreach_tensor_clamp_max_scalar_kernel_slow_(self, scalar); });
}

std::vector<at::Tensor> foreach_minimum_list(at::TensorList self, at::TensorList other) {
  return foreach_new(Lists<2>{self, other}, Factors(), AtMostOther{}, [&] {
    return at::native::foreach_tensor_clamp_max_list_kernel_slow(self, other);
  });
}
void foreach_minimum_list_(at::TensorList self, at::TensorList other) {
  foreach_in_place(Lists<2>{self, other}, Factors(), AtMostOther{},
                   [&] { at::native::foreach_tensor_clamp_max_list_kernel_slow_(self, other); });
}

}  // namespace alt::kernels
