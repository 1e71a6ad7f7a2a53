"""The CUDA engine's pointwise kernels, run on the CPU by a simulation, against stock torch.

No GPU is needed: tests/cuda_simulation compiles the very sources that NVRTC compiles.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from agreement import TOLERANCE, noncontiguous
from cuda_pointwise_cases import DIRECT, NAMES
from cuda_simulator import ON_GPU, Guarded, assert_near, dtype_name, launch, simulate

from altbackend import _C
from altbackend.cuda import arguments, dtypes, failure, pointwise, table
from altbackend.cuda.errors import CudaError

DTYPES = [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64]
ROWS = table.pointwise_rows()
MOST = 12  # samples of an operator and dtype
# Functions that stock itself computes to fewer digits, in float.
LOOSE = {"polygamma_stub": 20, "zeta_stub": 20, "igamma_stub": 8, "igammac_stub": 8}
# Rows of which stock rounds a half type on the way, or overflows in it.
NO_HALF = ("div_trunc_stub", "polygamma_stub")
SPECIAL = ("special_bessel", "special_polynomial", "special_gamma", "special_error")


@dataclass
class Case:
    """Operands and numbers for one launch, and what stock makes of them."""

    key: pointwise.Key
    operands: list[torch.Tensor]
    scalars: tuple
    expected: list[torch.Tensor]


def common_dtype(row: table.PointwiseRow, operands: list[torch.Tensor]) -> torch.dtype:
    common = functools.reduce(torch.promote_types, [t.dtype for t in operands])
    computes_integers = "int64" in row.types
    if not computes_integers and not (common.is_floating_point or common.is_complex):
        common = torch.float32
    return common


def case(
    row: table.PointwiseRow, operands: list[torch.Tensor], scalars: tuple, expected: Any
) -> Case | None:
    """None where alt's host engine would refuse these dtypes too, or shapes are not alike."""
    outputs = list(expected) if isinstance(expected, tuple | list) else [expected]
    common = common_dtype(row, operands)
    if scalars and outputs[0].dtype != torch.bool:  # which numbers promote
        common = torch.promote_types(common, outputs[0].dtype)
    if any(t.shape != torch.broadcast_shapes(*(o.shape for o in operands)) for t in outputs):
        return None
    try:
        key = pointwise.key(
            row.name,
            dtype_name(common),
            [dtype_name(t.dtype) for t in outputs],
            [dtype_name(t.dtype) for t in operands],
        )
    except NotImplementedError:
        return None
    return Case(key, operands, scalars, outputs)


@functools.cache
def operators() -> dict[str, Any]:
    from torch.testing._internal.common_methods_invocations import op_db

    return {f"{op.name}.{op.variant_test_name}".rstrip("."): op for op in op_db}


def operator_of(row: table.PointwiseRow) -> Any:
    name = NAMES.get(row.name, row.name.removesuffix("_stub"))
    found = operators()
    return found.get(name) or found["special." + name.removeprefix("special_")]


def from_samples(row: table.PointwiseRow, dtype: torch.dtype) -> Iterator[Case | None]:
    op = operator_of(row)
    if not op.supports_dtype(dtype, "cpu"):
        return
    taken = []
    for sample in op.sample_inputs("cpu", dtype):
        operands = [sample.input, *sample.args]
        only_tensors = all(isinstance(t, torch.Tensor) for t in operands)
        numbers = {k: v for k, v in sample.kwargs.items() if k != "rounding_mode"}
        if (
            only_tensors
            and len(operands) == row.inputs
            and numbers in ({}, {"approximate": "none"})
        ):
            taken.append((operands, sample.kwargs))
    for operands, named in taken[:: -(-len(taken) // MOST) | 1]:
        yield case(row, operands, (), op.op(*operands, **named))
        spread = [noncontiguous(t) if t.dim() > 0 else t for t in operands]
        yield case(row, spread, (), op.op(*spread, **named))


def numbers(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    if dtype.is_complex:
        return torch.randn(shape, generator=generator, dtype=dtype)
    if not dtype.is_floating_point:
        return torch.randint(-5, 6, shape, generator=generator).to(dtype)
    return (torch.rand(shape, generator=generator, dtype=torch.float64) * 6 - 3).to(dtype)


def directly(row: table.PointwiseRow, dtype: torch.dtype) -> Iterator[Case | None]:
    if "int64" not in row.types and not (dtype.is_floating_point or dtype.is_complex):
        return  # stock's derivatives die of some of these
    function, choices = DIRECT[row.name]
    shapes = [(67,)] * row.inputs
    layouts = [shapes, [(4, 5)] + [(5,), (4, 1), (1, 5)][: row.inputs - 1], [()] * row.inputs]
    for seed, (layout, scalars) in enumerate(itertools.product(layouts, choices)):
        operands = [numbers(s, dtype, 10 * seed + k) for k, s in enumerate(layout)]
        for given in (operands, [noncontiguous(t) if t.dim() > 0 else t for t in operands]):
            try:
                expected = function(*given, *scalars)
            except (RuntimeError, TypeError):
                break  # stock refuses the dtype, or the shapes
            yield case(row, given, scalars, expected)


def copies(row: table.PointwiseRow) -> Iterator[Case | None]:
    """Between all pairs of dtypes; numbers that every one of them has, and a broadcast one."""
    kinds = [torch.float32, torch.int64, torch.bool, torch.float16, torch.bfloat16, torch.uint8]
    kinds += [torch.complex64, torch.complex128, torch.int16, torch.uint32]
    for given, wanted in itertools.product(kinds, kinds):
        x = numbers((4, 9), torch.int64, 1).abs().to(given)
        yield case(row, [noncontiguous(x).T], (), x.T.to(wanted))
        yield case(row, [x[0, :1].expand(9)], (), x[0, :1].expand(9).to(wanted))


def mixed(row: table.PointwiseRow) -> Iterator[Case | None]:
    """Operands that are cast on load and results that are cast on store."""
    if row.name == "copy":
        yield from copies(row)
    if row.name not in ("add_stub", "mul_stub", "lt_stub", "sin_stub", "where_kernel"):
        return
    kinds = [torch.float32, torch.int64, torch.bool, torch.float16, torch.uint8, torch.float64]
    function, scalars = {
        "add_stub": (torch.add, (1,)),
        "mul_stub": (torch.mul, ()),
        "lt_stub": (torch.lt, ()),
        "sin_stub": (torch.sin, ()),
        "where_kernel": (lambda c, x, y: torch.where(c != 0, x, y), ()),
    }[row.name]
    for chosen in itertools.islice(itertools.permutations(kinds, row.inputs), 8):
        if row.name == "where_kernel":
            chosen = (torch.bool, *chosen[1:])  # as its front-end makes it
        operands = [numbers((33,), dtype, k) for k, dtype in enumerate(chosen)]
        yield case(row, operands, scalars, function(*operands))


@functools.cache
def cases() -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {}
    torch.manual_seed(0)
    for name, row in ROWS.items():
        source = directly if name in DIRECT else from_samples
        if name == "copy":
            found[name] = [c for c in mixed(row) if c is not None]
            continue
        kinds = [d for d in DTYPES if d != torch.bfloat16 or name not in NO_HALF]
        made = [c for dtype in kinds for c in source(row, dtype)]
        found[name] = [c for c in [*made, *mixed(row)] if c is not None]
    return found


@pytest.fixture(scope="module")
def library():
    """All modules of all cases, compiled as one; and the prefix of each key's kernels."""
    keys = list(dict.fromkeys(c.key for found in cases().values() for c in found))
    prefixes = {key: f"kernel{i}_" for i, key in enumerate(keys)}
    text = pointwise.includes(keys)
    text += "".join(pointwise.entries(key, prefix) for key, prefix in prefixes.items())
    return simulate(text), prefixes


def run(library, entry: str, c: Case) -> None:
    if c.expected[0].numel() == 0:
        return  # nothing is launched
    compiled, prefixes = library
    outputs = [Guarded(t.shape, t.dtype, like=t) for t in c.expected]
    operands = [o.tensor for o in outputs]
    operands += [t.expand(c.expected[0].shape) for t in c.operands]
    arguments_ = arguments.pointwise(
        [t.data_ptr() for t in operands],
        operands[0].shape,
        [t.stride() for t in operands],
        c.scalars,
    )
    if entry == "contiguous" and not arguments.is_contiguous(
        arguments_, len(outputs), [t.element_size() for t in operands], pointwise.lanes(c.key)
    ):
        return
    name = prefixes[c.key] + entry
    launch(compiled, name, arguments_, grid=(2,), block=(32,), tensors=[*outputs, *c.operands])
    row = ROWS[c.key.name]
    for given, expected in zip(outputs, c.expected, strict=True):
        given.check()
        bound = TOLERANCE.get(expected.dtype, 0) * LOOSE.get(row.name, 1)
        bound *= 4 if row.header in SPECIAL else 1
        assert_near(given.tensor, expected, bound, f"{c.key}, {c.scalars}")


@pytest.mark.parametrize("name", list(ROWS))
def test_agrees_with_stock(library, name: str) -> None:
    found = cases()[name]
    assert found, "nothing to compare"
    for c in found:
        run(library, "strided", c)
        run(library, "contiguous", c)


def test_contiguous_operands_are_moved_in_packs(library) -> None:
    """Where operands lie alike the fast entry is taken, a broadcast number beside them too."""
    x, y = torch.empty(100), torch.empty(())
    made = arguments.pointwise(
        [x.data_ptr(), x.data_ptr(), y.data_ptr()], (10, 10), [(10, 1), (10, 1), (0, 0)]
    )
    assert made.ndim == 1
    assert arguments.is_contiguous(made, 1, [4, 4, 4], 4)
    made.data[1] += 4
    assert not arguments.is_contiguous(made, 1, [4, 4, 4], 4)


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 641, 65536, 2**31 - 1])
def test_division_by_multiplication(divisor: int) -> None:
    _, multiplier, shift = _C.cuda_divider(divisor)
    for n in [0, 1, divisor - 1, divisor, divisor + 1, 2**31 - 2, 2**31 - 1, 123456789]:
        if n < 2**31:
            assert ((n * multiplier >> 32) + n) >> shift == n // divisor


def test_refusals() -> None:
    with pytest.raises(NotImplementedError, match="\"erf\" not implemented for 'complex64'"):
        pointwise.key("erf_stub", "complex64", ["complex64"], ["complex64"])
    with pytest.raises(CudaError, match="no pointwise row 'nonsense'"):
        pointwise.key("nonsense", "float32", ["float32"], ["float32"])
    with pytest.raises(CudaError, match="has 1 output"):
        pointwise.key("add_stub", "float32", ["float32"], ["float32"])
    with pytest.raises(ValueError, match="at most 16 dimensions"):
        arguments.tensor(0, [2] * 17, [1] * 17)
    assert dtypes.opmath("bfloat16") == "float32"


LAYOUT = """
#include <cstddef>
#include "loops/kernel.cuh"
#include "loops/arguments.h"
#include "loops/failure.cuh"
struct Sizes { long* to; };
ALT_KERNEL(layout, Sizes) {
  const long sizes[] = {
      sizeof(alt::TensorArgs), offsetof(alt::TensorArgs, strides), sizeof(alt::PointwiseArgs),
      offsetof(alt::PointwiseArgs, data), offsetof(alt::PointwiseArgs, sizes),
      offsetof(alt::PointwiseArgs, strides), offsetof(alt::PointwiseArgs, scalars),
      offsetof(alt::PointwiseArgs, numbers), sizeof(alt::Failure), offsetof(alt::Failure, value)};
  for (int i = 0; i < 10; ++i) arguments.to[i] = sizes[i];
}
ALT_KERNEL(stuck, Sizes) {
  if (threadIdx.x != 3) __syncthreads();
}
"""


class Sizes(ctypes.Structure):
    _fields_ = [("to", ctypes.c_void_p)]


def test_arguments_are_laid_out_as_in_the_kernels() -> None:
    found = torch.zeros(10, dtype=torch.int64)
    given = Sizes(found.data_ptr())
    launch(simulate(LAYOUT), "layout", given, block=(1,), tensors=[found])
    p = arguments.PointwiseArgs
    assert found.tolist() == [
        ctypes.sizeof(arguments.TensorArgs),
        arguments.TensorArgs.strides.offset,
        ctypes.sizeof(p),
        p.data.offset,
        p.sizes.offset,
        p.strides.offset,
        p.scalars.offset,
        p.numbers.offset,
        ctypes.sizeof(failure.Failure),
        failure.Failure.value.offset,
    ]


@pytest.mark.skipif(ON_GPU, reason="undefined on a GPU")
def test_simulation_sees_a_barrier_that_a_thread_misses() -> None:
    with pytest.raises(AssertionError, match="a barrier that some threads do not reach"):
        launch(simulate(LAYOUT), "stuck", Sizes(0), block=(8,))


def test_division_by_zero_is_reported(library) -> None:
    compiled, prefixes = library
    record = failure.Failure()
    compiled.listen(record)
    zero = torch.zeros(3, dtype=torch.int64)
    key = pointwise.key("remainder_stub", "int64", ["int64"], ["int64", "int64"])
    made = arguments.pointwise([zero.data_ptr()] * 3, (3,), [(1,)] * 3)
    try:
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            launch(compiled, prefixes[key] + "strided", made, tensors=[zero])
            failure.check(record)
    finally:
        compiled.listen(None)
