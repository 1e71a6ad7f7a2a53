"""Kernels of the reductions: one module for a reduction and the dtypes of its operands.

The structs are those of ``csrc/ops/reduction.h``; the loop is ``loops/reduce.cuh``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from altbackend.cuda import dtypes, table
from altbackend.cuda.arguments import MAX_DIMS, ReduceArgs, divider, joined, scalar
from altbackend.cuda.errors import CudaError

THREADS = 256
ACCUMULATOR_BYTES = 32  # at most, in `parts`; loops/reduce.cuh asserts it
# Blocks that fill a large GPU; with fewer outputs than that, blocks share them.
ENOUGH_BLOCKS = 512
MOST_SPLITS = 128

# Reductions that csrc/kernels runs itself: the struct, and how it is made of the scalars.
OWN = {
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
    """A launch of `reduce`; where `splits` is more than 1, of `finish` after it."""

    arguments: ReduceArgs
    grid: tuple[int, int]
    block: tuple[int, int]
    splits: int  # accumulators of each output that `parts` must hold


def _up_to_power(n: int, most: int) -> int:
    return min(most, 1 << max(n - 1, 0).bit_length())


def plan(
    input: int,
    outputs: Sequence[int],
    sizes: Sequence[int],
    in_strides: Sequence[int],
    out_strides: Sequence[Sequence[int]],
    reduced: Sequence[int],
    scalars: Sequence[complex | float | int | bool] = (),
) -> Plan:
    """How to reduce the dimensions `reduced` of a tensor of at least one element.

    `out_strides` have as many dimensions as `sizes`; those of reduced ones do not matter.
    """
    kept = [d for d in range(len(sizes)) if d not in reduced]
    kept_shape, (kept_in, *kept_out) = joined(
        [sizes[d] for d in kept],
        [[in_strides[d] for d in kept], *([s[d] for d in kept] for s in out_strides)],
    )
    # The order of what is reduced is the tensor's: indices count it. Only neighbours are joined.
    shape: list[int] = []
    steps: list[int] = []
    for d in sorted(reduced, reverse=True):
        if sizes[d] == 1:
            continue
        if shape and steps[-1] * shape[-1] == in_strides[d]:
            shape[-1] *= sizes[d]
        else:
            shape.append(sizes[d])
            steps.append(in_strides[d])
    if max(len(shape), len(kept_shape)) > MAX_DIMS:
        raise ValueError(f"a kernel takes tensors of at most {MAX_DIMS} dimensions")

    count, n = 1, 1
    for size in shape:
        count *= size
    for size in kept_shape:
        n *= size
    across = bool(kept_in) and (not steps or kept_in[0] < steps[0])
    if across:
        rows = _up_to_power(n, 32 if count > 8 else THREADS)
        lanes = _up_to_power(-(-count // 4), THREADS // rows)
    else:
        lanes = _up_to_power(-(-count // 4), THREADS)
        rows = _up_to_power(n, THREADS // lanes)
    blocks = -(-n // rows)
    splits = 1
    if blocks < ENOUGH_BLOCKS:
        splits = max(1, min(ENOUGH_BLOCKS // blocks, count // (lanes * 16), MOST_SPLITS))

    made = ReduceArgs(outputs=n, count=count, splits=splits, across=across, input=input)
    made.kept_dims, made.reduced_dims = len(kept_shape), len(shape)
    for d, size in enumerate(kept_shape):
        made.kept_sizes[d], made.kept_in[d] = divider(size), kept_in[d]
        for k, stride in enumerate(kept_out):
            made.kept_out[k][d] = stride[d]
    for d, size in enumerate(shape):
        made.reduced_sizes[d], made.reduced_in[d] = divider(size), steps[d]
    for k, address in enumerate(outputs):
        made.out[k] = address
    for k, value in enumerate(scalars):
        made.scalars[k] = scalar(value)
    return Plan(made, (blocks, splits), (rows, lanes) if across else (lanes, rows), splits)
