"""Every optimizer of torch.optim trains on alt as it does on cpu."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch.optim.rmsprop import rmsprop
from torch.testing._internal.common_optimizers import optim_db

import altbackend

STEPS = 10


def model(dtype: torch.dtype) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(5, 33), torch.nn.Tanh(), torch.nn.Linear(33, 17), torch.nn.Linear(17, 1)
    ).to(dtype)


def gradients(parameters: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """The same gradients for both devices, so that only the optimizer is compared."""
    generator = torch.Generator().manual_seed(1)
    while True:
        yield [torch.randn(p.shape, generator=generator).to(p.dtype) for p in parameters]


def train(device: str, cls: type, kwargs: dict, dtype: torch.dtype) -> tuple[list, list]:
    parameters = list(model(dtype).to(device).parameters())
    optimizer = cls(parameters, **kwargs)
    source = gradients(parameters)
    for _ in range(STEPS):
        values = next(source)
        for p, g in zip(parameters, values, strict=True):
            p.grad = g.to(device)
        optimizer.step()
    state = [optimizer.state[p] for p in parameters]
    return parameters, state


def same(actual: Sequence[Any], expected: Sequence[Any], dtype: torch.dtype) -> None:
    loose = {torch.float16: 5e-3, torch.bfloat16: 4e-2}.get(dtype, 2e-5)
    for a, e in zip(actual, expected, strict=True):
        if isinstance(a, dict):
            assert a.keys() == e.keys()
            a, e = list(a.values()), list(e.values())
            pairs = [(x, y) for x, y in zip(a, e, strict=True) if isinstance(x, torch.Tensor)]
        else:
            pairs = [(a.detach(), e.detach())]
        for x, y in pairs:
            torch.testing.assert_close(x.cpu().double(), y.double(), rtol=loose, atol=loose)


def configurations() -> list:
    found = []
    for info in optim_db:
        cls: Any = info.optim_cls
        # SparseAdam wants sparse gradients, and alt has no sparse tensors; the others are below.
        if cls.__name__ in ("SparseAdam", "LBFGS", "Muon"):
            continue
        for config in info.optim_inputs_func(device="alt"):
            kwargs = dict(config.kwargs)
            if any(isinstance(v, torch.Tensor) for v in kwargs.values()):
                continue
            kwargs.pop("capturable", None)
            found.append(pytest.param(cls, kwargs, id=f"{cls.__name__}-{config.desc}"))
    return found


@pytest.mark.parametrize(("cls", "kwargs"), configurations())
def test_default(cls: type, kwargs: dict) -> None:
    """As a script has it: no word of foreach or fused."""
    with altbackend.no_fallback():
        actual = train("alt", cls, kwargs, torch.float32)
    expected = train("cpu", cls, kwargs, torch.float32)
    same(actual[0], expected[0], torch.float32)
    same(actual[1], expected[1], torch.float32)


FUSED = [
    (torch.optim.Adam, {}),
    (torch.optim.Adam, {"amsgrad": True, "weight_decay": 0.1}),
    (torch.optim.Adam, {"maximize": True, "betas": (0.8, 0.9), "eps": 1e-3}),
    (torch.optim.AdamW, {}),
    (torch.optim.AdamW, {"amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    (torch.optim.SGD, {"lr": 0.1}),
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    (torch.optim.Adagrad, {"lr": 0.1}),
    (torch.optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1}),
]


def fused_possible(cls: type) -> bool:
    return "fused" in inspect.signature(cls).parameters


@pytest.mark.parametrize(("cls", "kwargs"), FUSED, ids=lambda v: getattr(v, "__name__", str(v)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_fused(cls: type, kwargs: dict, dtype: torch.dtype) -> None:
    assert fused_possible(cls)
    with altbackend.no_fallback():
        actual = train("alt", cls, {**kwargs, "fused": True}, dtype)
    # torch 2.13's fused SGD on cpu leaves most parameters of the half types as they were.
    stock_errs = cls is torch.optim.SGD and dtype.itemsize == 2
    expected = train("cpu", cls, {**kwargs, "fused": not stock_errs}, dtype)
    same(actual[0], expected[0], dtype)
    same(actual[1], expected[1], dtype)


@pytest.mark.parametrize("implementation", ["foreach", "fused"])
@pytest.mark.parametrize("cls", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_implementations_agree(cls: type, implementation: str) -> None:
    kwargs = {"lr": 0.05, "weight_decay": 0.1}
    one = train("alt", cls, {**kwargs, "foreach": False}, torch.float64)[0]
    other = train("alt", cls, {**kwargs, implementation: True}, torch.float64)[0]
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.cpu(), b.cpu(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cls", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_fused_with_a_tensor_of_learning_rate(cls: type) -> None:
    number = train("alt", cls, {"lr": 0.01, "fused": True}, torch.float32)[0]
    rate = torch.tensor(0.01, device="alt")
    with altbackend.no_fallback():
        tensor = train("alt", cls, {"lr": rate, "fused": True}, torch.float32)[0]
    same([p.cpu() for p in tensor], [p.cpu() for p in number], torch.float32)


@pytest.mark.parametrize("cls", [torch.optim.Adam, torch.optim.SGD])
def test_fused_with_unlike_layouts(cls: type) -> None:
    """A parameter whose gradient has other strides, and one that is not dense."""
    results = []
    for device in ("cpu", "alt"):
        torch.manual_seed(0)
        base = torch.randn(6, 8).to(device)
        parameters = [base[:, ::2].requires_grad_(), torch.randn(4, 5).to(device).requires_grad_()]
        # Stock's fused kernels on cpu assume dense memory: the loop is the reference.
        optimizer = cls(parameters, lr=0.1, **({"fused": True} if device == "alt" else {}))
        for _ in range(3):
            parameters[0].grad = torch.ones(6, 4).to(device) * 0.5
            parameters[1].grad = torch.arange(20.0).view(5, 4).t().to(device)
            optimizer.step()
        results.append([p.detach().cpu() for p in parameters] + [base[:, 1::2].cpu()])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("fused", [False, True])
def test_gradient_scaling(fused: bool) -> None:
    """GradScaler on alt: the steps and the scales of cpu, and a step with infinity is left out."""
    outcome = []
    for device in ("cpu", "alt"):
        torch.manual_seed(0)
        parameter = torch.randn(100).to(device).requires_grad_()
        optimizer = torch.optim.Adam([parameter], lr=0.1, fused=fused)
        scaler = torch.amp.GradScaler(device, init_scale=8.0, growth_interval=2)
        scales = []
        for step in range(8):
            optimizer.zero_grad()
            factor = float("inf") if step == 4 else 1.0
            scaler.scale((parameter * parameter * factor).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
            scales.append(scaler.get_scale())
        outcome.append((parameter.detach().cpu(), scales))
    torch.testing.assert_close(outcome[1][0], outcome[0][0])
    assert outcome[1][1] == outcome[0][1]


def test_lbfgs() -> None:
    results = []
    for device in ("cpu", "alt"):
        x = torch.tensor([-1.5, 2.0]).to(device).requires_grad_()
        optimizer = torch.optim.LBFGS([x], lr=0.5, max_iter=10, line_search_fn="strong_wolfe")

        def closure(x: torch.Tensor = x, optimizer: torch.optim.Optimizer = optimizer) -> Any:
            optimizer.zero_grad()
            loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(closure)
        results.append(x.detach().cpu())
    torch.testing.assert_close(results[1], results[0], rtol=1e-3, atol=1e-3)


def test_muon() -> None:
    results = []
    for device in ("cpu", "alt"):
        torch.manual_seed(0)
        weight = torch.randn(24, 16).to(device).requires_grad_()
        optimizer = torch.optim.Muon([weight], lr=0.1)
        for _, (grad,) in zip(range(STEPS), gradients([weight]), strict=False):
            weight.grad = grad.to(device)
            optimizer.step()
        results.append(weight.detach().cpu())
    # It orthogonalises in bfloat16.
    torch.testing.assert_close(results[1], results[0], rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf"), 3.0])
def test_clipping(norm_type: float) -> None:
    results = []
    for device in ("cpu", "alt"):
        parameters = list(model(torch.float32).to(device).parameters())
        for p, g in zip(parameters, next(gradients(parameters)), strict=True):
            p.grad = g.to(device)
        with altbackend.no_fallback():
            total = torch.nn.utils.clip_grad_norm_(parameters, 0.5, norm_type)
            torch.nn.utils.clip_grad_value_(parameters, 0.01)
        clipped = [p.grad.cpu() for p in parameters if p.grad is not None]
        results.append([total.cpu(), *clipped])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_swa_and_ema() -> None:
    results = []
    for device in ("cpu", "alt"):
        net = model(torch.float32).to(device)
        average = torch.optim.swa_utils.AveragedModel(
            net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
        )
        with torch.no_grad():
            for k in range(3):
                for p in net.parameters():
                    p.add_(0.1 * (k + 1))
                average.update_parameters(net)
        results.append([p.detach().cpu() for p in average.parameters()])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


RMSPROP = [
    {},
    {"weight_decay": 0.1, "maximize": True},
    {"momentum": 0.9},
    {"centered": True, "alpha": 0.3},
    {"centered": True, "momentum": 0.5, "weight_decay": 0.1, "lr": torch.tensor(0.02)},
]


@pytest.mark.parametrize("kwargs", RMSPROP, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rmsprop_rounds_as_the_loop_does(kwargs: dict, dtype: torch.dtype) -> None:
    one = train("alt", torch.optim.RMSprop, kwargs, dtype)
    other = train("alt", torch.optim.RMSprop, {**kwargs, "foreach": False}, dtype)
    for a, b in zip(one[0], other[0], strict=True):
        assert torch.equal(a, b)
    for x, y in zip(one[1], other[1], strict=True):
        assert all(torch.equal(x[name], y[name]) for name in y)


def test_rmsprop_needs_no_memory_beside_its_state() -> None:
    parameter = torch.ones(1000, 1000, device="alt", requires_grad=True)
    parameter.grad = torch.ones(1000, 1000, device="alt")
    optimizer = torch.optim.RMSprop([parameter], momentum=0.9)
    optimizer.step()
    before, version = torch.alt.memory_allocated(), parameter._version
    torch.alt.reset_peak_memory_stats()
    optimizer.step()
    assert torch.alt.max_memory_allocated() - before < parameter.nbytes
    assert parameter._version > version  # what autograd saved of it is out of date


def test_rmsprop_of_unlike_layouts_and_no_gradients() -> None:
    results = []
    for device in ("cpu", "alt"):
        parameter = torch.arange(12.0).view(3, 4).to(device).t().requires_grad_()
        parameter.grad = torch.arange(12.0).view(4, 3).to(device)
        torch.optim.RMSprop([parameter], lr=0.1).step()
        results.append(parameter.detach().cpu())
        torch.optim.RMSprop([torch.zeros(2, device=device, requires_grad=True)]).step()
    torch.testing.assert_close(*results)
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        x = torch.ones(2, device="alt", requires_grad=True)
        grad, square = torch.ones(2, device="alt"), torch.ones(2, device="alt")
        rule = {"lr": 0.1, "alpha": 0.9, "eps": 1e-8, "weight_decay": 0, "momentum": 0}
        rmsprop(
            [x], [grad], [square], [], [], [torch.tensor(0.0)], foreach=None, centered=False, **rule
        )
