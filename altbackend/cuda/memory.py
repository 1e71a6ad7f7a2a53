"""Segments of GPUs' memory, from CuPy's default pool: what CuPy gives back, alt can take.

C++ (csrc/runtime/cuda/memory.cpp) cuts them into blocks, and comes here for a new one only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import cupy

# What CuPy hands out lives as long as its object.
_segments: dict[tuple[int, int], Any] = {}


@contextlib.contextmanager
def _pool_of(device: int) -> Iterator[Any]:
    """CuPy's pool, on the device's default stream, which C++ waits for."""
    with cupy.cuda.Device(device), cupy.cuda.Stream.null:
        yield cupy.get_default_memory_pool()


def allocate(device: int, size: int) -> int:
    """The address of `size` bytes, 0 where the device has no more."""
    with _pool_of(device) as pool:
        try:
            memory = pool.malloc(size)
        except cupy.cuda.memory.OutOfMemoryError:
            return 0
    _segments[device, memory.ptr] = memory
    return int(memory.ptr)


def release(device: int, address: int) -> None:
    """Gives a segment back to the pool."""
    with _pool_of(device):
        del _segments[device, address]


def empty_pool(device: int) -> None:
    """Gives the driver back what the pool keeps for later."""
    with _pool_of(device) as pool:
        pool.free_all_blocks()
