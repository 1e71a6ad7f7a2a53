"""The CUDA engine's negative log likelihood, simulated, against stock torch."""

from __future__ import annotations

import pytest
import torch
from agreement import TOLERANCE
from cuda_kernels import Family
from cuda_simulator import Guarded, assert_near

IGNORED = -100
DTYPES = [torch.float32, torch.float64, torch.bfloat16]


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("loss")


def given(shape: tuple[int, ...], dtype: torch.dtype, weighted: bool):
    torch.manual_seed(0)
    x = torch.log_softmax(torch.randn(shape), 1).to(dtype).requires_grad_()
    target = torch.randint(0, shape[1], (shape[0], *shape[2:]))
    target.view(-1)[::5] = IGNORED
    weight = torch.rand(shape[1]).to(dtype) if weighted else None
    return x, target, weight


def integers(x: torch.Tensor, target: torch.Tensor, mean: bool, each: bool) -> list[int]:
    positions = x[0, 0].numel()
    return [x.shape[1], positions, IGNORED, target.numel(), int(mean), int(each)]


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(7, 5), (2, 4, 3, 6)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_stock(
    family: Family, dtype: torch.dtype, shape: tuple[int, ...], weighted: bool, blocks: int
) -> None:
    x, target, weight = given(shape, dtype, weighted)
    bound = 4 * TOLERANCE[dtype]
    for reduction in ("none", "sum", "mean"):
        each = reduction == "none"
        numbers = integers(x, target, reduction == "mean", each)
        y = torch.nn.functional.nll_loss(x, target, weight, reduction=reduction)
        found = Guarded(y.shape, dtype)
        total = Guarded((), dtype)
        operands = [x.detach(), target, weight]
        if each:
            family.run("nll_each", (dtype,), [found, *operands], numbers)
        else:
            parts = torch.full((blocks, 2), float("nan"), dtype=torch.float64)
            for backwards in (False, True):
                family.run(
                    "nll_sum",
                    (dtype,),
                    [found, total, *operands, parts],
                    numbers,
                    grid=(blocks,),
                    block=(8,),
                    backwards=backwards,
                )
                if blocks > 1:
                    joined = [*numbers[:3], blocks, numbers[4]]
                    family.run(
                        "nll_join", (dtype,), [found, total, parts], joined, grid=(1,), block=(4,)
                    )
        assert_near(found.tensor, y.detach(), bound, reduction)

        gradient = torch.randn(y.shape).to(dtype)
        (wanted,) = torch.autograd.grad(y, x, gradient)
        to = Guarded(x.shape, dtype)
        to.tensor.zero_()
        if each:
            total.tensor.fill_(float("nan"))
        family.run("nll_backward", (dtype,), [to, gradient, target, weight, total], numbers)
        assert_near(to.tensor, wanted, bound, reduction)


def test_a_target_that_is_no_class_is_reported(family: Family) -> None:
    x, target = torch.randn(3, 4), torch.tensor([0, 4, 1])
    found = Guarded((3,), torch.float32)
    with pytest.raises(IndexError, match="index 4 is out of bounds for a dimension of size 4"):
        family.run(
            "nll_each", (x.dtype,), [found, x, target, None], integers(x, target, False, True)
        )
    assert found.tensor.tolist() == [-x[0, 0].item(), 0.0, -x[2, 1].item()]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16])
def test_binary_cross_entropy(family: Family, dtype: torch.dtype, weighted: bool) -> None:
    torch.manual_seed(0)
    x, target = torch.rand(6, 7).to(dtype), torch.rand(6, 7).to(dtype)
    x[0, :2], x[1, 0], target[0, 1] = 0, 1, 1  # logarithms of 0 are -100
    weight = torch.rand(6, 7).to(dtype) if weighted else None
    x.requires_grad_()
    y = torch.nn.functional.binary_cross_entropy(x, target, weight, reduction="none")
    found, n, bound = Guarded(x.shape, dtype), x.numel(), 4 * TOLERANCE[dtype]
    operands = [x.detach(), target, weight]
    for backwards in (False, True):
        family.run("binary_cross_entropy", (dtype,), [found, *operands], [n], backwards=backwards)
        assert_near(found.tensor, y.detach(), bound, "loss")
    gradient = torch.randn(x.shape).to(dtype)
    (wanted,) = torch.autograd.grad(y, x, gradient)
    tensors = [found, gradient, *operands]
    family.run("binary_cross_entropy_backward", (dtype,), tensors, [n], [1.0])
    assert_near(found.tensor, wanted, bound, "gradient")
    family.run("binary_cross_entropy_backward", (dtype,), tensors, [n], [0.5])
    assert_near(found.tensor, wanted / 2, bound, "half of the gradient")


@pytest.mark.parametrize("bad", [1.5, -0.5, float("nan")])
def test_what_is_no_probability_is_reported(family: Family, bad: float) -> None:
    target = torch.tensor([0.5, 1.0])
    found = Guarded((2,), torch.float32)
    for tensors in ([torch.tensor([0.25, bad]), target], [target, torch.tensor([bad, 0.5])]):
        with pytest.raises(RuntimeError, match="a kernel was given"):
            family.run("binary_cross_entropy", (torch.float32,), [found, *tensors, None], [2])
