"""What the CUDA engine raises where it cannot go on: one line that says the cure."""

from __future__ import annotations


class CudaError(RuntimeError):
    """The CUDA engine is not usable here, or could not do what it was asked."""


class CompileError(CudaError):
    """NVRTC refused a kernel."""
