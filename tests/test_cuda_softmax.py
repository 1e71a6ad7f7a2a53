"""The CUDA engine's softmax, simulated, against stock torch."""

from __future__ import annotations

import pytest
import torch
from agreement import TOLERANCE, noncontiguous
from cuda_kernels import Family
from cuda_simulator import Guarded, assert_near

from altbackend.cuda import kernels

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("softmax")


def folded(t: torch.Tensor, dim: int) -> torch.Tensor:
    """outer x n x inner, as the kernel sees it."""
    sizes = list(t.shape) or [1]
    dim %= len(sizes)
    outer = torch.Size(sizes[:dim]).numel()
    return t.reshape(outer, sizes[dim], torch.Size(sizes[dim + 1 :]).numel())


def samples(dtype: torch.dtype):
    from torch.testing._internal.common_methods_invocations import op_db

    op = next(o for o in op_db if o.name == "softmax" and not o.variant_test_name)
    for sample in op.sample_inputs("cpu", dtype):
        if sample.input.numel() > 0:
            yield sample.input, sample.args[0]
    x = torch.randn(5, 300, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[1, 3] = float("-inf")
    x[2] = float("-inf")
    x[3, 7] = float("inf")
    x[4, 299] = float("nan")
    yield x, 1
    yield torch.randn(2, 40, 37).to(dtype), 1


def blocks_of(x: torch.Tensor) -> tuple[bool, tuple, tuple]:
    across = x.shape[2] > 1
    grid, block = kernels.row_block(x.shape[0] * x.shape[2], x.shape[1], across=across)
    return across, (grid,), block


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_stock(family: Family, dtype: torch.dtype, log: bool) -> None:
    name = "log_softmax" if log else "softmax"
    function = torch.log_softmax if log else torch.softmax
    for x, dim in samples(dtype):
        for seen in (folded(x, dim), noncontiguous(folded(x, dim))):
            seen = seen.detach()
            across, grid, block = blocks_of(seen)
            expected = function(seen, 1)
            found = Guarded(seen.shape, dtype)
            for backwards in (False, True):
                family.run(
                    f"{name}_forward",
                    (dtype, dtype),
                    [found, seen],
                    [across],
                    grid=grid,
                    block=block,
                    backwards=backwards,
                )
                assert_near(found.tensor, expected, TOLERANCE[dtype], f"{seen.shape}")

            gradient = torch.randn(seen.shape).to(dtype)
            to = Guarded(seen.shape, dtype)
            family.run(
                f"{name}_backward",
                (dtype, dtype),
                [to, gradient, expected],
                [across],
                grid=grid,
                block=block,
            )
            backward = getattr(torch.ops.aten, f"_{name}_backward_data")
            wanted = backward(gradient, expected, 1, dtype)
            assert_near(to.tensor, wanted, 4 * TOLERANCE[dtype], f"{seen.shape}")


def test_half_input_float_output(family: Family) -> None:
    x = torch.randn(3, 50, 1).to(torch.float16)
    found = Guarded(x.shape, torch.float32)
    family.run("softmax_forward", (torch.float32, torch.float16), [found, x], [0], grid=(3,))
    assert_near(found.tensor, torch.softmax(x, 1, dtype=torch.float32), 2e-5, "")
