// _foreach_add, sub, mul and div, each by a number, a number a tensor, a list or a tensor of one
// element.
#include "kernels/foreach.h"

#include <ATen/ops/_foreach_add_native.h>
#include <ATen/ops/_foreach_div_native.h>
#include <ATen/ops/_foreach_mul_native.h>
#include <ATen/ops/_foreach_sub_native.h>

namespace alt::kernels {
namespace {

using namespace ops::foreach;

/// A tensor of no dimensions as a number; anything else is none, and PyTorch's function judges it.
Factors factor_of(const at::Tensor& tensor, const at::Scalar& alpha = 1) {
  if (tensor.dim() != 0 || tensor.is_complex() || alpha.isComplex()) {
    return Factors(at::ArrayRef<at::Scalar>{});
  }
  return Factors(tensor.item<double>() * alpha.to<double>());
}

}  // namespace

std::vector<at::Tensor> foreach_add_scalar(at::TensorList self, const at::Scalar& scalar) {
  return foreach_new(Lists<1>{self}, Factors(scalar), PlusFactor{}, [&] {
    return at::native::foreach_tensor_add_scalar_kernel_slow(self, scalar);
  });
}
void foreach_add_scalar_(at::TensorList self, const at::Scalar& scalar) {
  foreach_in_place(Lists<1>{self}, Factors(scalar), PlusFactor{},
                   [&] { at::native::foreach_tensor_add_scalar_kernel_slow_(self, scalar); });
}

std::vector<at::Tensor> foreach_add_scalarlist(at::TensorList self,
                                               at::ArrayRef<at::Scalar> scalars) {
  return foreach_new(Lists<1>{self}, Factors(scalars), PlusFactor{}, [&] {
    return at::native::foreach_tensor_add_scalarlist_kernel_slow(self, scalars);
  });
}
void foreach_add_scalarlist_(at::TensorList self, at::ArrayRef<at::Scalar> scalars) {
  foreach_in_place(Lists<1>{self}, Factors(scalars), PlusFactor{},
                   [&] { at::native::foreach_tensor_add_scalarlist_kernel_slow_(self, scalars); });
}

std::vector<at::Tensor> foreach_add_list(at::TensorList self, at::TensorList other,
                                         const at::Scalar& alpha) {
  return foreach_new(Lists<2>{self, other}, Factors(alpha), PlusScaled{}, [&] {
    return at::native::foreach_tensor_add_list_kernel_slow(self, other, alpha);
  });
}
void foreach_add_list_(at::TensorList self, at::TensorList other, const at::Scalar& alpha) {
  foreach_in_place(Lists<2>{self, other}, Factors(alpha), PlusScaled{},
                   [&] { at::native::foreach_tensor_add_list_kernel_slow_(self, other, alpha); });
}

std::vector<at::Tensor> foreach_add_tensor(at::TensorList self, const at::Tensor& other,
                                           const at::Scalar& alpha) {
  return foreach_new(Lists<1>{self}, factor_of(other, alpha), PlusFactor{}, [&] {
    return at::native::foreach_tensor_add_tensor_kernel_slow(self, other, alpha);
  });
}
void foreach_add_tensor_(at::TensorList self, const at::Tensor& other, const at::Scalar& alpha) {
  foreach_in_place(Lists<1>{self}, factor_of(other, alpha), PlusFactor{},
                   [&] { at::native::foreach_tensor_add_tensor_kernel_slow_(self, other, alpha); });
}

std::vector<at::Tensor> foreach_sub_scalar(at::TensorList self, const at::Scalar& scalar) {
  return foreach_new(Lists<1>{self}, Factors(scalar), MinusFactor{}, [&] {
    return at::native::foreach_tensor_sub_scalar_kernel_slow(self, scalar);
  });
}
void foreach_sub_scalar_(at::TensorList self, const at::Scalar& scalar) {
  foreach_in_place(Lists<1>{self}, Factors(scalar), MinusFactor{},
                   [&] { at::native::foreach_tensor_sub_scalar_kernel_slow_(self, scalar); });
}

std::vector<at::Tensor> foreach_sub_scalarlist(at::TensorList self,
                                               at::ArrayRef<at::Scalar> scalars) {
  return foreach_new(Lists<1>{self}, Factors(scalars), MinusFactor{}, [&] {
    return at::native::foreach_tensor_sub_scalarlist_kernel_slow(self, scalars);
  });
}
void foreach_sub_scalarlist_(at::TensorList self, at::ArrayRef<at::Scalar> scalars) {
  foreach_in_place(Lists<1>{self}, Factors(scalars), MinusFactor{},
                   [&] { at::native::foreach_tensor_sub_scalarlist_kernel_slow_(self, scalars); });
}

std::vector<at::Tensor> foreach_sub_list(at::TensorList self, at::TensorList other,
                                         const at::Scalar& alpha) {
  return foreach_new(Lists<2>{self, other}, Factors(alpha), MinusScaled{}, [&] {
    return at::native::foreach_tensor_sub_list_kernel_slow(self, other, alpha);
  });
}
void foreach_sub_list_(at::TensorList self, at::TensorList other, const at::Scalar& alpha) {
  foreach_in_place(Lists<2>{self, other}, Factors(alpha), MinusScaled{},
                   [&] { at::native::foreach_tensor_sub_list_kernel_slow_(self, other, alpha); });
}

std::vector<at::Tensor> foreach_mul_scalar(at::TensorList self, const at::Scalar& scalar) {
  return foreach_new(Lists<1>{self}, Factors(scalar), TimesFactor{}, [&] {
    return at::native::foreach_tensor_mul_scalar_kernel_slow(self, scalar);
  });
}
void foreach_mul_scalar_(at::TensorList self, const at::Scalar& scalar) {
  foreach_in_place(Lists<1>{self}, Factors(scalar), TimesFactor{},
                   [&] { at::native::foreach_tensor_mul_scalar_kernel_slow_(self, scalar); });
}

std::vector<at::Tensor> foreach_mul_scalarlist(at::TensorList self,
                                               at::ArrayRef<at::Scalar> scalars) {
  return foreach_new(Lists<1>{self}, Factors(scalars), TimesFactor{}, [&] {
    return at::native::foreach_tensor_mul_scalarlist_kernel_slow(self, scalars);
  });
}
void foreach_mul_scalarlist_(at::TensorList self, at::ArrayRef<at::Scalar> scalars) {
  foreach_in_place(Lists<1>{self}, Factors(scalars), TimesFactor{},
                   [&] { at::native::foreach_tensor_mul_scalarlist_kernel_slow_(self, scalars); });
}

std::vector<at::Tensor> foreach_mul_list(at::TensorList self, at::TensorList other) {
  return foreach_new(Lists<2>{self, other}, Factors(), TimesOther{},
                     [&] { return at::native::foreach_tensor_mul_list_kernel_slow(self, other); });
}
void foreach_mul_list_(at::TensorList self, at::TensorList other) {
  foreach_in_place(Lists<2>{self, other}, Factors(), TimesOther{},
                   [&] { at::native::foreach_tensor_mul_list_kernel_slow_(self, other); });
}

std::vector<at::Tensor> foreach_mul_tensor(at::TensorList self, const at::Tensor& other) {
  return foreach_new(Lists<1>{self}, factor_of(other), TimesFactor{}, [&] {
    return at::native::foreach_tensor_mul_tensor_kernel_slow(self, other);
  });
}
void foreach_mul_tensor_(at::TensorList self, const at::Tensor& other) {
  foreach_in_place(Lists<1>{self}, factor_of(other), TimesFactor{},
                   [&] { at::native::foreach_tensor_mul_tensor_kernel_slow_(self, other); });
}

std::vector<at::Tensor> foreach_div_scalar(at::TensorList self, const at::Scalar& scalar) {
  return foreach_new(Lists<1>{self}, Factors(scalar), OverFactor{}, [&] {
    return at::native::foreach_tensor_div_scalar_kernel_slow(self, scalar);
  });
}
void foreach_div_scalar_(at::TensorList self, const at::Scalar& scalar) {
  foreach_in_place(Lists<1>{self}, Factors(scalar), OverFactor{},
                   [&] { at::native::foreach_tensor_div_scalar_kernel_slow_(self, scalar); });
}

std::vector<at::Tensor> foreach_div_scalarlist(at::TensorList self,
                                               at::ArrayRef<at::Scalar> scalars) {
  return foreach_new(Lists<1>{self}, Factors(scalars), OverFactor{}, [&] {
    return at::native::foreach_tensor_div_scalarlist_kernel_slow(self, scalars);
  });
}
void foreach_div_scalarlist_(at::TensorList self, at::ArrayRef<at::Scalar> scalars) {
  foreach_in_place(Lists<1>{self}, Factors(scalars), OverFactor{},
                   [&] { at::native::foreach_tensor_div_scalarlist_kernel_slow_(self, scalars); });
}

std::vector<at::Tensor> foreach_div_list(at::TensorList self, at::TensorList other) {
  return foreach_new(Lists<2>{self, other}, Factors(), OverOther{},
                     [&] { return at::native::foreach_tensor_div_list_kernel_slow(self, other); });
}
void foreach_div_list_(at::TensorList self, at::TensorList other) {
  foreach_in_place(Lists<2>{self, other}, Factors(), OverOther{},
                   [&] { at::native::foreach_tensor_div_list_kernel_slow_(self, other); });
}

std::vector<at::Tensor> foreach_div_tensor(at::TensorList self, const at::Tensor& other) {
  return foreach_new(Lists<1>{self}, factor_of(other), OverFactor{}, [&] {
    return at::native::foreach_tensor_div_tensor_kernel_slow(self, other);
  });
}
void foreach_div_tensor_(at::TensorList self, const at::Tensor& other) {
  foreach_in_place(Lists<1>{self}, factor_of(other), OverFactor{},
                   [&] { at::native::foreach_tensor_div_tensor_kernel_slow_(self, other); });
}

}  // namespace alt::kernels
