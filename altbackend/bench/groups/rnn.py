"""Recurrent layers over a sequence, and cells in a loop."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from altbackend.bench.place import Place
from altbackend.bench.scenario import Group, Work, backward_step, randn

GROUP = Group("rnn")
GATES = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1, nn.LSTMCell: 4, nn.GRUCell: 3}


def _flops(kind: type, width: int, hidden: int, layers: int, both: bool, tokens: int) -> float:
    """Of the products of the forward pass; those of the backward pass are twice as many."""
    directions = 2 if both else 1
    widths = [width, *[hidden * directions] * (layers - 1)]
    return 2.0 * tokens * GATES[kind] * hidden * directions * sum(w + hidden for w in widths)


def _layer(kind: type, shape: tuple, layers: int, both: bool, train: bool, place: Place) -> Work:
    steps, batch, width, hidden = shape
    layer = kind(width, hidden, layers, bidirectional=both).to(place.device)
    x = randn(steps, batch, width, grad=train)(place)
    compiled = place.compiled(layer)
    if not train:
        return Work(torch.no_grad()(lambda: compiled(x)))
    return Work(backward_step(lambda: compiled(x)[0], [x, *layer.parameters()]))


def _cells(kind: type, shape: tuple, place: Place) -> Work:
    steps, batch, width, hidden = shape
    cell = kind(width, hidden).to(place.device)
    x = randn(steps, batch, width, grad=True)(place)

    def loop() -> Tensor:
        state, outputs = None, []
        for t in range(steps):
            state = cell(x[t], state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs)

    return Work(backward_step(place.compiled(loop), [x, *cell.parameters()]))


def _add(
    kind: type,
    shape: tuple[int, int, int, int],
    layers: int = 1,
    both: bool = False,
    quick: str = "",
) -> None:
    steps, batch, width, hidden = shape
    flops = _flops(kind, width, hidden, layers, both, steps * batch)
    name = (
        kind.__name__
        + (f" of {layers} layers" if layers > 1 else "")
        + (", both ways" if both else "")
    )
    for train in (False, True):
        GROUP.build(
            name + (", training" if train else ""),
            shape,
            functools.partial(_layer, kind, shape, layers, both, train),
            flops=flops * (3 if train else 1),
            bytes=0,
            quick=("t" if train else "f") in quick,
        )


# Steps, batch, width of the input, hidden size.
_add(nn.LSTM, (16, 4, 32, 32), quick="t")
_add(nn.LSTM, (28, 64, 28, 128), quick="ft")
_add(nn.LSTM, (64, 32, 256, 256), layers=2)
_add(nn.LSTM, (64, 32, 256, 256), both=True)
_add(nn.LSTM, (64, 1, 256, 256))
_add(nn.GRU, (28, 64, 28, 128))
_add(nn.GRU, (64, 32, 256, 256), layers=2)
_add(nn.RNN, (64, 32, 256, 256))

for cell, cell_shape in (
    (nn.LSTMCell, (16, 4, 32, 32)),
    (nn.LSTMCell, (64, 32, 256, 256)),
    (nn.GRUCell, (64, 32, 256, 256)),
):
    length, samples, inputs, hidden_size = cell_shape
    GROUP.build(
        f"{cell.__name__} in a loop, training",
        cell_shape,
        functools.partial(_cells, cell, cell_shape),
        flops=3 * _flops(cell, inputs, hidden_size, 1, False, length * samples),
        bytes=0,
        quick=length == 16,
    )
