"""Compiles CUDA kernels with g++ and runs them on the CPU (tests/cuda_simulation/cuda.h).

With ALT_CUDA_TESTS=gpu the same tests run them on a GPU instead (tests/cuda_gpu.py).
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Sequence
from typing import Any

import torch
from cuda_compiler import compiled
from cuda_gpu import Gpu, nested

CANARY = 0x5A
ON_GPU = os.environ.get("ALT_CUDA_TESTS") == "gpu"


@functools.cache
def gpu() -> Gpu:
    return Gpu()


class Library:
    """Compiled kernels."""

    def __init__(self, source: str):
        self.source = source
        self.simulated = None if ON_GPU else simulated(source)

    def listen(self, record: ctypes.Structure | None) -> None:
        """Where the kernels are to write failures. On a GPU they have a record of their own."""
        if self.simulated is not None:
            address = None if record is None else ctypes.addressof(record)
            ctypes.c_void_p.in_dll(self.simulated, "alt_failure").value = address


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@functools.cache
def simulate(source: str) -> Library:
    """The kernels of `source`, ready to be launched."""
    return Library(source)


def simulated(source: str) -> ctypes.CDLL:
    """The kernels of `source` as functions of a library."""
    return ctypes.CDLL(str(compiled(source)))


def launch(
    library: Library,
    name: str,
    arguments: ctypes.Structure,
    grid: Sequence[int] = (1,),
    block: Sequence[int] = (128,),
    *,
    tensors: Sequence[Any] = (),
    tables: Sequence[torch.Tensor] = (),
    backwards: bool = False,
) -> None:
    """Runs one kernel over its grid; simulated, threads in order or last to first.

    `tensors` are all that it reads and writes, and `tables` those of them that hold addresses.
    """
    dims = [*(list(grid) + [1, 1])[:3], *(list(block) + [1, 1])[:3]]
    if library.simulated is None:
        gpu().launch(library.source, name, arguments, dims, nested(tensors), tables)
        return
    kernel = getattr(library.simulated, name)
    kernel.restype = ctypes.c_char_p
    error = kernel(ctypes.byref(arguments), (ctypes.c_uint * 6)(*dims), int(backwards))
    assert error is None, f"{name}: {error.decode()}"


def assert_near(given: torch.Tensor, expected: torch.Tensor, bound: float, where: str) -> None:
    """Numbers within `bound`, relative and absolute; NaN where there is to be NaN."""
    torch.testing.assert_close(
        given,
        expected,
        rtol=bound,
        atol=bound,
        equal_nan=True,
        msg=lambda message: f"{where}: {message}",
    )


class Guarded:
    """A tensor amid bytes that no kernel may write."""

    EDGE = 256

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, like: torch.Tensor | None = None):
        wanted = torch.empty(tuple(shape), dtype=dtype)
        if like is not None and like.shape == wanted.shape:
            wanted = torch.empty_like(like, dtype=dtype)
        size = max(wanted.numel(), 1) * wanted.element_size()
        self.bytes = torch.full((size + 2 * self.EDGE,), CANARY, dtype=torch.uint8)
        inside = self.bytes[self.EDGE : self.EDGE + size].view(dtype)
        self.tensor = inside.as_strided(wanted.shape, wanted.stride())

    def check(self) -> None:
        edges = torch.cat([self.bytes[: self.EDGE], self.bytes[-self.EDGE :]])
        assert bool((edges == CANARY).all()), "a kernel wrote outside of its output"
