"""Counting the floating-point operations of a step, without doing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from altbackend.bench.place import Place
from altbackend.bench.scenario import Scenario


def count(given: Scenario) -> float:
    """Of the products, convolutions and attention in one step.

    The work is built on the device "meta", which computes nothing and has no fused kernels that
    would hide the products in them, as the cpu's LSTM and encoder layers do.
    """
    work = given.build(Place("meta"))
    with _Counter() as counter:
        work.step()
    return counter.total


class _Counter(TorchDispatchMode):
    """Adds up torch's own formulas.

    FlopCounterMode would do, but the hooks by which it tells modules apart do not go together with
    ``torch.autograd.grad`` for a module's input.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Count one operator, or those that it is made of."""
        named = kwargs or {}
        formula = flop_registry.get(func.overloadpacket)
        if formula is None and func is not torch.ops.prim.device.default:
            with self:
                result = func.decompose(*args, **named)
            if result is not NotImplemented:
                return result
        result = func(*args, **named)
        if formula is not None:
            self.total += formula(*args, **named, out_val=result)
        return result
