"""Moving samples between devices without changing how they lie in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map

Transform = Callable[[torch.Tensor], torch.Tensor]


def map_tensors(function: Transform, tree: Any) -> Any:
    """``tree`` with ``function`` applied to each tensor."""
    return tree_map(lambda x: function(x) if isinstance(x, torch.Tensor) else x, tree)


def tensors_in(tree: Any) -> list[torch.Tensor]:
    """Every tensor in ``tree``, in order."""
    return [x for x in tree_leaves(tree) if isinstance(x, torch.Tensor)]


def strided(tree: Any) -> bool:
    """Whether every tensor of ``tree`` is an ordinary strided CPU tensor."""
    return all(
        type(x) in (torch.Tensor, torch.nn.Parameter)
        and x.layout == torch.strided
        and not x.is_quantized
        and x.device.type == "cpu"
        for x in tensors_in(tree)
    )


def twin(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """A tensor on ``device`` with the same values, strides, offset, lazy bits and requires_grad."""
    with torch.no_grad():
        source = tensor.detach()
        if source._is_zerotensor():
            return torch._efficientzerotensor(source.shape, dtype=source.dtype, device=device)
        conjugated, negated = source.is_conj(), source.is_neg()
        if conjugated:
            source = torch.conj(source)
        if negated:
            source = torch._neg_view(source)
        flat = torch.empty(0, dtype=source.dtype).set_(source.untyped_storage())  # type: ignore[call-overload]
        copied = flat.to(device) if device != "cpu" else flat.clone()
        result = copied.as_strided(source.size(), source.stride(), source.storage_offset())
        if negated:
            result = torch._neg_view(result)
        if conjugated:
            result = torch.conj(result)
    return result.detach().requires_grad_(tensor.requires_grad)


def twins(tree: Any, device: str) -> Any:
    """``tree`` with each tensor's twin on ``device``, and device arguments naming it."""

    def one(x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            return twin(x, device)
        if isinstance(x, torch.device) and x.type == "cpu":
            return torch.device(device)
        if isinstance(x, str) and x == "cpu":
            return device
        return x

    moved = tree_map(one, tree)
    if isinstance(moved, tuple) and moved and isinstance(moved[-1], dict):
        arguments = moved[-1]
        if str(arguments.get("device", "")) == "cpu":
            arguments["device"] = device
    return moved
