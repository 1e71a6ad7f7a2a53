"""The CUDA engine's kernels of linear algebra, simulated. Factorizations are cuSOLVER's: they are
tested in test_cuda_kernels.py."""

from __future__ import annotations

import pytest
import torch
from cuda_kernels import Family
from cuda_simulator import Guarded


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("linalg")


@pytest.mark.parametrize("shape", [(5, 5), (3, 6, 2), (2, 2, 2, 7)])
def test_pivots_become_permutations(family: Family, shape: tuple[int, ...]) -> None:
    lu, pivots = torch.linalg.lu_factor(torch.randn(shape))
    permutation, _, _ = torch.lu_unpack(lu, pivots, unpack_data=False)
    rows, places = pivots[..., 0].numel(), shape[-2]
    for grid in (1, 3):
        found = Guarded((rows, places), torch.int64)
        found.tensor[:] = torch.arange(places)
        given = [found, pivots]
        integers = [rows, pivots.shape[-1], places]
        family.run("unpack_pivots", (torch.int32,), given, integers, grid=(grid,), block=(2,))
        assert torch.equal(found.tensor, permutation.mT.argmax(-1).view(rows, places)) or (
            torch.equal(found.tensor, permutation.argmax(-2).view(rows, places))
        )


@pytest.mark.parametrize("bad", [0, 4, -7])
def test_a_pivot_that_is_no_row_is_reported(family: Family, bad: int) -> None:
    found = Guarded((1, 3), torch.int64)
    found.tensor[0] = torch.arange(3)
    pivots = torch.tensor([[3, bad]], dtype=torch.int32)
    with pytest.raises(
        RuntimeError, match=f"index {bad} is out of bounds for dimension 0 with size"
    ):
        family.run("unpack_pivots", (torch.int32,), [found, pivots], [1, 2, 3])
    assert found.tensor.tolist() == [[2, 1, 0]]
