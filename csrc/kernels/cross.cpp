// The cross product along one dimension of size 3, at any strides.
//
// TensorIterator walks all dimensions but that one; each element it stands at is a whole vector.

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>

#include "kernels/iterate.h"
#include "kernels/operands.h"
#include "loops/dtype.h"

namespace alt::kernels {
namespace {

using Types = concat_t<concat_t<IntegralTypes, FloatingAndComplexTypes>, HalfTypes>;

template <class T>
struct Vector {
  T* data;
  int64_t stride;
  auto operator[](int64_t i) const { return static_cast<opmath_t<T>>(data[i * stride]); }
};

}  // namespace

void cross(const at::Tensor& result, const at::Tensor& a, const at::Tensor& b, const int64_t dim) {
  check_dtype(b, a.scalar_type());
  auto iter = at::TensorIteratorConfig()
                  .resize_outputs(false)
                  .declare_static_shape(result.sizes(), /*squash_dims=*/dim)
                  .add_output(result)
                  .add_const_input(a)
                  .add_const_input(b)
                  .build();
  visit<Types>(result.scalar_type(), "cross", [&]<class T>() {
    for_each_row(iter, /*serial=*/false, [&](char** data, const int64_t* strides, int64_t n) {
      for (int64_t i = 0; i < n; ++i) {
        const Vector<const T> x{reinterpret_cast<const T*>(data[1] + i * strides[1]),
                                a.stride(dim)};
        const Vector<const T> y{reinterpret_cast<const T*>(data[2] + i * strides[2]),
                                b.stride(dim)};
        // All three first: the result may be one of the operands.
        const auto first = x[1] * y[2] - x[2] * y[1];
        const auto second = x[2] * y[0] - x[0] * y[2];
        const auto third = x[0] * y[1] - x[1] * y[0];
        T* out = reinterpret_cast<T*>(data[0] + i * strides[0]);
        out[0] = static_cast<T>(first);
        out[result.stride(dim)] = static_cast<T>(second);
        out[2 * result.stride(dim)] = static_cast<T>(third);
      }
    });
  });
}

}  // namespace alt::kernels
