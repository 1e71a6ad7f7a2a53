"""The record in which a kernel says that its input was bad (``loops/failure.cuh``).

It lies in pinned memory, one for each device. The runtime looks at it wherever the host waits for
the device: `check` raises what stock raises for the same input on the cpu.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

ZERO_DIVISION, INDEX_OUT_OF_RANGE, BAD_VALUE = 1, 2, 3


class Failure(ctypes.Structure):
    """alt::Failure."""

    _fields_ = [
        ("kind", ctypes.c_int32),
        ("taken", ctypes.c_int32),
        ("value", ctypes.c_int64),
        ("bound", ctypes.c_int64),
    ]


def check(record: Failure) -> None:
    """Raises what the record says, once."""
    kind, value, bound = record.kind, record.value, record.bound
    if kind == 0:
        return
    record.kind = record.taken = 0
    if kind == ZERO_DIVISION:
        raise RuntimeError("ZeroDivisionError")
    if kind == INDEX_OUT_OF_RANGE:
        raise IndexError(f"index {value} is out of bounds for a dimension of size {bound}")
    raise RuntimeError(f"a kernel was given {value}, and takes less than {bound}")


@functools.cache
def _pinned(device: int) -> Any:
    import cupy

    memory = cupy.cuda.alloc_pinned_memory(ctypes.sizeof(Failure))
    ctypes.memset(memory.ptr, 0, ctypes.sizeof(Failure))
    return memory


def record(device: int) -> Failure:
    """The device's record, where the kernels write it."""
    return Failure.from_address(_pinned(device).ptr)


def listen(module: Any, device: int) -> None:
    """Tells a freshly loaded module where the record is."""
    from cupy.cuda import runtime

    address = ctypes.c_uint64(_pinned(device).ptr)
    runtime.memcpy(
        module.get_global_var("alt_failure").ptr,
        ctypes.addressof(address),
        ctypes.sizeof(address),
        runtime.memcpyHostToDevice,
    )
