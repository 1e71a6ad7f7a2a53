"""cupy.cuda.driver: the simulated driver, by ctypes."""

from __future__ import annotations

import ctypes
import os
from typing import Any

library = ctypes.CDLL(os.environ["ALT_CUDA_DRIVER"])


class CUDADriverError(RuntimeError):
    """A call that did not succeed."""

    def __init__(self, status: int):
        name = ctypes.c_char_p()
        library.cuGetErrorName(status, ctypes.byref(name))
        super().__init__(f"{(name.value or b'error').decode()} ({status})")
        self.status = status


def check(status: int) -> None:
    """Raises for a call that did not succeed."""
    if status != 0:
        raise CUDADriverError(status)


def device_of(address: int) -> int:
    """The device in whose memory an address lies; the current one for memory of NumPy's."""
    from cupy.cuda import runtime

    device = ctypes.c_int()
    status = library.cuPointerGetAttribute(ctypes.byref(device), 9, ctypes.c_uint64(address))
    return device.value if status == 0 else runtime.getDevice()


def launchKernel(function: int, *arguments: Any) -> None:
    """cuLaunchKernel; the grid, the block, shared bytes, a stream, parameters and extra."""
    dims, (shared, stream, parameters, extra) = arguments[:6], arguments[6:]
    check(
        library.cuLaunchKernel(
            ctypes.c_void_p(function),
            *map(int, dims),
            shared,
            ctypes.c_void_p(stream),
            ctypes.c_void_p(parameters),
            ctypes.c_void_p(extra),
        )
    )
