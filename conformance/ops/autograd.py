"""Variants about differentiation: gradients, double backward, forward mode, metadata."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import forward_ad

from conformance.ops.context import Context
from conformance.ops.variants import FEW, seeded_like
from conformance.suite.cells import NotApplicable
from conformance.suite.outcome import (
    Difference,
    compare_errors,
    compare_values,
    outcome,
)
from conformance.suite.tensors import tensors_in

MANY = 24  # samples, evenly spread, of a gradient that float64 has already shown to be right
DOUBLE = (torch.float64, torch.complex128)


def _differentiated(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and x.requires_grad and x.grad_fn is not None


def _differentiate(context: Context, sample: Any, order: int) -> Callable[..., Any]:
    """Gradients (of gradients) of all inputs, from the same outer gradients on either device."""

    def call(given: Any, args: tuple, kwargs: dict) -> Any:
        leaves = [x for x in tensors_in((given, args, kwargs)) if x.requires_grad]
        value = sample.output_process_fn_grad(context.op.op(given, *args, **kwargs))
        outputs = [x for x in tensors_in(value) if _differentiated(x)]
        gradients: list[Any] = []
        for level in range(order):
            if not outputs or not leaves:
                return "nothing to differentiate"
            outer = [
                seeded_like(x, 11 + level + i, context.dtype).to(x.device)
                for i, x in enumerate(outputs)
            ]
            gradients = list(
                torch.autograd.grad(
                    outputs, leaves, outer, allow_unused=True, create_graph=level + 1 < order
                )
            )
            outputs = [x for x in gradients if _differentiated(x)]
        return gradients

    return call


def _gradients(context: Context, order: int, at_most: int | None) -> None:
    for sample in context.differentiable_samples(at_most):
        call = _differentiate(context, sample, order)
        stock, alt = (outcome(call, *context.arguments(sample, d)) for d in ("cpu", "alt"))
        if not compare_errors(stock, alt):
            continue
        if stock.error is None:
            context.agree_values(sample, stock.value, alt.value, "gradient", call)
        context.cases += 1


def gradient(context: Context) -> None:
    """Gradients of all differentiable inputs."""
    if not context.differentiable:
        raise NotApplicable("stock does not differentiate it at this dtype")
    _gradients(context, order=1, at_most=None if context.dtype in DOUBLE else MANY)


def double_backward(context: Context) -> None:
    """Gradients of gradients, in double precision."""
    if not (context.differentiable and context.op.supports_gradgrad and context.dtype in DOUBLE):
        raise NotApplicable("no double backward, or not in double precision")
    _gradients(context, order=2, at_most=FEW)


def forward_mode(context: Context) -> None:
    """Tangents by forward-mode differentiation, in double precision."""
    if not (context.differentiable and context.op.supports_forward_ad and context.dtype in DOUBLE):
        raise NotApplicable("no forward mode, or not in double precision")
    for sample in context.differentiable_samples(FEW):
        results = []
        for device in ("cpu", "alt"):
            given, args, kwargs = context.arguments(sample, device)

            def call(tree: Any = (given, args, kwargs), sample: Any = sample) -> Any:
                with forward_ad.dual_level():
                    counter = iter(range(10_000))

                    def dual(x: Any) -> Any:
                        if isinstance(x, torch.Tensor) and x.requires_grad:
                            x = x.detach()
                            tangent = seeded_like(x, 31 + next(counter), x.dtype).to(x.device)
                            return forward_ad.make_dual(x, tangent)
                        return x

                    g, a, k = torch.utils._pytree.tree_map(dual, tree)
                    value = sample.output_process_fn_grad(context.op.op(g, *a, **k))
                    return [forward_ad.unpack_dual(x).tangent for x in tensors_in(value)]

            results.append(outcome(call))
        if not compare_errors(*results):
            continue
        if results[0].error is None:
            compare_values(results[0].value, results[1].value, context.tolerance, "tangent")
        context.cases += 1


def metadata(context: Context) -> None:
    """grad_fn's name, requires_grad, is_leaf and version counters of results and inputs."""
    if not context.differentiable:
        raise NotApplicable("stock does not differentiate it at this dtype")
    for sample in context.differentiable_samples(FEW):
        facts = []
        for device in ("cpu", "alt"):
            given, args, kwargs = context.arguments(sample, device)
            result = outcome(context.op.op, given, *args, **kwargs)
            if result.error is not None:
                break
            facts.append(
                [
                    (type(x.grad_fn).__name__, x.requires_grad, x.is_leaf)
                    for x in tensors_in(result.value)
                ]
                + [("input", x.requires_grad, x._version) for x in tensors_in((given, args))]
            )
        if len(facts) == 2:
            if facts[0] != facts[1]:
                raise Difference(f"{facts[1]}, stock {facts[0]}"[:300])
            context.cases += 1
