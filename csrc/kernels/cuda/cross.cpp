// altbackend/cuda/kernels/cross.cuh.
#include "kernels/cuda/launches.h"
#include "kernels/operands.h"

namespace alt::kernels::cuda {

void cross(const at::Tensor& result, const at::Tensor& a, const at::Tensor& b, const int64_t dim) {
  using Types = concat_t<concat_t<IntegralTypes, FloatingAndComplexTypes>, HalfTypes>;
  check_dtype(b, a.scalar_type());
  check_type<Types>(result.scalar_type(), "cross");
  if (result.numel() == 0) return;
  const auto vectors = [dim](const at::Tensor& tensor) {
    TensorArgs args = tensor_args(tensor);
    args.sizes[dim] = 1;
    return args;
  };
  launch_elements(kernel("cross", {result.scalar_type()}), result.numel() / 3,
                  arguments({vectors(result), vectors(a), vectors(b)},
                            {result.stride(dim), a.stride(dim), b.stride(dim)}));
}

}  // namespace alt::kernels::cuda
