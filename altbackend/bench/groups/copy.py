"""Copies: as it lies, turned, cast, joined, filled."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from altbackend.bench.scenario import Group, integers, randn, zeros

GROUP = Group("copy")

for n in (1 << 12, 1 << 20, 1 << 24, 1 << 26):
    GROUP.add("clone", n, torch.clone, randn(n), quick=n in (1 << 20, 1 << 24))
for n in (1 << 12, 1 << 20, 1 << 24):
    x = randn(n)
    GROUP.add("copy_", n, torch.Tensor.copy_, zeros(n), x, bytes=8 * n)
    GROUP.add("zeros_like", n, torch.zeros_like, x, bytes=4 * n)
    GROUP.add("fill_", n, torch.Tensor.fill_, x, 1.5, bytes=4 * n)
    GROUP.add("to bfloat16", n, torch.Tensor.to, x, torch.bfloat16)
    GROUP.add("to float64", n, torch.Tensor.to, x, torch.float64)
    GROUP.add("int64 to float", n, torch.Tensor.to, integers(n, high=99), torch.float32)
    GROUP.add(
        "bytes to float", n, torch.Tensor.to, integers(n, high=99, dtype=torch.uint8), torch.float32
    )
    GROUP.add("cat", n, lambda a, b: torch.cat((a, b)), randn(n // 2), randn(n // 2))

for side in (64, 1024, 4096):
    shape, square = (side, side), randn(side, side)
    GROUP.add("transpose", shape, torch.Tensor.contiguous, square.viewed(torch.t), quick=side != 64)
    GROUP.add(
        "cat of columns", shape, lambda a, b: torch.cat((a, b), 1), *2 * (randn(side, side // 2),)
    )
    GROUP.add("stack", shape, lambda a, b: torch.stack((a, b), -1), *2 * (randn(side, side // 2),))
    GROUP.add("repeat of a row", shape, torch.Tensor.repeat, randn(side), (side, 1))
    GROUP.add("flip", shape, torch.flip, square, (1,))
    GROUP.add("roll", shape, torch.roll, square, 1, 0)
    GROUP.add("every second column", shape, torch.clone, square.viewed(lambda x: x[:, ::2]))

IMAGE = (32, 64, 56, 56)
GROUP.add(
    "to channels_last",
    IMAGE,
    lambda x: x.contiguous(memory_format=torch.channels_last),
    randn(*IMAGE),
)
GROUP.add("pad", IMAGE, F.pad, randn(*IMAGE), (1, 1, 1, 1))
GROUP.add(
    "heads apart", (32, 128, 8, 64), lambda x: x.transpose(1, 2).contiguous(), randn(32, 128, 8, 64)
)
