"""Whether the CUDA engine can run here, and if not, why: one line that says the cure."""

from __future__ import annotations

from altbackend.cuda import compile as compiler
from altbackend.cuda.errors import CudaError


def version_name(version: int) -> str:
    """12090 is CUDA 12.9."""
    return f"{version // 1000}.{version % 1000 // 10}"


def count() -> int:
    """How many GPUs there are to compute with; CudaError where there is none, or no way to."""
    nvrtc = compiler.nvrtc()
    from cupy.cuda import runtime

    toolkit, driver = runtime.runtimeGetVersion(), runtime.driverGetVersion()
    major = toolkit // 1000
    if nvrtc.getVersion()[0] != major:
        found = "{}.{}".format(*nvrtc.getVersion())
        raise CudaError(
            f"CuPy is built for CUDA {major}, but finds the NVRTC of CUDA {found}; "
            f"install the cupy-cuda{nvrtc.getVersion()[0]}x or the NVRTC of CUDA {major}"
        )
    if driver == 0:
        raise CudaError("no NVIDIA driver is loaded; the CUDA engine needs one, and a GPU")
    if driver // 1000 < major:
        raise CudaError(
            f"CuPy is built for CUDA {version_name(toolkit)}, "
            f"but the driver knows CUDA {version_name(driver)}; "
            f"install a newer driver, or altbackend[cuda{driver // 1000}]"
        )
    try:
        devices = runtime.getDeviceCount()
    except Exception as error:  # CUDARuntimeError, whose module changes between versions of CuPy
        raise CudaError(f"CUDA finds no GPU: {str(error).splitlines()[0]}") from error
    if devices == 0:
        raise CudaError("CUDA finds no GPU")
    return devices
