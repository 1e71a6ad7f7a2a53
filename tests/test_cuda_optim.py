"""The CUDA engine's fused optimizers, simulated, against stock's single-tensor ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from agreement import TOLERANCE
from cuda_kernels import Family
from cuda_simulator import assert_near

CHUNK = 4096
SIZES = [(3,), (50, 100), (1,), (4096,)]


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("optim")


def launch(family: Family, name: str, dtype, lists: list[list], integers, numbers) -> None:
    """`lists`: of each parameter its tensors, in the order of the kernel's words."""
    words = torch.zeros(len(lists), 8, dtype=torch.int64)
    blocks = []
    for i, tensors in enumerate(lists):
        words[i, 6] = tensors[0].numel()
        for k, t in enumerate(tensors):
            words[i, k] = 0 if t is None else t.data_ptr()
        blocks += [(i, start) for start in range(0, tensors[0].numel(), CHUNK)]
    table = torch.tensor(blocks)
    family.run(
        name,
        (dtype,),
        [words, table],
        integers,
        numbers,
        grid=(len(blocks),),
        block=(128,),
        beside=[t for tensors in lists for t in tensors],
        tables=[words],
    )


ADAM: list[dict[str, Any]] = [
    {},
    {"weight_decay": 0.1},
    {"amsgrad": True, "maximize": True},
    {"betas": (0.5, 0.9), "lr": 0.1, "eps": 1e-3},
]


@pytest.mark.parametrize("named", ADAM)
@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adam(family: Family, dtype: torch.dtype, kind: str, named: dict[str, Any]) -> None:
    torch.manual_seed(0)
    params = [torch.randn(s, dtype=dtype).requires_grad_() for s in SIZES]
    ours = [[p.detach().clone(), None, *(torch.zeros_like(p) for _ in range(3))] for p in params]
    optimizer = getattr(torch.optim, kind)(params, foreach=False, **named)
    g = optimizer.defaults
    for step in range(1, 4):
        for p, mine in zip(params, ours, strict=True):
            p.grad = torch.randn_like(p)
            mine[1] = p.grad.clone()
        optimizer.step()
        count = torch.tensor(float(step))
        integers = [g["maximize"], g["amsgrad"], kind == "AdamW"]
        numbers = [g["lr"], *g["betas"], g["weight_decay"], g["eps"]]
        launch(family, "adam", dtype, [[*mine, count] for mine in ours], integers, numbers)
    for p, mine in zip(params, ours, strict=True):
        assert_near(mine[0], p.detach(), 10 * TOLERANCE[dtype], f"{kind} {named}")


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"weight_decay": 0.1, "momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.5, "dampening": 0.3, "maximize": True},
    ],
)
def test_sgd(family: Family, named: dict[str, Any]) -> None:
    torch.manual_seed(0)
    dtype = torch.float32
    params = [torch.randn(s).requires_grad_() for s in SIZES]
    ours = [[p.detach().clone(), None, torch.full_like(p, float("nan"))] for p in params]
    optimizer = torch.optim.SGD(params, lr=0.1, foreach=False, **named)
    g = optimizer.defaults
    for step in range(3):
        for p, mine in zip(params, ours, strict=True):
            p.grad = torch.randn_like(p)
            mine[1] = p.grad.clone()
        optimizer.step()
        integers = [g["maximize"], 0, 0, g["nesterov"], step == 0]
        numbers = [g["lr"], 0, 0, g["weight_decay"], 0, g["momentum"], g["dampening"]]
        launch(family, "sgd", dtype, ours, integers, numbers)
    for p, mine in zip(params, ours, strict=True):
        assert_near(mine[0], p.detach(), 1e-5, f"{named}")


def test_adagrad(family: Family) -> None:
    torch.manual_seed(0)
    params = [torch.randn(s).requires_grad_() for s in SIZES]
    ours = [[p.detach().clone(), None, torch.full_like(p, 0.1), None, None] for p in params]
    optimizer = torch.optim.Adagrad(
        params,
        lr=0.1,
        lr_decay=0.01,
        initial_accumulator_value=0.1,
        weight_decay=0.1,
        foreach=False,
    )
    for step in range(3):
        for p, mine in zip(params, ours, strict=True):
            p.grad = torch.randn_like(p)
            mine[1] = p.grad.clone()
        optimizer.step()
        numbers = [0.1, 0, 0, 0.1, 1e-10, 0, 0, 0.01]
        count = torch.tensor(float(step + 1))
        launch(family, "adagrad", torch.float32, [[*mine, count] for mine in ours], [0], numbers)
    for p, mine in zip(params, ours, strict=True):
        assert_near(mine[0], p.detach(), 1e-5, "")


def test_unscaling_and_the_scale(family: Family) -> None:
    """amp: gradients are multiplied, an infinite one is noted, and the scale follows."""
    grads = [torch.randn(s) for s in SIZES]
    expected = [g * 0.25 for g in grads]
    found, scale = torch.zeros(()), torch.tensor(0.25)
    words = torch.tensor([[g.data_ptr(), 0, 0, 0, 0, 0, g.numel(), 0] for g in grads])
    table = torch.tensor(
        [(i, start) for i, g in enumerate(grads) for start in range(0, g.numel(), CHUNK)]
    )
    options: dict[str, Any] = {
        "grid": (len(table),),
        "block": (128,),
        "beside": grads,
        "tables": [words],
    }
    family.run("unscale", (torch.float32,), [words, table, scale, found], **options)
    assert all(torch.equal(a, b) for a, b in zip(grads, expected, strict=True))
    assert found.item() == 0
    grads[1][3, 7] = float("inf")
    family.run("unscale", (torch.float32,), [words, table, scale, found], **options)
    assert found.item() == 1

    scale, steps = torch.tensor(8.0), torch.tensor(1, dtype=torch.int32)
    tensors = [scale, steps, found]
    family.run("update_scale", (torch.float32,), tensors, [2], [2.0, 0.5], grid=(1,), block=(1,))
    assert (scale.item(), steps.item()) == (4.0, 0)
    found.zero_()
    for grown in ((4.0, 1), (8.0, 0)):
        family.run(
            "update_scale", (torch.float32,), tensors, [2], [2.0, 0.5], grid=(1,), block=(1,)
        )
        assert (scale.item(), steps.item()) == grown


def test_a_step_with_a_scale_and_one_that_overflowed(family: Family) -> None:
    torch.manual_seed(0)
    param, grad = torch.randn(40), torch.randn(40)
    words = torch.tensor([[param.data_ptr(), grad.data_ptr(), 0, 0, 0, 0, 40, 0]])
    table, scale = torch.tensor([(0, 0)]), torch.tensor(4.0)
    expected, gradient = param - 0.1 * grad / 4, grad / 4
    for found in (torch.ones(()), torch.zeros(())):
        before = param.clone()
        family.run(
            "sgd",
            (torch.float32,),
            [words, table, scale, found],
            [0] * 5,
            [0.1],
            grid=(1,),
            block=(64,),
            beside=[param, grad],
            tables=[words],
        )
        if found.item() == 1:
            assert torch.equal(param, before)
    assert_near(param, expected, 1e-6, "parameter")
    assert_near(grad, gradient, 1e-6, "gradient")
