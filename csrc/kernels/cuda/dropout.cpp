#include "kernels/cuda/dropout.h"

#include "kernels/cuda/launches.h"

namespace alt::kernels::cuda {

void masked_scale(const at::Tensor& values, const at::Tensor& mask, double factor,
                  const at::Tensor& result) {
  launch_elements(kernel("masked_scale", {values.scalar_type()}), values.numel(),
                  dense_arguments({result, values, mask}, {values.numel()}, {factor}));
}

}  // namespace alt::kernels::cuda
