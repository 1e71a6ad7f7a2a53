"""Sums, extremes and scans: over everything, over rows, over columns."""

from __future__ import annotations

import functools

import torch

from altbackend.bench.scenario import Group, mask, randn

GROUP = Group("reduction")

for n in (1 << 12, 1 << 20, 1 << 24, 1 << 26):
    GROUP.add("sum", n, torch.sum, randn(n), quick=n <= 1 << 24)
for n in (1 << 12, 1 << 20, 1 << 24):
    GROUP.add("mean", n, torch.mean, randn(n))
    GROUP.add("max", n, torch.max, randn(n))
    # On one thread stock adds up 16M squares with an error of 6e-4.
    GROUP.add("norm", n, torch.linalg.vector_norm, randn(n), tolerance=5e-3)
    GROUP.add("any", n, torch.any, randn(n).viewed(lambda x: x > 99))
    GROUP.add("cumsum", n, functools.partial(torch.cumsum, dim=0), randn(n), tolerance=1e-3)

for rows, columns in ((64, 64), (1024, 1024), (16384, 1024)):
    shape, x = (rows, columns), randn(rows, columns)
    for dim, of in ((1, "rows"), (0, "columns")):
        over = functools.partial
        middle = rows == 1024
        GROUP.add(f"sum of {of}", shape, over(torch.sum, dim=dim), x, quick=middle)
        GROUP.add(f"max of {of}", shape, over(torch.max, dim=dim), x)
        GROUP.add(
            f"argmax of {of}", shape, over(torch.argmax, dim=dim), x, quick=middle and dim == 1
        )
        GROUP.add(f"var of {of}", shape, over(torch.var, dim=dim), x)
        GROUP.add(f"logsumexp of {of}", shape, over(torch.logsumexp, dim=dim), x)
        GROUP.add(f"cumsum of {of}", shape, over(torch.cumsum, dim=dim), x, tolerance=1e-3)

LARGE = (32, 64, 56, 56)
GROUP.add("mean of images", LARGE, functools.partial(torch.mean, dim=(2, 3)), randn(*LARGE))
GROUP.add("sum of channels", LARGE, functools.partial(torch.sum, dim=(0, 2, 3)), randn(*LARGE))
GROUP.add(
    "sum of the middle", (64, 512, 256), functools.partial(torch.sum, dim=1), randn(64, 512, 256)
)
GROUP.add("sum bfloat16", 1 << 24, torch.sum, randn(1 << 24, dtype=torch.bfloat16), tolerance=1e-2)
GROUP.add("count of true", 1 << 24, torch.sum, mask(1 << 24))
GROUP.gradient("mean, backward", 1 << 20, torch.mean, randn(1 << 20, grad=True))
