// isin and repeat_interleave on the GPU, of operators.
#include <ATen/ops/arange.h>
#include <ATen/ops/searchsorted.h>

#include <optional>

#include "kernels/operands.h"

namespace alt::kernels::cuda {

/// Where there are many elements to test, PyTorch's front-end sorts them.
void isin_default(const at::Tensor& elements, const at::Tensor& test_elements, bool invert,
                  const at::Tensor& out) {
  check_type<concat_t<IntegralTypes, FloatingAndHalfTypes>>(elements.scalar_type(),
                                                            "isin_default_cpu");
  const at::Tensor found = elements.unsqueeze(-1).eq(test_elements.reshape(-1)).any(-1);
  out.copy_(invert ? found.logical_not() : found);
}

/// An element of the result belongs to the first count that ends behind it.
at::Tensor repeat_interleave(const at::Tensor& repeats, std::optional<int64_t> output_size) {
  TORCH_CHECK(repeats.dim() == 1, "repeat_interleave only accept 1D vector as repeat");
  check_type<TypeList<int64_t, int32_t>>(repeats.scalar_type(), "repeat_interleave_cpu");
  if (repeats.numel() == 0) return at::empty({0}, repeats.options());
  TORCH_CHECK(repeats.min().item<int64_t>() >= 0, "repeats can not be negative");
  const at::Tensor ends = repeats.cumsum(0);
  const auto total = ends[-1].item<int64_t>();
  TORCH_CHECK(output_size.value_or(total) == total, "allocated size does not match required size");
  return at::searchsorted(ends, at::arange(total, ends.options()),
                          /*out_int32=*/repeats.scalar_type() == at::kInt, /*right=*/true);
}

}  // namespace alt::kernels::cuda
