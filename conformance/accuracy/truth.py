"""The truth: the same computation in float64. (Of float64 it is conformance.ops.digits.)"""

from __future__ import annotations

from typing import Any

import torch

from conformance.suite.tensors import map_tensors


def in_double(op: Any, sample: Any) -> Any:
    """The operator on the sample's values in float64, on stock CPU."""

    def widen(x: torch.Tensor) -> torch.Tensor:
        return x.detach().double() if x.is_floating_point() else x.detach()

    given, args, kwargs = map_tensors(widen, (sample.input, sample.args, sample.kwargs))
    return op.op(given, *args, **kwargs)
