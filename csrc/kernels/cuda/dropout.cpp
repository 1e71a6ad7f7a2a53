#include "kernels/cuda/dropout.h"

#include "kernels/cuda/launches.h"

namespace alt::kernels::cuda {

void masked_scale(const at::Tensor& values, const at::Tensor& mask, double factor,
                  const at::Tensor& result) {
  launch_elements(kernel("masked_scale", {values.scalar_type()}), values.numel(),
                  arguments({dense_args(result, {}), dense_args(values, {}), dense_args(mask, {})},
                            {values.numel()}, {factor}));
}

}  // namespace alt::kernels::cuda
