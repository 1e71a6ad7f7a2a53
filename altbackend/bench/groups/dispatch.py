"""What a call costs when there is nothing to compute: 16 elements."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from altbackend.bench.place import Place
from altbackend.bench.scenario import Group, Work, backward_step, randn

GROUP = Group("dispatch")
N = 16


def _add(name: str, function: Callable[..., Any], *arguments: Any, quick: bool = False) -> None:
    GROUP.add(name, N, function, *arguments, bytes=0, quick=quick)


def _empty(place: Place) -> Work:
    return Work(functools.partial(torch.empty_like, randn(N)(place)), results=lambda: None)


def _chain(x: Tensor, y: Tensor) -> Tensor:
    return torch.tanh(x * y + x)


def _linear(place: Place) -> Work:
    linear = torch.nn.Linear(N, N).to(place.device)
    x = randn(1, N, grad=True)(place)
    return Work(
        backward_step(functools.partial(place.compiled(linear), x), [x, *linear.parameters()])
    )


_add("add", torch.add, randn(N), randn(N), quick=True)
_add("add_", torch.Tensor.add_, randn(N), randn(N).viewed(torch.zeros_like))
_add("mul scalar", torch.mul, randn(N), 2.0)
_add("exp", torch.exp, randn(N))
_add("relu", F.relu, randn(N))
_add("lt", torch.lt, randn(N), randn(N))
_add("sum", torch.sum, randn(N), quick=True)
_add("softmax", functools.partial(F.softmax, dim=-1), randn(4, 4))
_add("view", torch.Tensor.view, randn(N), (4, 4))
_add("slice", torch.Tensor.narrow, randn(N), 0, 4, 8)
_add("clone", torch.clone, randn(N))
_add("cat", lambda x, y: torch.cat((x, y)), randn(N), randn(N))
_add("index", torch.Tensor.__getitem__, randn(N), 3)
_add("item", lambda x: x.sum().item(), randn(N))
_add("mm", torch.mm, randn(4, 4), randn(4, 4))
_add("linear", F.linear, randn(1, N), randn(N, N), randn(N))
_add("chain of 3", _chain, randn(N), randn(N))
GROUP.gradient(
    "chain of 3, backward", N, _chain, randn(N, grad=True), randn(N, grad=True), bytes=0, quick=True
)
GROUP.build("linear, backward", N, _linear, bytes=0)
