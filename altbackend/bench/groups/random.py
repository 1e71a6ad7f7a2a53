"""Random numbers, by the device's generator."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from altbackend.bench.place import Place
from altbackend.bench.scenario import Group, Work, rand, randn, zeros

GROUP = Group("random")


def _on_device(factory: Callable[..., Tensor], *arguments: Any) -> Callable[[Place], Work]:
    """Builds a row of a factory, which has no argument to tell it the device."""

    def build(place: Place) -> Work:
        return Work(functools.partial(factory, *arguments, device=place.device))

    return build


for n in (1 << 12, 1 << 20, 1 << 24):
    middle = n == 1 << 20
    GROUP.build("rand", n, _on_device(torch.rand, n), draws=True, quick=middle)
    GROUP.build("randn", n, _on_device(torch.randn, n), draws=True, quick=middle)
    GROUP.build("randint", n, _on_device(torch.randint, 1000, (n,)), draws=True)
    GROUP.add("normal_", n, torch.Tensor.normal_, zeros(n), bytes=4 * n, draws=True)
    GROUP.add("exponential_", n, torch.Tensor.exponential_, zeros(n), bytes=4 * n, draws=True)
    GROUP.add("bernoulli", n, torch.bernoulli, rand(n), draws=True)
    GROUP.gradient(
        "dropout, backward",
        n,
        functools.partial(F.dropout, p=0.5),
        randn(n, grad=True),
        draws=True,
        quick=middle,
    )
for n in (1 << 10, 1 << 20):
    GROUP.build("randperm", n, _on_device(torch.randperm, n), draws=True)
for rows, classes in ((64, 10), (256, 32000)):
    GROUP.add("multinomial", (rows, classes), torch.multinomial, rand(rows, classes), 1, draws=True)
