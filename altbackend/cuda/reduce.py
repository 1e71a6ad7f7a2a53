"""Kernels of the reductions: one module for a reduction and the dtypes of its operands.

The structs are those of ``csrc/ops/reduction.h``; the loop is ``loops/reduce.cuh``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from altbackend import _C
from altbackend.cuda import dtypes, table
from altbackend.cuda.arguments import ReduceArgs
from altbackend.cuda.errors import CudaError

# Reductions that csrc/kernels runs itself: the struct, and how it is made of the scalars.
OWN = {
    "sum": "Sum<{T}>{}",
    "mean": "Mean<{T}>{}",
    "nansum": "NanSum<{T}>{}",
    "std_var": "Variance{{a.scalars[0].real, a.scalars[1].integer != 0}}",
    "count_nonzero": "CountNonzero{}",
    "max": "Arg<alt::ops::Maximum<{T}>>{}",
    "min": "Arg<alt::ops::Minimum<{T}>>{}",
    "aminmax": "MinimumAndMaximum<{T}>{}",
    "norm_zero": "NormZero<{T}>{}",
    "norm_one": "NormOne<{T}>{}",
    "norm_two": "NormTwo<{T}>{}",
    "norm_infinity": "NormInfinity<{T}>{}",
    "norm_minus_infinity": "NormMinusInfinity<{T}>{}",
    "norm": "Norm<{T}>(alt::scalar<{T}>(a.scalars[0]))",
}
_REAL = {"complex64": "float32", "complex128": "float64"}


@dataclass(frozen=True)
class Key:
    """What a module is compiled for."""

    name: str  # a row of the table, or one of OWN
    input: str
    outputs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}({self.input}) -> {', '.join(self.outputs)}"


def key(name: str, input: str, outputs: Sequence[str]) -> Key:
    """The module for operands of these dtypes."""
    row = table.reduction_rows().get(name)
    if row is None and name not in OWN:
        raise CudaError(f"'{name}' is no reduction")
    if row is not None and row.types == "real" and input.startswith("complex"):
        raise NotImplementedError(f"\"{row.body}\" not implemented for '{input}'")
    return Key(name, input, tuple(outputs))


def accumulates_in(key: Key) -> str:
    """The dtype T of the struct."""
    dtype = dtypes.opmath(key.input)
    if key.name.startswith("norm"):
        dtype = _REAL.get(dtype, dtype)  # of magnitudes
    integral = dtype == "bool" or dtype.startswith(("int", "uint"))
    return "int64" if integral and dtype != "uint64" else dtype


def entries(key: Key, prefix: str = "") -> str:
    """The kernels `reduce` and `finish` of a key, their names behind `prefix`."""
    row = table.reduction_rows().get(key.name)
    if row is None:
        made = OWN[key.name]
    else:
        made = f"{row.body}<{'bool' if row.types == 'bool' else '{T}'}>" + "{}"
    made = made.replace("{T}", dtypes.CPP[accumulates_in(key)])
    made = made.replace("{{", "{").replace("}}", "}")
    outputs = [dtypes.CPP[d] for d in key.outputs] + ["void"] * (2 - len(key.outputs))
    magnitudes = "true" if key.name.startswith("norm") else "false"
    loop = (
        f"alt::Reduce<decltype({prefix}make(arguments)), {dtypes.CPP[key.input]}, "
        f"{', '.join(outputs)}, {magnitudes}>"
    )
    return f"""// {key}
ALT_FN auto {prefix}make([[maybe_unused]] const alt::ReduceArgs& a) {{
  return alt::ops::{made};
}}
ALT_KERNEL({prefix}reduce, alt::ReduceArgs) {{
  {loop}::reduce(arguments, {prefix}make(arguments));
}}
ALT_KERNEL({prefix}finish, alt::ReduceArgs) {{
  {loop}::finish(arguments, {prefix}make(arguments));
}}
"""


INCLUDES = '#include "loops/kernel.cuh"\n#include "loops/reduce.cuh"\n#include "ops/reduction.h"\n'


def source(key: Key) -> str:
    """A module's text."""
    return INCLUDES + entries(key)


@dataclass(frozen=True)
class Plan:
    """A launch of `reduce`; where `parts_bytes` is not 0, of `finish` after it."""

    arguments: ReduceArgs
    grid: tuple[int, int]
    block: tuple[int, int]
    parts_bytes: int  # of accumulators that `arguments.parts` must hold
    finish_grid: tuple[int, int]
    finish_block: tuple[int, int]


def plan(
    input: int,
    outputs: Sequence[int],
    sizes: Sequence[int],
    in_strides: Sequence[int],
    out_strides: Sequence[Sequence[int]],
    reduced: Sequence[int],
    scalars: Sequence[float] = (),
) -> Plan:
    """How C++ reduces the dimensions `reduced` of a tensor of at least one element.

    `out_strides` have as many dimensions as `sizes`; those of reduced ones do not matter.
    """
    kept = [
        (sizes[d], in_strides[d], [s[d] for s in out_strides])
        for d in reversed(range(len(sizes)))
        if d not in reduced
    ]
    dims = [(sizes[d], in_strides[d]) for d in sorted(reduced, reverse=True)]
    numbers = [float(s) for s in scalars]
    made, grid, block, parts_bytes, finish_grid, finish_block = _C.cuda_reduce_plan(
        input, list(outputs), kept, dims, numbers
    )
    arguments = ReduceArgs.from_buffer_copy(made)
    return Plan(arguments, grid, block, parts_bytes, finish_grid, finish_block)
