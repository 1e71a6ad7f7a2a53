"""The CUDA engine's upsampling and padding kernels, simulated, against stock torch."""

from __future__ import annotations

import pytest
import torch
from agreement import TOLERANCE
from cuda_kernels import Family
from cuda_simulator import Guarded, assert_near

SIZES = ((2, 5), (3, 7), (4, 3))  # of the input and of the output, of each dimension
PLANES, INNER = 3, 2
UNSIGNED = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32, 8: torch.uint64}
UNSIGNED[16] = torch.complex128


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("resample")


def numbers(matrices: list[torch.Tensor]) -> tuple[list[int], torch.Tensor]:
    """A kernel's integers and its table, for matrices that have each output's weights as a row."""
    firsts, indices, weights = [], [], []
    for matrix in matrices:
        taps = [row.nonzero().view(-1) for row in matrix]
        firsts.append(torch.tensor([0, *(len(t) for t in taps)]).cumsum(0))
        indices.append(torch.cat(taps))
        found = torch.cat([row[t] for row, t in zip(matrix, taps, strict=True)])
        weights.append(found.double().view(torch.int64))
    parts = [*firsts, *indices, *weights]
    places = torch.tensor([0, *(len(p) for p in parts)]).cumsum(0)[:-1].tolist()
    given = [PLANES, INNER, *(m.shape[1] for m in matrices), *(m.shape[0] for m in matrices)]
    return [*given, *places], torch.cat(parts)


def linear() -> list[torch.Tensor]:
    return [
        torch.nn.functional.interpolate(
            torch.eye(n, dtype=torch.float64)[None], size=m, mode="linear"
        )[0].T
        for n, m in SIZES
    ]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_sums_of_taps(family: Family, dtype: torch.dtype, backward: bool) -> None:
    matrices = [m.T.contiguous() for m in linear()] if backward else linear()
    integers, table = numbers(matrices)
    torch.manual_seed(0)
    x = torch.randn(PLANES, *(m.shape[1] for m in matrices), INNER).to(dtype)
    planes = x.movedim(-1, 1).double()
    if backward:
        given = torch.zeros(PLANES, INNER, *(n for n, _ in SIZES), dtype=torch.float64)
        given.requires_grad_()
        y = torch.nn.functional.interpolate(given, size=[m for _, m in SIZES], mode="trilinear")
        (expected,) = torch.autograd.grad(y, given, planes)
    else:
        size = [m for _, m in SIZES]
        expected = torch.nn.functional.interpolate(planes, size=size, mode="trilinear")
    expected = expected.movedim(1, -1)
    for grid, backwards in ((2, False), (500, True)):
        found = Guarded(expected.shape, dtype)
        tensors = [found, x.contiguous(), table]
        family.run("resample_sum", (dtype,), tensors, integers, grid=(grid,), backwards=backwards)
        assert_near(found.tensor, expected.to(dtype), 4 * TOLERANCE[dtype], "taps")


@pytest.mark.parametrize("dtype", list(UNSIGNED.values()))
def test_moves(family: Family, dtype: torch.dtype) -> None:
    places = [torch.randint(0, n, (m,)) for n, m in SIZES]
    matrices = [
        torch.nn.functional.one_hot(p, n).float() for p, (n, _) in zip(places, SIZES, strict=True)
    ]
    integers, table = numbers(matrices)
    shape = (PLANES, *(n for n, _ in SIZES), INNER)
    bytes_of = torch.randint(0, 255, (*shape, dtype.itemsize), dtype=torch.uint8)
    x = bytes_of.view(dtype).view(shape)
    d, h, w = places
    expected = bytes_of[:, d][:, :, h][:, :, :, w]
    found = Guarded(expected.shape[:-1], dtype)
    family.run("resample_move", (dtype,), [found, x, table], integers)
    assert torch.equal(found.tensor.view(torch.uint8).view(expected.shape), expected)
