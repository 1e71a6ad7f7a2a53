"""The CUDA engine's embedding_bag, simulated, against stock torch."""

from __future__ import annotations

import pytest
import torch
from agreement import TOLERANCE
from cuda_kernels import Family
from cuda_simulator import Guarded, assert_near

MODES = ("sum", "mean", "max")


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("embedding_bag")


def run(family: Family, mode: int, tensors: list, padding: int = -1, last: bool = False):
    weight, index, offsets, factors = tensors
    bags, width = len(offsets) - last, weight.shape[1]
    output = Guarded((bags, width), weight.dtype)
    sizes = Guarded((bags,), torch.int64)
    largest = Guarded((bags, width), torch.int64) if mode == 2 else None
    given = [output, sizes, largest, weight, index, offsets, factors]
    integers = [bags, width, len(weight), len(index), len(offsets), mode, padding]
    family.run("embedding_bag", (weight.dtype,), given, integers)
    return output.tensor, sizes.tensor, largest and largest.tensor


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mode", range(3))
def test_agrees_with_stock(family: Family, mode: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight = torch.randn(7, 5).to(dtype)
    index = torch.randint(0, 7, (13,))
    offsets = torch.tensor([0, 4, 4, 9, 12])
    for padding, last in ((-1, False), (3, False), (2, True)):
        for weighted in (False, True)[: 2 - (mode != 0)]:
            factors = torch.rand(13).to(dtype) if weighted else None
            expected, _, sizes, largest = torch.ops.aten._embedding_bag(
                weight, index, offsets, False, mode, False, factors, last, padding
            )
            found = run(family, mode, [weight, index, offsets, factors], padding, last)
            where = f"{MODES[mode]} {padding} {last} {weighted}"
            assert_near(found[0], expected, 4 * TOLERANCE[dtype], where)
            if mode != 0:
                assert torch.equal(found[1], sizes)
            if found[2] is not None:
                empty = sizes == 0
                assert torch.equal(found[2][~empty], largest[~empty]), where


@pytest.mark.parametrize(
    ("index", "offsets", "text"),
    [
        ([0, 7], [0, 1], "index 7 is out of bounds for dimension 0 with size 3"),
        ([0, -1], [0, 1], "index -1 is out of bounds"),
        ([0, 1], [1, 2], "a kernel was given 1"),
        ([0, 1], [0, 3], "a kernel was given"),
        ([0, 1, 2], [0, 2, 1], "a kernel was given 2"),
    ],
)
def test_bad_input_is_reported(family: Family, index: list, offsets: list, text: str) -> None:
    tensors = [torch.randn(3, 2), torch.tensor(index), torch.tensor(offsets), None]
    with pytest.raises(RuntimeError, match=text):
        run(family, 0, tensors)
