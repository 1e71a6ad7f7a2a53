// torch.autocast("alt"): which operators run in the low precision, which in float32. The lists are
// PyTorch's own (those of CUDA), so a script's autocast regions mean here what they mean there.
#include "dispatch/autocast.h"

#include <ATen/autocast_mode.h>
#include <torch/library.h>

namespace alt {

at::Tensor in_autocast_dtype(const at::Tensor& tensor) {
  const auto device = at::kPrivateUse1;
  if (!at::autocast::is_autocast_enabled(device)) return tensor;
  return at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), tensor, device);
}

at::Tensor in_autocast_float32(const at::Tensor& tensor) {
  const auto device = at::kPrivateUse1;
  if (!at::autocast::is_autocast_enabled(device)) return tensor;
  return at::autocast::cached_cast(at::kFloat, tensor, device);
}

}  // namespace alt

namespace {

at::Tensor banned_binary_cross_entropy(const at::Tensor&, const at::Tensor&,
                                       const std::optional<at::Tensor>&, int64_t) {
  TORCH_CHECK(false,
              "torch.nn.functional.binary_cross_entropy and torch.nn.BCELoss are unsafe to "
              "autocast.\nMany models use a sigmoid layer right before the binary cross entropy "
              "layer.\nIn this case, combine the two layers using "
              "torch.nn.functional.binary_cross_entropy_with_logits\nor "
              "torch.nn.BCEWithLogitsLoss.  binary_cross_entropy_with_logits and "
              "BCEWithLogits are\nsafe to autocast.");
}

}  // namespace

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  using namespace at;  // PyTorch's macros name its types, not the same in each version, without it
// The lists are macros of PyTorch's that apply a macro to each name.
#define ALT_LOWER_PRECISION(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
#define ALT_FP32(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
#define ALT_FP32_SET_OPT_DTYPE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
#define ALT_PROMOTE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)
  AT_FORALL_LOWER_PRECISION_FP(ALT_LOWER_PRECISION)
  AT_FORALL_FP32(ALT_FP32)
  AT_FORALL_FP32_SET_OPT_DTYPE(ALT_FP32_SET_OPT_DTYPE)
  AT_FORALL_DIFFERENT_REDISPATCH_SIGNATURE(KERNEL_DIFFERENT_REDISPATCH_SIGNATURE_PRIVATEUSEONE)
  AT_FORALL_PROMOTE(ALT_PROMOTE)
#undef ALT_LOWER_PRECISION
#undef ALT_FP32
#undef ALT_FP32_SET_OPT_DTYPE
#undef ALT_PROMOTE
  m.impl("binary_cross_entropy", TORCH_FN(banned_binary_cross_entropy));
}
