"""The process that measures one operator after another.

A cell passes where alt's largest error is no larger than stock's, or under 1 ULP, and no NaN or
infinity is wrong that stock has right.
"""

from __future__ import annotations

import json
from typing import Any

import torch

from conformance.accuracy import truth
from conformance.accuracy.ulp import Errors
from conformance.ops import database, digits
from conformance.ops.context import Context
from conformance.suite.cells import NotApplicable, Suite, main
from conformance.suite.outcome import Difference, outcome
from conformance.suite.tensors import tensors_in, twins

SAMPLES = 24
POINTS = 2000  # values across the domain, for operators of one argument


def _domain_sample(context: Context) -> list[Any]:
    """Values across an elementwise operator's whole domain, large and small."""
    from torch.testing._internal.opinfo.core import SampleInput, UnaryUfuncInfo

    if not isinstance(context.op, UnaryUfuncInfo):
        return []
    low, high = context.op.domain
    generator = torch.Generator().manual_seed(1)
    uniform = torch.rand(POINTS // 2, generator=generator, dtype=torch.float64)
    wide = torch.randn(POINTS // 2, generator=generator, dtype=torch.float64)
    near = (low if low is not None else -20.0) + uniform * (
        (high if high is not None else 20.0) - (low if low is not None else -20.0)
    )
    far = wide.sign() * torch.exp(wide * 4)
    far = far.clamp(min=low, max=high) if low is not None or high is not None else far
    values = torch.cat([near, far]).to(context.dtype)
    return [SampleInput(values)]


def measure(context: Context) -> tuple[Errors, Errors]:
    """Stock's errors and alt's."""
    stock_errors, alt_errors = Errors(), Errors()
    samples = context.samples() + _domain_sample(context)
    for sample in samples:
        results = {}
        for device in ("cpu", "alt"):
            given, args, kwargs = twins((sample.input, sample.args, sample.kwargs), device)
            results[device] = outcome(context.op.op, given, *args, **kwargs)
        if results["cpu"].error is not None or results["alt"].error is not None:
            continue
        stock, alt = (tensors_in(results[d].value) for d in ("cpu", "alt"))
        exact = _exact(context, sample, stock)
        if exact is None:
            continue
        for a, b, t in zip(stock, alt, exact, strict=True):
            if _measurable(context, a) and a.shape == t.shape and t.dtype == torch.float64:
                stock_errors.add(a.detach(), t)
                alt_errors.add(b.detach().cpu(), t)
                context.cases += 1
    return stock_errors, alt_errors


def _measurable(context: Context, result: torch.Tensor) -> bool:
    """Not where `dtype=` asks for float64: stock would be measured against itself."""
    wider = result.dtype == torch.float64 and context.dtype != torch.float64
    return result.is_floating_point() and result.layout == torch.strided and not wider


def _exact(context: Context, sample: Any, stock: list[torch.Tensor]) -> list[torch.Tensor] | None:
    if context.dtype == torch.float64:
        if not isinstance(sample.input, torch.Tensor) or len(stock) != 1 or sample.args:
            return None
        exact = digits.in_digits(context.op.name, sample.input.detach())
        return None if exact is None else [exact]
    found = outcome(truth.in_double, context.op, sample)
    if found.error is not None:
        return None
    values = tensors_in(found.value)
    return values if len(values) == len(stock) else None


def ulp(context: Context) -> str:
    """Largest and mean error in ULP of both."""
    stock, alt = measure(context)
    if not stock.count:
        raise NotApplicable("no floating-point result with a known truth")
    measured = {
        "stock_max": stock.largest,
        "alt_max": alt.largest,
        "stock_mean": stock.mean,
        "alt_mean": alt.mean,
    }
    if alt.bad > stock.bad:
        raise Difference(json.dumps({**measured, "wrong": alt.bad}))
    if alt.largest > max(1.0, stock.largest * (1 + 1e-9)):
        raise Difference(json.dumps(measured))
    return json.dumps(measured)


SUITE = Suite(
    name="accuracy",
    context=lambda task: Context(task["entry"], task["dtype"], SAMPLES),
    variants={"ulp": ulp},
    native=lambda context: database.has_kernel(context.op),
)

if __name__ == "__main__":
    main(SUITE)
