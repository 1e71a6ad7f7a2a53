"""The CUDA engine's start: whether CuPy can use the GPUs that the driver lists, and what with.

C++ (csrc/runtime/cuda/engine.cpp) asks once, and only where the driver lists a GPU.
"""

from __future__ import annotations

from altbackend.cuda import device
from altbackend.cuda.errors import CudaError


def start() -> tuple[int, str]:
    """How many GPUs there are to compute with, and what with; or 0, and one line why not."""
    try:
        found = device.count()
        import cupy
        from cupy.cuda import runtime

        toolkit = device.version_name(runtime.runtimeGetVersion())
        driver = device.version_name(runtime.driverGetVersion())
    except CudaError as error:
        return 0, str(error)
    except Exception as error:  # a CuPy that is broken in any way leaves the host to compute
        text = " ".join(str(error).split())
        return 0, f"CuPy does not work here ({type(error).__name__}: {text}); install it anew"
    return found, f"CuPy {cupy.__version__} for CUDA {toolkit}, driver for CUDA {driver}"
