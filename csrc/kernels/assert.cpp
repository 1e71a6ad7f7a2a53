// Assertions about a tensor's value. The host engine has no queue, so they are checked at once.
#include <ATen/core/Tensor.h>

#include <string_view>

namespace alt::kernels {

void assert_async_msg(const at::Tensor& self, std::string_view message) {
  TORCH_CHECK(self.is_nonzero(), message.empty() ? "Assertion is failed" : message);
}

void assert_async(const at::Tensor& self) {
  assert_async_msg(self, "Expected Tensor with single nonzero value, but got zero");
}

at::Tensor functional_assert_async_msg(const at::Tensor& self, std::string_view message,
                                       const at::Tensor& dep_token) {
  assert_async_msg(self, message);
  return dep_token.clone();
}

}  // namespace alt::kernels
