"""The same sample lying differently in memory."""

from __future__ import annotations

import torch


def noncontiguous(x: torch.Tensor) -> torch.Tensor:
    """Every second element of a tensor twice as wide."""
    if x.dim() == 0 or x.numel() < 2:
        return x
    wide = x.new_empty((*x.shape[:-1], x.shape[-1] * 2))
    wide[..., ::2] = x
    return wide[..., ::2]


def offset(x: torch.Tensor) -> torch.Tensor:
    """The storage starts three elements before the tensor."""
    base = x.new_empty(x.numel() + 3)
    view = base[3:].view(x.shape)
    return view.copy_(x)


def transposed(x: torch.Tensor) -> torch.Tensor:
    """Memory in the opposite order of dimensions."""
    if x.dim() < 2:
        return x
    order = list(reversed(range(x.dim())))
    return x.permute(order).contiguous().permute(order)


def expanded(x: torch.Tensor) -> torch.Tensor:
    """The first index along the first dimension, stride 0."""
    if x.dim() == 0 or x.shape[0] < 2:
        return x
    return x[:1].clone().expand(x.shape)


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """Channels innermost, for the tensors that have channels."""
    if x.dim() == 4:
        return x.contiguous(memory_format=torch.channels_last)
    if x.dim() == 5:
        return x.contiguous(memory_format=torch.channels_last_3d)
    return x


def zero_size(x: torch.Tensor) -> torch.Tensor:
    """Nothing along the first dimension."""
    return x[:0] if x.dim() else x


LAYOUTS = {
    f.__name__: f for f in (noncontiguous, offset, transposed, expanded, channels_last, zero_size)
}
