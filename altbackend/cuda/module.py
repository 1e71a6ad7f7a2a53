"""Loaded modules and their kernels' handles, which C++ asks for once and launches without Python.

A handle is a ``CUfunction`` as an int. Every kernel takes one struct of csrc/loops/arguments.h, so
``void* parameters[] = {&arguments}`` is all that ``cuLaunchKernel`` needs beside it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from altbackend.cuda import compile as compiler
from altbackend.cuda import failure, kernels, pointwise, reduce


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


def _entries(name: str, source: str, device: int, entries: Sequence[str]) -> list[int]:
    module = load(name, source, device)
    return [module.get_function(entry).ptr for entry in entries]


def handles(
    kind: str, name: str, given: Sequence[str], outputs: int, device: int
) -> tuple[int, int, int]:
    """What C++ asks for once (csrc/loops/cuda/launch.h): two handles, and the lanes of the first.

    `given` are dtypes: of a pointwise kernel what it computes in, its outputs and inputs; of a
    reduction its input and outputs; of another kernel those of its template.
    """
    if kind == "pointwise":
        key = pointwise.key(name, given[0], given[1 : outputs + 1], given[outputs + 1 :])
        first, second = _entries(str(key), pointwise.source(key), device, ("contiguous", "strided"))
        return first, second, pointwise.lanes(key)
    if kind == "reduction":
        reduction = reduce.key(name, given[0], given[1:])
        text = reduce.source(reduction)
        first, second = _entries(str(reduction), text, device, ("reduce", "finish"))
        return first, second, 1
    chosen = kernels.key(name, *given)
    (only,) = _entries(str(chosen), kernels.source(chosen), device, (name,))
    return only, 0, 1
