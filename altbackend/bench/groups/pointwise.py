"""Elementwise operators: in a cache, at the edge of the caches, and in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from altbackend.bench.scenario import Draw, Group, integers, mask, randn

GROUP = Group("pointwise")
SMALL, MIDDLE, LARGE, HUGE = 1 << 12, 1 << 20, 1 << 24, 1 << 26
SIDE = 4096  # of a square of LARGE elements


def _everywhere(
    name: str,
    function: Callable[..., Tensor],
    arguments: Callable[[int], tuple],
    quick: tuple[int, ...] = (),
) -> None:
    for n in (SMALL, MIDDLE, LARGE):
        GROUP.add(name, n, function, *arguments(n), quick=n in quick)


def _one(n: int) -> tuple[Draw]:
    return (randn(n),)


def _two(n: int) -> tuple[Draw, Draw]:
    return randn(n), randn(n)


_everywhere("add", torch.add, _two, quick=(SMALL, MIDDLE, LARGE))
GROUP.add("add", HUGE, torch.add, *_two(HUGE))
_everywhere("mul scalar", torch.mul, lambda n: (randn(n), 2.5))
_everywhere("add_", torch.Tensor.add_, lambda n: (randn(n), randn(n).viewed(torch.zeros_like)))
_everywhere("relu", F.relu, _one)
_everywhere("exp", torch.exp, _one, quick=(MIDDLE,))
_everywhere("sigmoid", torch.sigmoid, _one)
_everywhere("tanh", torch.tanh, _one)
_everywhere("gelu", F.gelu, _one, quick=(MIDDLE,))
_everywhere("div", torch.div, lambda n: (randn(n), randn(n).viewed(torch.exp)))
_everywhere("pow 2", torch.pow, lambda n: (randn(n), 2))
_everywhere("sqrt", torch.sqrt, lambda n: (randn(n).viewed(torch.abs),))
_everywhere("clamp", torch.clamp, lambda n: (randn(n), -1.0, 1.0))
_everywhere("lt", torch.lt, _two)
_everywhere("where", torch.where, lambda n: (mask(n), randn(n), randn(n)))
_everywhere("addcmul", torch.addcmul, lambda n: (randn(n), randn(n), randn(n)))
_everywhere("masked_fill", torch.Tensor.masked_fill, lambda n: (randn(n), mask(n), 0.0))
_everywhere("add int64", torch.add, lambda n: (integers(n, high=99), integers(n, high=99)))

GROUP.add("mul bfloat16", LARGE, torch.mul, *2 * (randn(LARGE, dtype=torch.bfloat16),))
GROUP.add("mul float16", LARGE, torch.mul, *2 * (randn(LARGE, dtype=torch.float16),))
GROUP.add("add float64", LARGE // 2, torch.add, *2 * (randn(LARGE // 2, dtype=torch.float64),))
GROUP.add("add, promoting", LARGE, torch.add, randn(LARGE, dtype=torch.bfloat16), randn(LARGE))

for side in (64, 1024, SIDE):
    square = randn(side, side)
    GROUP.add("add, a row to each", (side, side), torch.add, square, randn(side))
    GROUP.add("add, a column to each", (side, side), torch.add, square, randn(side, 1))
    GROUP.add(
        "add, transposed",
        (side, side),
        torch.add,
        square,
        square.viewed(torch.t),
        quick=side == 1024,
    )
    GROUP.add("exp, every second", (side, side), torch.exp, square.viewed(lambda x: x[:, ::2]))

for n in (SMALL, MIDDLE, LARGE):
    for function in (F.relu, F.gelu, torch.sigmoid, F.silu):
        name = f"{function.__name__}, backward"
        GROUP.gradient(
            name, n, function, randn(n, grad=True), quick=(n, name[:4]) == (MIDDLE, "gelu")
        )
GROUP.gradient("leaky_relu, backward", MIDDLE, F.leaky_relu, randn(MIDDLE, grad=True))
