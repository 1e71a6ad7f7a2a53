"""The CUDA engine's sequences and triangles, simulated, against stock torch."""

from __future__ import annotations

import math

import pytest
import torch
from agreement import TOLERANCE, noncontiguous
from cuda_kernels import Family
from cuda_simulator import Guarded, assert_near

NONE = math.nan
FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
BYTES = [torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.complex128]


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("factory")


def strided(n: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.zeros(3 * n, dtype=dtype)[::3]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_a_range_of_integers(family: Family, dtype: torch.dtype) -> None:
    start, step, n = (2, 3, 40) if dtype == torch.uint8 else (60, -3, 41)
    expected = torch.arange(start, start + step * n, step, dtype=dtype)
    found = Guarded((n,), dtype)
    family.run("sequence", (dtype,), [found], [n, 1, start, step], [0, 0, NONE])
    assert torch.equal(found.tensor, expected)
    apart = strided(n, dtype)
    family.run("sequence", (dtype,), [apart], [n, 1, start, step], [0, 0, NONE], grid=(1,))
    assert torch.equal(apart, expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_sequences_of_numbers(family: Family, dtype: torch.dtype) -> None:
    n, bound = 131, TOLERANCE[dtype]
    found = Guarded((n,), dtype)
    family.run("sequence", (dtype,), [found], [n, 0], [0.5, 0.25, NONE])
    expected = torch.arange(0.5, 0.5 + 0.25 * n, 0.25, dtype=dtype)
    assert_near(found.tensor, expected, bound, "arange")
    step = (5 - -2) / (n - 1)
    family.run("sequence", (dtype,), [found], [n, 0], [-2, step, 5], backwards=True)
    assert_near(found.tensor, torch.linspace(-2, 5, n, dtype=dtype), bound, "linspace")
    assert (found.tensor[0], found.tensor[-1]) == (-2, 5)


@pytest.mark.parametrize("shape", [(4, 6), (7, 3), (2, 3, 5, 4), (1, 1)])
@pytest.mark.parametrize("dtype", BYTES)
def test_triangles(family: Family, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.randint(1, 250, shape).to(dtype)
    for given in (x, noncontiguous(x)):
        for diagonal in (-9, -1, 0, 2, 9):
            for upper, stock in ((0, torch.tril), (1, torch.triu)):
                found = Guarded(shape, dtype)
                family.run("triangle", (dtype,), [found, given], [diagonal, upper])
                expected = stock(
                    x.to(torch.int64 if dtype != torch.complex128 else dtype), diagonal
                )
                assert torch.equal(found.tensor, expected.to(dtype))
