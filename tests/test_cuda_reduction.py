"""The CUDA engine's reductions, run on the CPU by a simulation, against stock torch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from agreement import TOLERANCE, noncontiguous
from cuda_simulator import Guarded, assert_near, dtype_name, launch, simulate

from altbackend.cuda import compile as compiler
from altbackend.cuda import reduce, table

REAL = [torch.float32, torch.bfloat16, torch.int64, torch.uint8]
COMPLEX = [*REAL, torch.complex64]
FLOATING = [torch.float32, torch.float64, torch.float16]


def norm(p: float) -> Callable[..., Any]:
    return lambda x, dim: torch.linalg.vector_norm(x, p, dim)


# Name: (stock's function of a tensor and dimensions, dtypes, the kernel's numbers).
REDUCTIONS: dict[str, tuple[Callable[..., Any], list[torch.dtype], tuple]] = {
    "sum": (torch.sum, COMPLEX, ()),
    "prod_stub": (lambda x, dim: x.prod(dim[0]), COMPLEX, ()),
    "and_stub": (lambda x, dim: torch.all(x, dim).bool(), COMPLEX, ()),
    "or_stub": (lambda x, dim: torch.any(x, dim).bool(), COMPLEX, ()),
    "max_values_stub": (torch.amax, REAL, ()),
    "min_values_stub": (torch.amin, REAL, ()),
    "argmax_stub": (lambda x, dim: x.argmax(dim[0]), REAL, ()),
    "argmin_stub": (lambda x, dim: x.argmin(dim[0]), REAL, ()),
    "mean": (torch.mean, [*FLOATING, torch.complex64], ()),
    "nansum": (torch.nansum, FLOATING, ()),
    "std_var": (lambda x, dim: torch.std_mean(x, dim, correction=1), FLOATING, (1.0, True)),
    "count_nonzero": (torch.count_nonzero, COMPLEX, ()),
    "max": (lambda x, dim: tuple(x.max(dim[0])), REAL, ()),
    "min": (lambda x, dim: tuple(x.min(dim[0])), REAL, ()),
    "aminmax": (lambda x, dim: tuple(torch.aminmax(x, dim=dim[0])), REAL, ()),
    "norm_zero": (norm(0), [torch.float32, torch.complex64], ()),
    "norm_one": (norm(1), [torch.float32, torch.complex64], ()),
    "norm_two": (norm(2), [torch.float32, torch.complex64, torch.bfloat16], ()),
    "norm_infinity": (norm(float("inf")), [torch.float32, torch.complex64], ()),
    "norm_minus_infinity": (norm(-float("inf")), [torch.float32], ()),
    "norm": (norm(3.0), [torch.float32, torch.complex64], (3.0,)),
}
ONE_DIMENSION = ("prod_stub", "argmax_stub", "argmin_stub", "max", "min", "aminmax")
# xor_sum_stub has no public operator of stock's that takes dimensions in 2.11.
OTHERS = {"xor_sum_stub"}
# Along, across, several dimensions, all, a long one that blocks share, one element, broadcast.
SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((7, 33), (1,)),
    ((33, 7), (0,)),
    ((3, 4, 5, 6), (1, 3)),
    ((3, 4, 5), (0, 1, 2)),
    ((2, 9000), (1,)),
    ((9000, 3), (0,)),
    ((5, 1), (1,)),
    ((2, 300, 3), (1,)),
]


@dataclass
class Case:
    key: reduce.Key
    x: torch.Tensor
    dim: tuple[int, ...]
    scalars: tuple
    expected: list[torch.Tensor]


def numbers(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(shape) + shape[0])
    if dtype.is_floating_point or dtype.is_complex:
        wide = torch.complex128 if dtype.is_complex else torch.float64
        x = torch.randn(shape, generator=generator, dtype=wide).to(dtype)
        if dtype == torch.float32 and len(shape) == 4:
            x[0, 1, 2, 3] = float("nan")
        return x
    return torch.randint(0, 3, shape, generator=generator).to(dtype)  # with many ties


def cases_of(name: str) -> Iterator[Case]:
    function, kinds, scalars = REDUCTIONS[name]
    for dtype in kinds:
        for shape, dim in SHAPES:
            if len(dim) > 1 and name in ONE_DIMENSION:
                continue
            x = numbers(shape, dtype)
            if name == "prod_stub" and dtype.is_floating_point:
                x = x.sign() * (1 + x / 1000)
            for given in (x, noncontiguous(x)):
                expected = function(given, dim)
                outputs = list(expected) if isinstance(expected, tuple) else [expected]
                kinds_out = [dtype_name(t.dtype) for t in outputs]
                key = reduce.key(name, dtype_name(dtype), kinds_out)
                yield Case(key, given, dim, scalars, outputs)


@functools.cache
def cases() -> dict[str, list[Case]]:
    return {name: list(cases_of(name)) for name in REDUCTIONS}


def every_key() -> list[reduce.Key]:
    keys = dict.fromkeys(c.key for found in cases().values() for c in found)
    others = [reduce.key(name, "float64", ["uint64"]) for name in sorted(OTHERS)]
    return [*keys, *others]


def text_of(keys: list[reduce.Key]) -> str:
    return reduce.INCLUDES + "".join(reduce.entries(k, f"kernel{i}_") for i, k in enumerate(keys))


@pytest.fixture(scope="module")
def library():
    keys = every_key()
    return simulate(text_of(keys)), {key: f"kernel{i}_" for i, key in enumerate(keys)}


def run(library, c: Case, *, backwards: bool) -> list[torch.Tensor]:
    compiled, prefixes = library
    outputs = [Guarded(t.shape, t.dtype) for t in c.expected]
    kept = [d for d in range(c.x.dim()) if d not in c.dim]
    strides = []
    for output in outputs:
        stride = [0] * c.x.dim()
        for d, step in zip(kept, output.tensor.stride(), strict=True):
            stride[d] = step
        strides.append(stride)
    made = reduce.plan(
        c.x.data_ptr(),
        [o.tensor.data_ptr() for o in outputs],
        c.x.shape,
        c.x.stride(),
        strides,
        c.dim,
        c.scalars,
    )
    parts = Guarded((made.parts_bytes,), torch.uint8)
    made.arguments.parts = parts.tensor.data_ptr()
    prefix = prefixes[c.key]
    tensors = [c.x, *outputs, parts]
    given = made.arguments
    launch(
        compiled,
        prefix + "reduce",
        given,
        made.grid,
        made.block,
        tensors=tensors,
        backwards=backwards,
    )
    if made.parts_bytes:
        finish = prefix + "finish"
        launch(compiled, finish, given, made.finish_grid, made.finish_block, tensors=tensors)
    for guarded in (*outputs, parts):
        guarded.check()
    return [o.tensor for o in outputs]


@pytest.mark.parametrize("name", list(REDUCTIONS))
def test_agrees_with_stock(library, name: str) -> None:
    for c in cases()[name]:
        found = run(library, c, backwards=False)
        for given, expected in zip(found, c.expected, strict=True):
            where = f"{c.key}, {tuple(c.x.shape)}, {c.dim}"
            assert_near(given, expected, 4 * TOLERANCE.get(expected.dtype, 0), where)
        if c.x.numel() < 1000:  # a barrier that is missing shows in another order of the threads
            again = run(library, c, backwards=True)
            for given, same in zip(again, found, strict=True):
                assert torch.equal(given.nan_to_num(), same.nan_to_num())


def test_every_row_is_compared() -> None:
    assert set(table.reduction_rows()) <= set(REDUCTIONS) | OTHERS
    assert set(reduce.OWN) <= set(REDUCTIONS)


def test_few_outputs_are_shared_by_blocks() -> None:
    x = torch.empty(2, 9000)
    made = reduce.plan(x.data_ptr(), [0], x.shape, x.stride(), [[1, 0]], (1,))
    assert made.arguments.splits > 1 and made.parts_bytes > 0
    made = reduce.plan(x.data_ptr(), [0], (2000, 9), (9, 1), [[1, 0]], (1,))
    assert made.arguments.splits == 1 and made.parts_bytes == 0


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_compiles(arch: str) -> None:
    keys = every_key()[:: 1 if arch == "sm_80" else 4]
    assert compiler.compile_source("reductions", text_of(keys), arch, cached=False)


def test_refuses_a_dtype_without_order() -> None:
    with pytest.raises(NotImplementedError, match="not implemented for 'complex64'"):
        reduce.key("max_values_stub", "complex64", ["complex64"])
