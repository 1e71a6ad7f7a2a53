"""The process that runs optim_db's cells: ten steps on alt beside ten on stock CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from conformance.optimizers import database
from conformance.suite.cells import NotApplicable, Suite, main
from conformance.suite.outcome import (
    Tolerance,
    compare_errors,
    compare_values,
    outcome,
)
from conformance.suite.tensors import tensors_in

STEPS = 10
SHAPES = ((7, 5), (5,), (1,), (3, 4, 2))
TOLERANCES = {
    torch.float32: Tolerance(relative=1e-4, absolute=1e-5),
    torch.float64: Tolerance(relative=1e-8, absolute=1e-9),
}


class Context:
    """One optimizer at one dtype."""

    def __init__(self, entry: str, dtype: str) -> None:
        self.info: Any = database.entries()[entry]
        self.dtype: torch.dtype = getattr(torch, dtype)
        # Muon orthogonalizes in bfloat16, whatever the parameters are.
        single = entry == "Muon"
        self.tolerance = TOLERANCES[torch.float32 if single else self.dtype]
        self.cases = 0


def _steps(context: Context, settings: dict[str, Any], device: str) -> Any:
    """Parameters and state after STEPS steps down a fixed quadratic valley."""
    generator = torch.Generator().manual_seed(5)
    shapes = (
        [s for s in SHAPES if len(s) == 2] if context.info.optim_cls.__name__ == "Muon" else SHAPES
    )
    numbers = [
        torch.randn(shape, generator=generator, dtype=torch.float64).to(context.dtype)
        for shape in shapes
    ]
    parameters = [torch.nn.Parameter(x.to(device)) for x in numbers]
    sparse = context.info.only_supports_sparse_grads
    settings = {
        name: value.to(device)
        if isinstance(value, torch.Tensor) and settings.get("capturable")
        else value
        for name, value in settings.items()
    }
    optimizer = context.info.optim_cls(parameters, **settings)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = sum(((p * (i + 1) - 0.5) ** 2).sum() for i, p in enumerate(parameters))
        assert isinstance(loss, torch.Tensor)
        loss.backward()
        if sparse:
            for p in parameters:
                assert p.grad is not None
                p.grad = p.grad.to_sparse()
        return loss.detach()

    losses = []
    for _ in range(STEPS):
        if context.info.step_requires_closure:
            losses.append(optimizer.step(closure))
        else:
            losses.append(closure())
            optimizer.step()
    state = [tensors_in(dict(optimizer.state[p])) for p in parameters]
    return [p.detach() for p in parameters], losses, [[x.to(device) for x in s] for s in state]


def variant_of(name: str, flags: dict[str, bool]) -> Callable[[Context], None]:
    """All of the optimizer's own settings, with ``flags`` added."""

    def variant(context: Context) -> None:
        info = context.info
        if name in ("foreach", "fused") and name not in info.supported_impls:
            raise NotApplicable(f"no {name} implementation")
        if name == "capturable" and not info.has_capturable_arg:
            raise NotApplicable("not capturable")
        for given in info.optim_inputs_func(device="cpu"):
            settings = {**given.kwargs, **flags}
            stock = outcome(_steps, context, settings, "cpu")
            alt = outcome(_steps, context, settings, "alt")
            if name == "capturable" and stock.error is not None and alt.error is None:
                # Stock refuses capturable on the CPU; on an accelerator it must do the same sums.
                plain = {**given.kwargs}
                stock = outcome(_steps, context, plain, "cpu")
                if stock.error is None:
                    # Then the step is a tensor, of float32, and so what is computed from it.
                    tolerance = TOLERANCES[torch.float32]
                    compare_values(stock.value[0], alt.value[0], tolerance, "parameter")
                    context.cases += 1
                continue
            compare_errors(stock, alt)
            if stock.error is None:
                compare_values(stock.value, alt.value, context.tolerance, "after 10 steps")
            context.cases += 1

    variant.__doc__ = f"{name}, ten steps."
    return variant


SUITE = Suite(
    name="optimizers",
    context=lambda task: Context(task["entry"], task["dtype"]),
    variants={
        "default": variant_of("default", {}),
        "single_tensor": variant_of("single_tensor", {"foreach": False}),
        "foreach": variant_of("foreach", {"foreach": True}),
        "fused": variant_of("fused", {"fused": True}),
        "capturable": variant_of("capturable", {"capturable": True}),
    },
    native=lambda context: False,
)

if __name__ == "__main__":
    main(SUITE)
