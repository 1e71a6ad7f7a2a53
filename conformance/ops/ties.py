"""What documentation leaves open.

Which of equal elements an index names: what it points at is compared. The singular vectors of a
singular value that is zero: only the values are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from conformance.suite.outcome import materialized

Tensors = list[torch.Tensor]


def _ordered(given: torch.Tensor, indices: torch.Tensor, dim: int) -> Tensors:
    # Every place is named once, and the elements come in the same order.
    return [indices.sort(dim).values, given.gather(dim, indices)]


def _chosen(given: torch.Tensor, indices: torch.Tensor, dim: int) -> Tensors:
    if indices.dim() < given.dim():
        indices = indices.unsqueeze(dim)
    return [given.gather(dim, indices)]


def _pointed_at(
    elements: Callable[[torch.Tensor, torch.Tensor, int], Tensors], place: int = 0
) -> Callable[[Any, Any], Tensors | None]:
    """What indices, the last of the results, say of the sample's input.

    The dimension is the argument behind the input at ``place``.
    """

    def meaning(sample: Any, result: Any) -> Tensors | None:
        if sample.kwargs.get("stable"):
            return None
        values = list(result) if isinstance(result, tuple) else [result]
        indices = values.pop().detach().cpu()
        if indices.dtype != torch.int64:  # the median of all, which has no index
            return None
        dim = sample.kwargs.get("dim", (*sample.args, *[-1] * (place + 1))[place])
        pointed = elements(materialized(sample.input.detach()), indices, dim)
        return [x.detach().cpu() for x in values] + pointed

    return meaning


def _singular_values(sample: Any, result: Any) -> Tensors | None:
    values = result[1].detach().cpu()  # the samples give U V^H and the singular values
    return [values] if (values <= 1e-6 * values.max()).any() else None


# The operators whose documentation leaves it open.
OPERATORS: dict[str, Callable[[Any, Any], Tensors | None]] = {
    "sort": _pointed_at(_ordered),
    "argsort": _pointed_at(_ordered),
    "median": _pointed_at(_chosen),
    "nanmedian": _pointed_at(_chosen),
    "kthvalue": _pointed_at(_chosen, place=1),
    "topk": _pointed_at(_chosen, place=1),
    "svd_lowrank": _singular_values,
}


def meant(operator: str, sample: Any, result: Any) -> Tensors | None:
    """What the result says but for what is open; None where nothing is."""
    meaning = OPERATORS.get(operator)
    return meaning(sample, result) if meaning else None
