"""The CUDA engine's convolutions, simulated, against stock torch on op_db's samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from agreement import TOLERANCE
from cuda_kernels import Family
from cuda_simulator import Guarded, assert_near

functional = torch.nn.functional
TILE = 64


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("conv")


def samples(dims: int, dtype: torch.dtype) -> Iterator[tuple[Any, ...]]:
    """Input, weight, bias and the named arguments."""
    from torch.testing._internal.common_methods_invocations import op_db

    op = next(o for o in op_db if o.name == f"nn.functional.conv{dims}d")
    for s in op.sample_inputs("cpu", dtype):
        weight, bias = (*s.args, None)[:2]
        if s.input.dim() == dims + 2 and s.input.numel() > 0:
            yield s.input.detach(), weight, bias, s.kwargs
    if dims == 2:  # more than one tile along each side, and steps of the sum
        x, weight = torch.randn(2, 6, 9, 9).to(dtype), torch.randn(70, 3, 3, 3).to(dtype)
        yield x, weight, None, {"stride": 2, "padding": 1, "groups": 2}
        yield x, torch.randn(5, 6, 2, 3).to(dtype), torch.randn(5).to(dtype), {"dilation": (2, 1)}


def three(value: Any, dims: int, default: int) -> list[int]:
    given = [value] * dims if isinstance(value, int) else list(value)
    return [default] * (3 - dims) + (given * dims if len(given) == 1 else given)


def integers(dims: int, x, weight, y, named: dict) -> list[int]:
    groups = named.get("groups", 1)
    padding = named.get("padding", 0)
    dilation = three(named.get("dilation", 1), dims, 1)
    kernel = [1] * (3 - dims) + list(weight.shape[2:])
    if padding == "valid":
        padding = 0
    if padding == "same":
        padding = [(d * (k - 1)) // 2 for d, k in zip(dilation, kernel, strict=True)][3 - dims :]
    given = [1] * (3 - dims) + list(x.shape[2:]) + [1] * (3 - dims) + list(y.shape[2:]) + kernel
    given += three(named.get("stride", 1), dims, 1) + three(padding, dims, 0) + dilation
    return [*given, x.shape[0], groups, weight.shape[1], weight.shape[0] // groups]


def grid(rows: int, columns: int, groups: int) -> tuple[int, int, int]:
    return -(-columns // TILE), -(-rows // TILE), groups


@pytest.mark.parametrize(
    ("dims", "dtype"),
    [(1, torch.float32), (2, torch.float32), (2, torch.bfloat16), (3, torch.float64)],
)
def test_agrees_with_stock(family: Family, dims: int, dtype: torch.dtype) -> None:
    compared = 0
    for x, weight, bias, named in samples(dims, dtype):
        if named.get("padding") == "same" and any(k % 2 == 0 for k in weight.shape[2:]):
            continue  # pads one side more than the other, by an operator of its own
        x, weight = x.contiguous().requires_grad_(), weight.detach().contiguous().requires_grad_()
        bias = None if bias is None else bias.detach().contiguous()
        y = getattr(functional, f"conv{dims}d")(x, weight, bias, **named)
        given = integers(dims, x, weight, y, named)
        batch, groups, inputs, outputs = given[18:22]
        where = f"{tuple(x.shape)}, {tuple(weight.shape)}, {named}"
        bound = 4 * TOLERANCE[dtype]

        found = Guarded(y.shape, dtype)
        places = y.numel() // (batch * groups * outputs)
        tensors = [found, x.detach(), weight.detach(), bias]
        for backwards in (False, True):
            shape = grid(outputs, batch * places, groups)
            family.run(
                "conv_forward",
                (dtype,),
                tensors,
                given,
                grid=shape,
                block=(256,),
                backwards=backwards,
            )
            assert_near(found.tensor, y.detach(), bound, where)

        gradient = torch.randn(y.shape).to(dtype)
        wanted = torch.autograd.grad(y, (x, weight), gradient)
        to = Guarded(x.shape, dtype)
        places = x.numel() // (batch * groups * inputs)
        shape = grid(inputs, batch * places, groups)
        tensors = [to, gradient, weight.detach()]
        family.run("conv_backward_input", (dtype,), tensors, given, grid=shape, block=(256,))
        assert_near(to.tensor, wanted[0], bound, where)

        to = Guarded(weight.shape, dtype)
        shape = grid(outputs, weight[0].numel(), groups)
        tensors = [to, gradient, x.detach()]
        family.run("conv_backward_weight", (dtype,), tensors, given, grid=shape, block=(256,))
        assert_near(to.tensor, wanted[1], 2 * bound, where)
        compared += 1
    assert compared >= 3
