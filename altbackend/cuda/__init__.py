"""The CUDA engine: the operators of ``csrc/ops`` and the kernels here, compiled by NVRTC.

Nothing is imported from CuPy until the engine is used. docs/cuda.md says how the parts fit.
"""
