"""Normalisations, in training forward and backward, and in evaluation."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from altbackend.bench.place import Place
from altbackend.bench.scenario import Group, Work, backward_step, randn

GROUP = Group("norm")


def _module(make: Callable[[], nn.Module], shape: tuple[int, ...], place: Place) -> Work:
    module = make().to(place.device)
    x = randn(*shape, grad=True)(place)
    forward = functools.partial(place.compiled(module), x)
    return Work(backward_step(forward, [x, *module.parameters()]), (x,))


def _training(name: str, make: Callable[[], nn.Module], *shape: int, quick: bool = False) -> None:
    build = functools.partial(_module, make, shape)
    GROUP.build(f"{name}, training", shape, build, backward=True, quick=quick)


for n, c, side in ((8, 16, 8), (16, 64, 28), (32, 64, 56)):
    image = (n, c, side, side)
    _training("batch_norm 2d", functools.partial(nn.BatchNorm2d, c), *image, quick=side != 8)
    GROUP.add(
        "batch_norm 2d, evaluation",
        image,
        F.batch_norm,
        randn(*image),
        randn(c),
        randn(c).viewed(torch.abs),
    )
    _training("group_norm", functools.partial(nn.GroupNorm, 8, c), *image)
    _training("instance_norm", functools.partial(nn.InstanceNorm2d, c), *image)

for n, c in ((64, 128), (1024, 512)):
    _training("batch_norm 1d", functools.partial(nn.BatchNorm1d, c), n, c)

for rows, width in ((16, 64), (512, 512), (8192, 1024)):
    _training("layer_norm", functools.partial(nn.LayerNorm, width), rows, width, quick=rows != 16)
    _training("rms_norm", functools.partial(nn.RMSNorm, width), rows, width)
    GROUP.add(
        "layer_norm",
        (rows, width),
        F.layer_norm,
        randn(rows, width),
        (width,),
        randn(width),
        randn(width),
    )
    GROUP.add("normalize", (rows, width), F.normalize, randn(rows, width))
