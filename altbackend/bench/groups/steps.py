"""Whole training steps: forward, loss, backward, optimizer."""

from __future__ import annotations

import functools
from collections.abc import Callable

from torch import Tensor, nn, optim
from torch.nn import functional as F

from altbackend.bench import models
from altbackend.bench.place import Place
from altbackend.bench.scenario import Draw, Group, Work, integers, randn

GROUP = Group("steps")

# Small enough rates that thousands of steps with one batch lead nowhere.
sgd = functools.partial(optim.SGD, lr=1e-4, momentum=0.9)
adam = functools.partial(optim.Adam, lr=1e-6)


def _training(
    make: Callable[[], nn.Module],
    optimizer: Callable[..., optim.Optimizer],
    inputs: Draw,
    classes: int,
    place: Place,
) -> Work:
    model = make().to(place.device)
    forward = place.compiled(model)
    x = inputs(place)
    targets = integers(x.shape[0], high=classes)(place)
    optimize = optimizer(model.parameters())

    def step() -> Tensor:
        optimize.zero_grad()
        loss = F.cross_entropy(forward(x), targets)
        loss.backward()
        optimize.step()
        return loss.detach()

    return Work(step, results=lambda: [p.grad for p in model.parameters()])


def _add(
    name: str,
    shape: str,
    make: Callable[[], nn.Module],
    optimizer: Callable[..., optim.Optimizer],
    inputs: Draw,
    classes: int = 10,
    draws: bool = False,
    quick: bool = False,
    tolerance: float = 1e-2,
) -> None:
    build = functools.partial(_training, make, optimizer, inputs, classes)
    # A number that rounding puts on the other side of a ReLU moves gradients by far more than
    # rounding itself; the deeper the network, the more of them.
    GROUP.build(
        name, shape, build, flops=None, bytes=0, draws=draws, tolerance=tolerance, quick=quick
    )


for batch in (1, 256):
    _add(
        "logistic regression",
        f"batch {batch}",
        models.LogisticRegression,
        sgd,
        randn(batch, 1, 28, 28),
        quick=batch == 1,
    )
for batch in (32, 512):
    _add(
        "MLP, BatchNorm, Adam",
        f"batch {batch}",
        models.mlp,
        adam,
        randn(batch, 1, 28, 28),
        draws=True,
        quick=batch == 32,
    )
for batch in (1, 64, 512):
    _add("LeNet", f"batch {batch}", models.lenet, sgd, randn(batch, 1, 28, 28), quick=batch == 64)
for batch, length in ((8, 16), (64, 64)):
    _add(
        "LSTM classifier",
        f"batch {batch}, {length} words",
        models.LSTMClassifier,
        adam,
        integers(batch, length, high=5000),
        quick=batch == 64,
    )
for batch in (8, 64):
    _add(
        "LSTMCell loop",
        f"batch {batch}",
        models.LSTMCellClassifier,
        adam,
        randn(batch, 1, 28, 28),
        quick=batch == 8,
    )
# Stock's own gradients are up to 2e-2 of the largest away from those in float64, by the ReLUs that
# rounding switches; other orders of its sums switch others.
for batch, pixels in ((8, 64), (4, 224)):
    _add(
        "ResNet-18",
        f"batch {batch}, {pixels} px",
        models.ResNet18,
        sgd,
        randn(batch, 3, pixels, pixels),
        classes=1000,
        quick=pixels == 64,
        tolerance=2e-1,
    )
for batch, length in ((2, 32), (8, 128)):
    _add(
        "Transformer encoder",
        f"batch {batch}, {length} words",
        models.Transformer,
        adam,
        integers(batch, length, high=5000),
        draws=True,
        quick=batch == 2,
    )
