// Sorting and scanning on the GPU: Thrust and CUB through CuPy (altbackend/cuda/sort.py, scan.py).
// Scans of half types are computed in float.
#include <ATen/core/Tensor.h>

#include "kernels/cuda/array.h"
#include "kernels/operands.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;

Tensor wide(const Tensor& tensor) {
  return tensor.to(opmath_dtype(tensor.scalar_type()));
}

}  // namespace

void sort(const at::TensorBase& self, const at::TensorBase& values, const at::TensorBase& indices,
          int64_t dim, bool descending, bool /*stable*/) {
  if (values.numel() == 0) return;
  check_type<AllTypesAndHalf>(self.scalar_type(), "sorting_kernel_method_name");
  call_array("sort.sort", {Tensor(self)}, {Tensor(values), Tensor(indices)},
             {{"dim", dim}, {"descending", descending}});
}

void topk(const Tensor& self, int64_t k, int64_t dim, bool largest, bool /*sorted*/,
          const Tensor& values, const Tensor& indices) {
  TORCH_CHECK(self.scalar_type() != at::kBool, "topk does not support bool dtypes on CPU");
  if (values.numel() == 0) return;
  check_type<AllTypesAndHalf>(self.scalar_type(), "topk_cpu");
  call_array("sort.topk", {self}, {values, indices},
             {{"k", k}, {"dim", dim}, {"largest", largest}});
}

void cumsum(const Tensor& result, const Tensor& self, int64_t dim) {
  check_type<AllTypesAndComplexAndHalf>(self.scalar_type(), "cumsum_out_cpu");
  call_array("scan.cumsum", {wide(self)}, {result}, {{"dim", dim}});
}

void cumprod(const Tensor& result, const Tensor& self, int64_t dim) {
  check_type<AllTypesAndComplexAndHalf>(self.scalar_type(), "cumprod_out_cpu");
  call_array("scan.cumprod", {wide(self)}, {result}, {{"dim", dim}});
}

void cummax_helper(const Tensor& self, Tensor& values, Tensor& indices, int64_t dim) {
  call_array("scan.cummax", {self}, {values, indices}, {{"dim", dim}});
}

void cummin_helper(const Tensor& self, Tensor& values, Tensor& indices, int64_t dim) {
  call_array("scan.cummin", {self}, {values, indices}, {{"dim", dim}});
}

}  // namespace alt::kernels::cuda
