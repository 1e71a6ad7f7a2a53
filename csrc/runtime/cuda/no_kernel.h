// What a twin of the CUDA engine says where it has no kernel for a call, for its dtypes, say.
#pragma once

#include <c10/util/Exception.h>

#include <string>

namespace alt::cuda {

/// Thrown before anything is written, so that the host's kernel can be called on copies instead.
class NoKernel : public c10::NotImplementedError {
  using c10::NotImplementedError::NotImplementedError;
};

template <class... Text>
[[noreturn]] void no_kernel(const Text&... text) {
  throw NoKernel({__func__, __FILE__, static_cast<uint32_t>(__LINE__)}, c10::str(text...));
}

}  // namespace alt::cuda
