"""Softmax and log-softmax, over rows and over channels."""

from __future__ import annotations

import functools

from torch.nn import functional as F

from altbackend.bench.scenario import Group, mask, randn

GROUP = Group("softmax")

for rows, width in ((64, 10), (1024, 1000), (4096, 4096)):
    shape = (rows, width)
    for function in (F.softmax, F.log_softmax):
        name, call = function.__name__, functools.partial(function, dim=-1)
        GROUP.add(name, shape, call, randn(*shape), quick=rows != 64 and name == "softmax")
        GROUP.gradient(
            f"{name}, backward",
            shape,
            call,
            randn(*shape, grad=True),
            quick=rows == 1024 and name == "log_softmax",
        )

for image in ((8, 21, 16, 16), (8, 21, 256, 256)):
    GROUP.add("softmax of channels", image, functools.partial(F.softmax, dim=1), randn(*image))

ATTENTION = (8, 8, 256, 256)
GROUP.add(
    "softmax, masked",
    ATTENTION,
    lambda x, keep: F.softmax(x.masked_fill(keep, float("-inf")), dim=-1),
    randn(*ATTENTION),
    mask(256, 256),
    bytes=2 * 4 * 8 * 8 * 256 * 256,
)
