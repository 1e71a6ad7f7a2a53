"""One step of an optimizer over a list of parameters, their gradients and its state."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, optim
from torch.nn.utils import clip_grad_norm_

from altbackend.bench import models
from altbackend.bench.place import Place
from altbackend.bench.scenario import Group, Work

GROUP = Group("optimizer")
Make = Callable[[Iterable[Tensor]], optim.Optimizer]

SHAPES: dict[str, list[tuple[int, ...]]] = {
    "MLP, 8 tensors": [(128, 64), (128,), (128,), (128, 128), (128,), (128,), (10, 128), (10,)],
    "100 tensors of 10K": [(100, 100)] * 100,
    "ResNet-18": [tuple(p.shape) for p in models.meta_parameters(models.ResNet18)],
    "16M in one": [(4096, 4096)],
}


def _parameters(name: str, place: Place) -> list[Tensor]:
    found = []
    for shape in SHAPES[name]:
        parameter = torch.randn(shape).to(place.device).requires_grad_()
        parameter.grad = torch.randn(shape).to(place.device)
        found.append(parameter)
    return found


def _step(make: Make, name: str, place: Place) -> Work:
    parameters = _parameters(name, place)
    optimizer = make(parameters)
    return Work(place.compiled(optimizer.step), results=lambda: parameters)


def _clip(name: str, place: Place) -> Work:
    parameters = _parameters(name, place)
    return Work(
        functools.partial(clip_grad_norm_, parameters, 1.0),
        results=lambda: [p.grad for p in parameters],
    )


def _zero(name: str, place: Place) -> Work:
    parameters = _parameters(name, place)
    optimizer = optim.SGD(parameters)
    return Work(
        functools.partial(optimizer.zero_grad, set_to_none=False),
        results=lambda: [p.grad for p in parameters],
    )


# Small enough a rate that thousands of steps with one gradient lead nowhere.
make = functools.partial
RATE = 1e-6
# With each: the passes over memory of one step, reads of parameter, gradient and state and writes.
OPTIMIZERS: dict[str, tuple[Make, int]] = {
    "SGD": (make(optim.SGD, lr=RATE), 3),
    "SGD with momentum": (make(optim.SGD, lr=RATE, momentum=0.9), 5),
    "Adam": (make(optim.Adam, lr=RATE), 7),
    "Adam, fused": (make(optim.Adam, lr=RATE, fused=True), 7),
    "AdamW": (make(optim.AdamW, lr=RATE), 7),
    "RMSprop": (make(optim.RMSprop, lr=RATE), 5),
    "Adagrad": (make(optim.Adagrad, lr=RATE), 5),
}

for sort, shapes in SHAPES.items():
    elements = sum(torch.Size(shape).numel() for shape in shapes)
    for optimizer, (maker, passes) in OPTIMIZERS.items():
        GROUP.build(
            optimizer,
            sort,
            functools.partial(_step, maker, sort),
            bytes=4.0 * passes * elements,
            elements=elements,
            quick=(optimizer in ("SGD", "Adam") and sort[0] in "M1" and sort != "16M in one"),
        )
    # The norm reads the gradients, the scaling reads and writes them.
    GROUP.build(
        "clip_grad_norm_", sort, make(_clip, sort), bytes=12.0 * elements, elements=elements
    )
    GROUP.build("zero_grad", sort, make(_zero, sort), bytes=4.0 * elements, elements=elements)
