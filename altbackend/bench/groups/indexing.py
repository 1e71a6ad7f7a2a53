"""Reading and writing by index and by mask."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from altbackend.bench.scenario import Group, distinct, integers, mask, randn, zeros

GROUP = Group("indexing")


def _fill(x: Tensor, mask: Tensor, value: float) -> Tensor:
    x[mask] = value
    return x


def _accumulate(x: Tensor, index: Tensor, values: Tensor) -> Tensor:
    return torch.zeros_like(x).index_put_((index,), values, accumulate=True)


def _scatter(x: Tensor, index: Tensor, values: Tensor) -> Tensor:
    return torch.zeros_like(x).scatter_add_(1, index, values)


def _assign(x: Tensor, part: Tensor) -> Tensor:
    x[:, : part.shape[1]] = part
    return x


for words, width, picks in ((100, 16, 64), (10000, 128, 4096), (50000, 512, 16384)):
    shape, middle = (picks, width), words == 10000
    table, picked = randn(words, width), integers(picks, high=words)
    rows = 2 * 4 * picks * width  # those picked, read and written
    GROUP.add("index_select", shape, torch.index_select, table, 0, picked, bytes=rows, quick=middle)
    GROUP.add("index", shape, torch.Tensor.__getitem__, table, picked, bytes=rows)
    GROUP.add("embedding", shape, F.embedding, picked, table, bytes=rows)
    GROUP.gradient(
        "embedding, backward",
        shape,
        F.embedding,
        picked,
        randn(words, width, grad=True),
        bytes=2 * rows + 4 * words * width,
        quick=middle,
    )
    written = rows + 4 * words * width
    values = randn(picks, width)
    GROUP.add("index_put, accumulating", shape, _accumulate, table, picked, values, bytes=written)
    GROUP.add("index_add", shape, torch.index_add, table, 0, picked, values)

for rows, width in ((64, 64), (1024, 1024), (4096, 4096)):
    shape, n, middle = (rows, width), rows * width, rows == 1024
    x, index = randn(rows, width), integers(rows, width, high=width)
    GROUP.add("gather", shape, torch.gather, x, 1, index, quick=middle)
    GROUP.add(
        "scatter_add", shape, _scatter, x, index, randn(rows, width), bytes=20 * n, quick=middle
    )
    GROUP.add("masked_select", shape, torch.masked_select, x, mask(rows, width), quick=middle)
    GROUP.add("index by a mask", shape, Tensor.__getitem__, x, mask(rows, width))
    GROUP.add("assign by a mask", shape, _fill, x, mask(rows, width), 0.0)
    GROUP.add("nonzero", shape, torch.nonzero, mask(rows, width))
    GROUP.add("masked_fill_", shape, torch.Tensor.masked_fill_, x, mask(rows, width), 0.0)
    GROUP.add("take_along_dim", shape, torch.take_along_dim, x, index, 1)
    GROUP.add("tril", shape, torch.tril, x)
    GROUP.add(
        "slice assigned", shape, _assign, zeros(rows, width), randn(rows, width // 2), bytes=4 * n
    )
    GROUP.add(
        "one_hot",
        shape,
        functools.partial(F.one_hot, num_classes=width),
        integers(rows, high=width),
    )
    GROUP.add(
        "rows in random order",
        shape,
        torch.Tensor.__getitem__,
        x,
        distinct(rows).viewed(torch.Tensor.long),
    )
