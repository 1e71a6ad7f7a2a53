"""Convolutions and pooling, forward and in training."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from altbackend.bench.place import Place
from altbackend.bench.scenario import Group, Work, backward_step, randn

GROUP = Group("conv")


def _forward(
    make: Callable[[], nn.Module], shape: tuple[int, ...], last: bool, place: Place
) -> Work:
    module, x = make().to(place.device), randn(*shape)(place)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forward = torch.no_grad()(functools.partial(place.compiled(module), x))
    return Work(forward, (x, *module.parameters()))


def _training(make: Callable[[], nn.Module], shape: tuple[int, ...], place: Place) -> Work:
    module, x = make().to(place.device), randn(*shape, grad=True)(place)
    leaves = [x, *module.parameters()]
    return Work(backward_step(functools.partial(place.compiled(module), x), leaves), tuple(leaves))


def _flops(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> float:
    """Multiplications and additions of the forward pass, those with padding included."""
    with torch.device("meta"):
        module, x = make(), torch.empty(shape)
        y = module(x)
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    # Each output meets the weights of its channel; transposed, each input does.
    met = x if isinstance(module, nn.ConvTranspose2d) else y
    return 2.0 * met.numel() * weight[0].numel()


def _conv(name: str, make: Callable[[], nn.Module], *shape: int, quick: str = "") -> None:
    """The row of the forward pass, and the one with the backward pass, of two products more."""
    forward = functools.partial(_forward, make, shape, False)
    both = functools.partial(_training, make, shape)
    flops = _flops(make, shape)
    GROUP.build(name, shape, forward, flops=flops, quick="f" in quick)
    GROUP.build(
        f"{name}, training", shape, both, flops=3 * flops, backward=True, quick="t" in quick
    )


conv = functools.partial
_conv("3x3", conv(nn.Conv2d, 16, 16, 3, padding=1), 4, 16, 16, 16)
_conv("3x3", conv(nn.Conv2d, 64, 64, 3, padding=1), 8, 64, 56, 56, quick="ft")
_conv("3x3", conv(nn.Conv2d, 128, 128, 3, padding=1), 16, 128, 28, 28)
_conv("3x3", conv(nn.Conv2d, 512, 512, 3, padding=1), 8, 512, 7, 7)
_conv("3x3, one image", conv(nn.Conv2d, 64, 64, 3, padding=1), 1, 64, 56, 56)
_conv("3x3, stride 2", conv(nn.Conv2d, 64, 128, 3, stride=2, padding=1), 8, 64, 56, 56)
_conv("3x3, dilated", conv(nn.Conv2d, 64, 64, 3, padding=2, dilation=2), 8, 64, 28, 28)
_conv("1x1", conv(nn.Conv2d, 256, 64, 1), 8, 256, 56, 56)
_conv("5x5 of LeNet", conv(nn.Conv2d, 1, 6, 5, padding=2), 64, 1, 28, 28, quick="ft")
_conv("5x5 of LeNet", conv(nn.Conv2d, 6, 16, 5), 64, 6, 14, 14)
_conv("7x7 of ResNet", conv(nn.Conv2d, 3, 64, 7, stride=2, padding=3), 4, 3, 224, 224)
_conv("depthwise", conv(nn.Conv2d, 128, 128, 3, padding=1, groups=128), 8, 128, 56, 56)
_conv("grouped", conv(nn.Conv2d, 128, 128, 3, padding=1, groups=4), 8, 128, 28, 28)
_conv("1d", conv(nn.Conv1d, 64, 64, 5, padding=2), 16, 64, 512)
_conv("3d", conv(nn.Conv3d, 16, 16, 3, padding=1), 2, 16, 16, 32, 32)
_conv("transposed", conv(nn.ConvTranspose2d, 64, 32, 4, stride=2, padding=1), 8, 64, 28, 28)

CHANNELS_LAST = (8, 64, 56, 56)
three = conv(nn.Conv2d, 64, 64, 3, padding=1)
GROUP.build(
    "3x3, channels_last",
    CHANNELS_LAST,
    functools.partial(_forward, three, CHANNELS_LAST, True),
    flops=_flops(three, CHANNELS_LAST),
)

for image in ((64, 6, 28, 28), (16, 64, 112, 112)):
    x = randn(*image, grad=True)
    GROUP.gradient("max_pool 2", image, functools.partial(F.max_pool2d, kernel_size=2), x)
    GROUP.gradient(
        "max_pool 3, stride 2",
        image,
        functools.partial(F.max_pool2d, kernel_size=3, stride=2, padding=1),
        x,
    )
    GROUP.gradient("avg_pool 2", image, functools.partial(F.avg_pool2d, kernel_size=2), x)
GROUP.gradient(
    "adaptive_avg_pool",
    (32, 512, 7, 7),
    functools.partial(F.adaptive_avg_pool2d, output_size=1),
    randn(32, 512, 7, 7, grad=True),
)
GROUP.gradient(
    "upsample, nearest",
    (8, 32, 64, 64),
    functools.partial(F.interpolate, scale_factor=2),
    randn(8, 32, 64, 64, grad=True),
)
GROUP.gradient(
    "upsample, bilinear",
    (8, 32, 64, 64),
    functools.partial(F.interpolate, scale_factor=2, mode="bilinear"),
    randn(8, 32, 64, 64, grad=True),
)
