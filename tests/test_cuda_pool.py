"""The CUDA engine's pooling, simulated, against stock torch on op_db's samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from agreement import TOLERANCE
from cuda_kernels import Family
from cuda_simulator import Guarded, assert_near

DTYPES = [torch.float32, torch.bfloat16]
functional = torch.nn.functional


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("pool")


def samples(name: str, dtype: torch.dtype, most: int) -> Iterator[tuple[torch.Tensor, dict]]:
    from torch.testing._internal.common_methods_invocations import op_db

    op = next(o for o in op_db if o.name == f"nn.functional.{name}")
    taken = [s for s in op.sample_inputs("cpu", dtype) if s.input.numel() > 0]
    for s in taken[:: -(-len(taken) // most) | 1]:
        names = ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"]
        if name.startswith("adaptive"):
            names = ["output_size"]
        yield s.input, dict(zip(names, s.args, strict=False)) | s.kwargs


def three(value: Any, dims: int, default: int) -> list[int]:
    given = [value] * dims if isinstance(value, int) else list(value)
    given = given * dims if len(given) == 1 else given
    return [default] * (3 - dims) + given


def geometry(x: torch.Tensor, y: torch.Tensor, dims: int, named: dict) -> list[int]:
    size = three(named["kernel_size"], dims, 1)
    integers = [1] * (3 - dims) + list(x.shape[-dims:])
    integers += [1] * (3 - dims) + list(y.shape[-dims:])
    integers += size
    integers += three(named.get("stride") or named["kernel_size"], dims, 1)
    integers += three(named.get("padding", 0), dims, 0)
    integers += three(named.get("dilation", 1), dims, 1)
    integers.append(x.numel() // x[(0,) * (x.dim() - dims)].numel())
    integers.append(int(named.get("count_include_pad", True)))
    integers.append(named.get("divisor_override") or 0)
    return integers


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_max_pool(family: Family, dims: int, dtype: torch.dtype) -> None:
    name = f"max_pool{dims}d"
    for x, named in samples(name, dtype, 20):
        named = {k: v for k, v in named.items() if k != "return_indices"}
        x = x.detach().contiguous().requires_grad_()
        y, places = getattr(functional, name)(x, **named, return_indices=True)
        given = geometry(x, y, dims, named)
        found, where = Guarded(y.shape, dtype), Guarded(y.shape, torch.int64)
        family.run("max_pool", (dtype,), [found, where, x.detach()], given)
        assert_near(found.tensor, y.detach(), 0, f"{named}")
        assert torch.equal(where.tensor, places), named

        gradient = torch.randn(y.shape).to(dtype)
        (wanted,) = torch.autograd.grad(y, x, gradient)
        to = Guarded(x.shape, dtype)
        family.run("max_pool_backward", (dtype,), [to, gradient, places], given)
        assert_near(to.tensor, wanted, 2 * TOLERANCE[dtype], f"{named}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_average_pool(family: Family, dims: int, dtype: torch.dtype) -> None:
    if dims == 3 and dtype == torch.bfloat16:
        dtype = torch.float64  # stock's has no half type
    name = f"avg_pool{dims}d"
    for x, named in samples(name, dtype, 20):
        x = x.detach().contiguous().requires_grad_()
        y = getattr(functional, name)(x, **named)
        given = geometry(x, y, dims, named)
        found = Guarded(y.shape, dtype)
        family.run("average_pool", (dtype,), [found, x.detach()], given)
        assert_near(found.tensor, y.detach(), TOLERANCE[dtype], f"{named}")

        gradient = torch.randn(y.shape).to(dtype)
        (wanted,) = torch.autograd.grad(y, x, gradient)
        to = Guarded(x.shape, dtype)
        family.run("average_pool_backward", (dtype,), [to, gradient], given)
        assert_near(to.tensor, wanted, 2 * TOLERANCE[dtype], f"{named}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_adaptive_average_pool(family: Family, dtype: torch.dtype) -> None:
    shapes = [(5, 7), (13, 4), (1, 1), (9, 9)]
    for size in shapes:
        for out in shapes:
            x = torch.randn(2, 3, *size).to(dtype).requires_grad_()
            y = torch.ops.aten._adaptive_avg_pool2d(x, out)
            given = geometry(x, y, 2, {"kernel_size": 1})
            found = Guarded(y.shape, dtype)
            family.run("adaptive_average_pool", (dtype,), [found, x.detach()], given)
            assert_near(found.tensor, y.detach(), TOLERANCE[dtype], f"{size} to {out}")
            gradient = torch.randn(y.shape).to(dtype)
            (wanted,) = torch.autograd.grad(y, x, gradient)
            to = Guarded(x.shape, dtype)
            family.run("adaptive_average_pool_backward", (dtype,), [to, gradient], given)
            assert_near(to.tensor, wanted, 2 * TOLERANCE[dtype], f"{size} to {out}")


@pytest.mark.parametrize("dims", [2, 3])
def test_adaptive_pools_of_more_dimensions(family: Family, dims: int) -> None:
    dtype = torch.float32
    for size, out in (((5, 7, 4), (3, 2, 4)), ((2, 3, 3), (5, 4, 3)), ((6, 1, 9), (1, 1, 2))):
        x = torch.randn(2, 3, *size[:dims]).requires_grad_()
        y = getattr(functional, f"adaptive_avg_pool{dims}d")(x, out[:dims])
        given = geometry(x, y, dims, {"kernel_size": 1})
        found = Guarded(y.shape, dtype)
        family.run("adaptive_average_pool", (dtype,), [found, x.detach()], given)
        assert_near(found.tensor, y.detach(), 1e-5, f"{size} to {out}")
        gradient = torch.randn(y.shape)
        (wanted,) = torch.autograd.grad(y, x, gradient)
        to = Guarded(x.shape, dtype)
        family.run("adaptive_average_pool_backward", (dtype,), [to, gradient], given)
        assert_near(to.tensor, wanted, 1e-5, f"{size} to {out}")

        pool = getattr(functional, f"adaptive_max_pool{dims}d")
        y, places = pool(x.detach(), out[:dims], return_indices=True)
        where = Guarded(y.shape, torch.int64)
        family.run("adaptive_max_pool", (dtype,), [found, where, x.detach()], given)
        assert torch.equal(found.tensor, y)
        assert torch.equal(where.tensor, places)


def test_max_pool_of_integers(family: Family) -> None:
    x = torch.randint(-9, 9, (1, 2, 6, 6))
    y, places = functional.max_pool2d(x, 3, 2, 1, return_indices=True)
    named = {"kernel_size": 3, "stride": 2, "padding": 1}
    found, where = Guarded(y.shape, torch.int64), Guarded(y.shape, torch.int64)
    family.run("max_pool", (torch.int64,), [found, where, x], geometry(x, y, 2, named))
    assert torch.equal(found.tensor, y)
    assert torch.equal(where.tensor, places)
