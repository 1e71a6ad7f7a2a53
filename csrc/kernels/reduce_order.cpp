// The largest and smallest elements of everything, their values and places along a dimension, and
// both extremes at once: the stubs that take tensors rather than an iterator.
#include <ATen/core/Tensor.h>
#include <c10/core/WrapDimMinimal.h>

#include "loops/reduce.h"

namespace alt::kernels {
namespace {

/// `shape` gives the Reduction, of where the tensors lie now.
template <template <class> class Op, class Shape>
void reduce_tensor(const char* name, const at::Tensor& self, const Shape& shape, const char* on_gpu,
                   at::TensorList outputs) {
  const auto reduce = [&](const Reduction& walked) {
    visit<RealReduction>(reduction_dtype(self.scalar_type()), name,
                         [&]<class T>() { run_reduction(walked, Op<T>{}, {on_gpu}); });
  };
  const Reduction walked = shape();
  if (!alt::cuda::on_gpu() || alt::cuda::fits(walked)) return reduce(walked);
  HostCall host_call(on_gpu);
  host_call.read(self);
  host_call.write(outputs);
  host_call.run([&] { reduce(shape()); });
}

template <class T>
using MaximumAndPlace = ops::Arg<ops::Maximum<T>>;
template <class T>
using MinimumAndPlace = ops::Arg<ops::Minimum<T>>;

}  // namespace

void max_all(at::Tensor& result, const at::Tensor& self) {
  reduce_tensor<ops::Maximum>(
      "max_all", self, [&] { return Reduction(self, {result}); }, "max_values_stub", result);
}

void min_all(at::Tensor& result, const at::Tensor& self) {
  reduce_tensor<ops::Minimum>(
      "min_all", self, [&] { return Reduction(self, {result}); }, "min_values_stub", result);
}

void max_dim(const at::Tensor& values, const at::Tensor& indices, const at::Tensor& self,
             int64_t dim, bool) {
  reduce_tensor<MaximumAndPlace>("max_cpu", self,
                                 [&] { return Reduction(self, dim, {values, indices}); }, "max",
                                 {values, indices});
}

void min_dim(const at::Tensor& values, const at::Tensor& indices, const at::Tensor& self,
             int64_t dim, bool) {
  reduce_tensor<MinimumAndPlace>("min_cpu", self,
                                 [&] { return Reduction(self, dim, {values, indices}); }, "min",
                                 {values, indices});
}

void aminmax_dim(const at::Tensor& self, int64_t dim, bool, at::Tensor& min, at::Tensor& max) {
  const int64_t wrapped = c10::maybe_wrap_dim(dim, self.dim());
  reduce_tensor<ops::MinimumAndMaximum>("aminmax_cpu", self,
                                        [&] { return Reduction(self, wrapped, {min, max}); },
                                        "aminmax", {min, max});
}

void aminmax_all(const at::Tensor& self, at::Tensor& min, at::Tensor& max) {
  reduce_tensor<ops::MinimumAndMaximum>(
      "aminmax_cpu", self, [&] { return Reduction(self, {min, max}); }, "aminmax", {min, max});
}

}  // namespace alt::kernels
