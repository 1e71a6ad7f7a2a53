"""What documentation leaves open.

Which of equal elements an index names: what it points at is compared. The singular vectors of a
singular value that is zero: only the values are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from conformance.suite.outcome import materialized


def _ordered(given: torch.Tensor, indices: torch.Tensor, dim: int) -> list[torch.Tensor]:
    # Every place is named once, and the elements come in the same order.
    return [indices.sort(dim).values, given.gather(dim, indices)]


def _chosen(given: torch.Tensor, indices: torch.Tensor, dim: int) -> list[torch.Tensor]:
    if indices.dim() < given.dim():
        indices = indices.unsqueeze(dim)
    return [given.gather(dim, indices)]


# The operators whose documentation leaves it open.
OPERATORS: dict[str, Callable[[torch.Tensor, torch.Tensor, int], list[torch.Tensor]]] = {
    "sort": _ordered,
    "argsort": _ordered,
    "median": _chosen,
    "nanmedian": _chosen,
}


def meant(operator: str, sample: Any, result: Any) -> list[torch.Tensor] | None:
    """What the result says but for the choice among equals; None where there is no choice."""
    if operator == "svd_lowrank":  # the samples give U V^H and the singular values
        values = result[1].detach().cpu()
        return [values] if (values <= 1e-6 * values.max()).any() else None
    if operator not in OPERATORS or sample.kwargs.get("stable"):
        return None
    values = list(result) if isinstance(result, tuple) else [result]
    indices = values.pop().detach().cpu()
    if indices.dtype != torch.int64:  # the median of all, which has no index
        return None
    dim = sample.kwargs.get("dim", sample.args[0] if sample.args else -1)
    pointed = OPERATORS[operator](materialized(sample.input.detach()), indices, dim)
    return [x.detach().cpu() for x in values] + pointed
