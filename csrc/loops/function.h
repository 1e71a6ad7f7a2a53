// ALT_FN marks a function that both engines compile: g++ into the host loops, NVRTC into CUDA
// kernels. ALT_TABLE marks an array of constants that such a function reads.
#pragma once

#if defined(__CUDACC__)
#define ALT_FN __device__ __forceinline__
#define ALT_TABLE __device__ constexpr
#else
#define ALT_FN inline __attribute__((always_inline))
#define ALT_TABLE inline constexpr
#endif

namespace alt {

/// What an operator or a reduction with two results returns.
template <class A, class B = A>
struct Two {
  A first;
  B second;
};

}  // namespace alt
