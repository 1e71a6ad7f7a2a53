"""Optimizers with neither ``foreach`` nor ``fused`` given take the fused kernel on alt.

torch.optim takes foreach for an accelerator: a pass over memory, and a temporary of the size of all
parameters, for every operation of the rule. On the CPU, whose memory a student's laptop has little
of, it takes neither. The fused kernels pass once and need no temporary, with stock's own rounding
in float32 and float64; in half types the rule's intermediate values would not be rounded as
stock's, so those stay with foreach. PyTorch has no fused kernel of RMSprop: that one is ours alone.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from altbackend import _C

_FUNCTIONS = {"sgd": "sgd", "adam": "adam", "adamw": "adam", "adagrad": "adagrad"}


def fuse_by_default() -> None:
    """From here on, in this process."""
    for name, home in _FUNCTIONS.items():
        module: Any = importlib.import_module(f"torch.optim.{name}")
        setattr(module, home, _fusing(getattr(module, home)))
    rmsprop: Any = importlib.import_module("torch.optim.rmsprop")
    rmsprop.rmsprop = _fusing_rmsprop(rmsprop.rmsprop)


def _fusing(rule: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(rule)
    def fused(params: list[Tensor], grads: list[Tensor], *args: Any, **kwargs: Any) -> None:
        # The optimizer classes give both by name; None is what the user leaves open.
        if kwargs.get("foreach", False) is None and kwargs.get("fused", False) is None:
            kwargs["fused"] = _can_fuse(params, grads, args[0], kwargs) or None
        rule(params, grads, *args, **kwargs)

    return fused


def _can_fuse(
    params: list[Tensor], grads: list[Tensor], state: list[Any], kwargs: dict[str, Any]
) -> bool:
    return (
        not torch.compiler.is_compiling()
        # Stock's fused SGD has no word for a parameter that joins the others later.
        and len({entry is None for entry in state}) <= 1
        and not kwargs.get("differentiable")
        and not kwargs.get("capturable")
        and _C.can_fuse(params, grads)
    )


def _fusing_rmsprop(rule: Callable[..., None]) -> Callable[..., None]:
    options = ("alpha", "eps", "weight_decay", "momentum", "centered")

    @functools.wraps(rule)
    def fused(
        params: list[Tensor], grads: list[Tensor], *state: list[Tensor], **kwargs: Any
    ) -> None:
        done = (
            kwargs.get("foreach", False) is None
            # Of a parameter that requires a gradient, stock's raises.
            and not torch.is_grad_enabled()
            and _can_fuse(params, grads, [], kwargs)
            and _C.rmsprop(
                params,
                grads,
                *state[:3],
                lr=float(kwargs["lr"]),
                maximize=kwargs.get("maximize", False),
                **{name: kwargs[name] for name in options},
            )
        )
        if not done:
            rule(params, grads, *state, **kwargs)
        elif params:
            # As stock's foreach: a number would become a tensor for every step that is on the CPU.
            one = torch.ones((), device=state[3][0].device)
            torch._foreach_add_(state[3], one, alpha=1)

    return fused
