// The largest and smallest elements of everything, their values and places along a dimension, and
// both extremes at once: the stubs that take tensors rather than an iterator.
#include <ATen/core/Tensor.h>
#include <c10/core/WrapDimMinimal.h>

#include "loops/reduce.h"

namespace alt::kernels {
namespace {

template <template <class> class Op>
void reduce_tensor(const char* name, const at::Tensor& self, const Reduction& shape,
                   const char* on_gpu) {
  visit<RealReduction>(reduction_dtype(self.scalar_type()), name,
                       [&]<class T>() { run_reduction(shape, Op<T>{}, {on_gpu}); });
}

template <class T>
using MaximumAndPlace = ops::Arg<ops::Maximum<T>>;
template <class T>
using MinimumAndPlace = ops::Arg<ops::Minimum<T>>;

}  // namespace

void max_all(at::Tensor& result, const at::Tensor& self) {
  reduce_tensor<ops::Maximum>("max_all", self, Reduction(self, {result}), "max_values_stub");
}

void min_all(at::Tensor& result, const at::Tensor& self) {
  reduce_tensor<ops::Minimum>("min_all", self, Reduction(self, {result}), "min_values_stub");
}

void max_dim(const at::Tensor& values, const at::Tensor& indices, const at::Tensor& self,
             int64_t dim, bool) {
  reduce_tensor<MaximumAndPlace>("max_cpu", self, Reduction(self, dim, {values, indices}), "max");
}

void min_dim(const at::Tensor& values, const at::Tensor& indices, const at::Tensor& self,
             int64_t dim, bool) {
  reduce_tensor<MinimumAndPlace>("min_cpu", self, Reduction(self, dim, {values, indices}), "min");
}

void aminmax_dim(const at::Tensor& self, int64_t dim, bool, at::Tensor& min, at::Tensor& max) {
  const Reduction shape(self, c10::maybe_wrap_dim(dim, self.dim()), {min, max});
  reduce_tensor<ops::MinimumAndMaximum>("aminmax_cpu", self, shape, "aminmax");
}

void aminmax_all(const at::Tensor& self, at::Tensor& min, at::Tensor& max) {
  reduce_tensor<ops::MinimumAndMaximum>("aminmax_cpu", self, Reduction(self, {min, max}),
                                        "aminmax");
}

}  // namespace alt::kernels
