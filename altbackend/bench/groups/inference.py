"""Networks that answer, without gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import nn

from altbackend.bench import models
from altbackend.bench.place import Place
from altbackend.bench.scenario import Draw, Group, Work, integers, randn

GROUP = Group("inference")


def _answer(make: Callable[[], nn.Module], inputs: Draw, place: Place) -> Work:
    model = make().eval().to(place.device)
    forward = torch.inference_mode()(functools.partial(place.compiled(model), inputs(place)))
    return Work(forward)


def _add(
    name: str, shape: str, make: Callable[[], nn.Module], inputs: Draw, quick: bool = False
) -> None:
    build = functools.partial(_answer, make, inputs)
    GROUP.build(name, shape, build, flops=None, bytes=0, tolerance=1e-3, quick=quick)


for batch in (1, 256):
    digits = randn(batch, 1, 28, 28)
    _add("logistic regression", f"batch {batch}", models.LogisticRegression, digits)
    _add("MLP, BatchNorm", f"batch {batch}", models.mlp, digits, quick=batch == 1)
    _add("LeNet", f"batch {batch}", models.lenet, digits, quick=batch == 256)
    _add("LSTMCell loop", f"batch {batch}", models.LSTMCellClassifier, digits)
for batch in (1, 64):
    words = integers(batch, 64, high=5000)
    _add("LSTM classifier", f"batch {batch}, 64 words", models.LSTMClassifier, words)
for batch in (1, 8):
    words = integers(batch, 128, high=5000)
    _add(
        "Transformer encoder",
        f"batch {batch}, 128 words",
        models.Transformer,
        words,
        quick=batch == 1,
    )
_add("ResNet-18", "batch 8, 64 px", models.ResNet18, randn(8, 3, 64, 64))
_add("ResNet-18", "batch 1, 224 px", models.ResNet18, randn(1, 3, 224, 224), quick=True)
_add("ResNet-18", "batch 8, 224 px", models.ResNet18, randn(8, 3, 224, 224))
