// ALT_FN marks a function that both engines compile: g++ into the host loops, NVRTC into CUDA
// kernels.
#pragma once

#if defined(__CUDACC__)
#define ALT_FN __device__ __forceinline__
#else
#define ALT_FN inline __attribute__((always_inline))
#endif
