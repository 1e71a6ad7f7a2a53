// The largest and smallest elements, their places, and both at once.
#include "kernels/reduce.h"

namespace alt::kernels {

void amax(at::TensorIterator& iter) {
  with_real_type(iter.input_dtype(), "max_values_cpu",
                 [&]<class T>() { run_reduction(iter, ops::Maximum<T>{}); });
}

void amin(at::TensorIterator& iter) {
  with_real_type(iter.input_dtype(), "min_values_cpu",
                 [&]<class T>() { run_reduction(iter, ops::Minimum<T>{}); });
}

void max_all(at::Tensor& result, const at::Tensor& self) {
  with_real_type(self.scalar_type(), "max_all",
                 [&]<class T>() { run_reduction(Reduction(self, {result}), ops::Maximum<T>{}); });
}

void min_all(at::Tensor& result, const at::Tensor& self) {
  with_real_type(self.scalar_type(), "min_all",
                 [&]<class T>() { run_reduction(Reduction(self, {result}), ops::Minimum<T>{}); });
}

void max_dim(const at::Tensor& values, const at::Tensor& indices, const at::Tensor& self,
             int64_t dim, bool) {
  with_real_type(self.scalar_type(), "max_cpu", [&]<class T>() {
    run_reduction(Reduction(self, dim, {values, indices}), ops::Arg<ops::Maximum<T>>{});
  });
}

void min_dim(const at::Tensor& values, const at::Tensor& indices, const at::Tensor& self,
             int64_t dim, bool) {
  with_real_type(self.scalar_type(), "min_cpu", [&]<class T>() {
    run_reduction(Reduction(self, dim, {values, indices}), ops::Arg<ops::Minimum<T>>{});
  });
}

namespace {

// Only the place is stored: the operator's second result, through the shape's first output.
template <class Op>
struct PlaceOf : Op {
  int64_t project(typename Op::Acc acc, int64_t) const { return acc.index; }
};

}  // namespace

void argmax(at::TensorIterator& iter) {
  with_real_type(iter.input_dtype(), "argmax_cpu",
                 [&]<class T>() { run_reduction(iter, PlaceOf<ops::Arg<ops::Maximum<T>>>{}); });
}

void argmin(at::TensorIterator& iter) {
  with_real_type(iter.input_dtype(), "argmin_cpu",
                 [&]<class T>() { run_reduction(iter, PlaceOf<ops::Arg<ops::Minimum<T>>>{}); });
}

void aminmax_dim(const at::Tensor& self, int64_t dim, bool, at::Tensor& min, at::Tensor& max) {
  with_real_type(self.scalar_type(), "aminmax_cpu", [&]<class T>() {
    run_reduction(Reduction(self, at::maybe_wrap_dim(dim, self.dim()), {min, max}),
                  ops::MinimumAndMaximum<T>{});
  });
}

void aminmax_all(const at::Tensor& self, at::Tensor& min, at::Tensor& max) {
  with_real_type(self.scalar_type(), "aminmax_all", [&]<class T>() {
    run_reduction(Reduction(self, {min, max}), ops::MinimumAndMaximum<T>{});
  });
}

}  // namespace alt::kernels
