"""Operators on arrays, called by csrc/kernels/cuda with alt's tensors.

A tensor's memory is seen as an array where it lies; nothing is copied but the results.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch

import altbackend.alt as alt
from altbackend.cuda.array import Array
from altbackend.cuda.stream import on_stream

__all__ = ["as_array", "call"]

_TORCH_DTYPES = {
    str(d).removeprefix("torch."): d
    for d in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
        torch.float32, torch.float64, torch.complex64, torch.complex128, torch.uint16,
        torch.uint32, torch.uint64,
    )
}  # fmt: skip


def as_array(t: torch.Tensor) -> Array:
    """A CuPy array that is the tensor's memory, and keeps it."""
    import cupy

    dtype = str(t.dtype).removeprefix("torch.")
    if t.numel() == 0:
        return cupy.empty(tuple(t.shape), dtype=dtype)
    size = t.element_size()
    extent = 1 + sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True))
    memory = cupy.cuda.UnownedMemory(t.data_ptr(), extent * size, t, t.device.index)
    return cupy.ndarray(
        tuple(t.shape),
        dtype=dtype,
        memptr=cupy.cuda.MemoryPointer(memory, 0),
        strides=tuple(s * size for s in t.stride()),
    )


def _new(result: Array, device: torch.device) -> torch.Tensor:
    made = torch.empty(result.shape, dtype=_TORCH_DTYPES[str(result.dtype)], device=device)
    as_array(made)[...] = result
    return made


def call(
    function: str, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor], named: dict
) -> list[torch.Tensor]:
    """`function` ("sort.sort") on the inputs. Its results go to `outputs`, or are new tensors."""
    module, name = function.split(".")
    operator = getattr(importlib.import_module(f"altbackend.cuda.{module}"), name)
    device = inputs[0].device
    with on_stream(alt.current_stream(device).stream_id):
        given: Any = operator(*(as_array(t) for t in inputs), **named)
        results = given if isinstance(given, tuple) else (given,)
        if not outputs:
            return [_new(r, device) for r in results]
        for to, result in zip(outputs, results, strict=True):
            as_array(to)[...] = result
    return []
