"""The record in which a kernel says that its input was bad (``loops/failure.cuh``).

It lies in pinned memory, one for each device. The runtime (csrc/runtime/cuda/failure.h) looks at it
wherever the host waits for the device, and raises what stock raises for the same input on the cpu.
"""

from __future__ import annotations

import ctypes
from typing import Any

from altbackend import _C

ZERO_DIVISION, INDEX_OUT_OF_RANGE, BAD_VALUE, INDEX_OF_DIMENSION = 1, 2, 3, 4


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
    _C.check_failure(ctypes.addressof(record))


def record(device: int) -> Failure:
    """The device's record, where the kernels write it."""
    return Failure.from_address(_C.failure_record(device))


def listen(module: Any, device: int) -> None:
    """Tells a freshly loaded module where the record is."""
    from cupy.cuda import runtime

    address = ctypes.c_uint64(_C.failure_record(device))
    runtime.memcpy(
        module.get_global_var("alt_failure").ptr,
        ctypes.addressof(address),
        ctypes.sizeof(address),
        runtime.memcpyHostToDevice,
    )
