"""Sorting and what is built on order."""

from __future__ import annotations

import functools

import torch

from altbackend.bench.scenario import Group, distinct, integers, rand

GROUP = Group("sort")

for n in (1 << 10, 1 << 17, 1 << 22):
    x, middle = distinct(n), n == 1 << 17
    GROUP.add("sort", n, torch.sort, x, quick=middle)
    GROUP.add("argsort, descending", n, functools.partial(torch.argsort, descending=True), x)
    GROUP.add("topk 100", n, torch.topk, x, 100, quick=middle)
    GROUP.add("median", n, torch.median, x)
    GROUP.add("unique", n, torch.unique, integers(n, high=n // 4))
    GROUP.add("sort int64", n, torch.sort, distinct(n).viewed(torch.Tensor.long))
    GROUP.add("bincount", n, torch.bincount, integers(n, high=1000))
    GROUP.add("histc", n, functools.partial(torch.histc, bins=100, min=0, max=1), rand(n))
    GROUP.add(
        "searchsorted", n, torch.bucketize, rand(n), rand(1024).viewed(lambda x: x.sort().values)
    )

for rows, width in ((64, 64), (1024, 1000), (65536, 64)):
    shape, x = (rows, width), distinct(rows, width)
    GROUP.add("sort of rows", shape, functools.partial(torch.sort, dim=-1), x, quick=rows == 1024)
    GROUP.add("topk 5 of rows", shape, torch.topk, x, 5, quick=rows == 1024)
    GROUP.add("median of rows", shape, functools.partial(torch.median, dim=-1), x)
    GROUP.add("kthvalue of rows", shape, torch.kthvalue, x, width // 4)
GROUP.add(
    "sort of columns", (1024, 1000), functools.partial(torch.sort, dim=0), distinct(1024, 1000)
)
