"""Scaled dot-product attention, and the layer around it."""

from __future__ import annotations

import functools

import torch
from torch import nn
from torch.nn import functional as F

from altbackend.bench.place import Place
from altbackend.bench.scenario import Group, Work, backward_step, mask, randn

GROUP = Group("attention")
attention = F.scaled_dot_product_attention
causal = functools.partial(attention, is_causal=True)


def _multihead(shape: tuple[int, int, int], place: Place) -> Work:
    layer = nn.MultiheadAttention(shape[2], 8, batch_first=True).to(place.device)
    x = randn(*shape, grad=True)(place)
    compiled = place.compiled(layer)

    def forward() -> torch.Tensor:
        return compiled(x, x, x, need_weights=False)[0]

    return Work(backward_step(forward, [x, *layer.parameters()]))


# Batch, heads, length, width of a head.
for batch, heads, length, width in ((2, 4, 32, 32), (4, 8, 256, 64), (1, 8, 2048, 64)):
    shape, quick = (batch, heads, length, width), length == 256
    flops = 4.0 * batch * heads * length * length * width
    q, q_grad = randn(*shape), randn(*shape, grad=True)
    # Backward computes the scores once more: five products after the two of the forward pass. A
    # causal mask leaves half of the work.
    GROUP.add("sdpa", shape, attention, q, q, q, flops=flops, quick=quick)
    GROUP.add("sdpa, causal", shape, causal, q, q, q, flops=flops / 2)
    GROUP.add("sdpa, masked", shape, attention, q, q, q, mask(length, length), flops=flops)
    gradient = 3.5 * flops
    GROUP.gradient(
        "sdpa, training", shape, attention, q_grad, q_grad, q_grad, flops=gradient, quick=quick
    )
    GROUP.gradient(
        "sdpa, causal, training", shape, causal, q_grad, q_grad, q_grad, flops=gradient / 2
    )

for layer_shape in ((4, 32, 64), (8, 128, 512)):
    GROUP.build(
        "MultiheadAttention, training",
        layer_shape,
        functools.partial(_multihead, layer_shape),
        flops=None,
        bytes=0,
    )
