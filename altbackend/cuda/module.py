"""Loaded modules and their kernels' handles, which C++ asks for once and launches without Python.

A handle is a ``CUfunction`` as an int. Every kernel takes one struct of csrc/loops/arguments.h, so
``void* parameters[] = {&arguments}`` is all that ``cuLaunchKernel`` needs beside it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from altbackend.cuda import compile as compiler
from altbackend.cuda import failure, pointwise


@functools.cache
def load(name: str, source: str, device: int) -> Any:
    """`source` compiled for this GPU and loaded there. CuPy's module, kept alive by this cache."""
    import cupy
    from cupy.cuda import function

    binding = compiler.nvrtc()
    capability = int(cupy.cuda.Device(device).compute_capability)
    arch = compiler.architecture(capability, sorted(binding.getSupportedArchs()))
    code = compiler.compile_source(name, source, arch)
    with cupy.cuda.Device(device):
        module = function.Module()
        module.load(code)
        failure.listen(module, device)
    return module


def pointwise_handles(
    name: str, common: str, outputs: Sequence[str], inputs: Sequence[str], device: int
) -> tuple[int, int, int]:
    """Handles of `contiguous` and `strided`, and the lanes of the first."""
    key = pointwise.key(name, common, outputs, inputs)
    module = load(str(key), pointwise.source(key), device)
    return (
        module.get_function("contiguous").ptr,
        module.get_function("strided").ptr,
        pointwise.lanes(key),
    )


def kernel_handle(name: str, source: str, entry: str, device: int) -> int:
    """Handle of one kernel of a module."""
    return load(name, source, device).get_function(entry).ptr
