"""The process that runs module_db's cells."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from conformance.modules import database
from conformance.ops import truth
from conformance.suite.cells import NotApplicable, Suite, main
from conformance.suite.judge import Rule, contradicts_itself
from conformance.suite.outcome import (
    Difference,
    Outcome,
    Tolerance,
    ValueDifference,
    compare_errors,
    compare_trees,
    compare_values,
    outcome,
)
from conformance.suite.tensors import map_tensors, strided, tensors_in, twin

# A module is several operators deep, and a gradient twice that: some operators' tolerances in one.
# Operators themselves are judged by the truth, in `conformance ops`.
TOLERANCES = {
    "float64": Tolerance(relative=1e-7, absolute=1e-7),
    "float16": Tolerance(relative=1e-2, absolute=1e-2),
    "complex32": Tolerance(relative=1e-2, absolute=1e-2),
    "bfloat16": Tolerance(relative=6e-2, absolute=6e-2),
}
TOLERANCE = Tolerance(relative=1e-4, absolute=1e-4)


class Context:
    """One module at one dtype."""

    def __init__(self, entry: str, dtype: str) -> None:
        self.info = database.entries()[entry]
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.tolerance = TOLERANCES.get(dtype, TOLERANCE)
        self.cases = 0
        self.judged: list[tuple[Rule, str]] = []

    def inputs(self, training: bool, requires_grad: bool = False) -> list[Any]:
        """module_db's inputs, on the CPU."""
        torch.manual_seed(0)
        return list(
            self.info.module_inputs_func(
                self.info,
                device="cpu",
                dtype=self.dtype,
                requires_grad=requires_grad,
                training=training,
            )
        )

    def module(self, given: Any, training: bool) -> torch.nn.Module:
        """A module on the CPU, built from a fixed seed."""
        torch.manual_seed(3)
        arguments = given.constructor_input
        module = self.info.module_cls(*arguments.args, **arguments.kwargs)
        return module.to("cpu").to(self.dtype).train(training)

    def cases_of(self, training: bool) -> Iterator[tuple[Any, torch.nn.Module]]:
        """Inputs with a module for each."""
        for given in self.inputs(training, requires_grad=True):
            if given.forward_input is None:
                continue
            if strided((given.forward_input.args, given.forward_input.kwargs)):
                yield given, self.module(given, training)

    def initialized(self, training: bool) -> Iterator[tuple[Any, torch.nn.Module]]:
        """The same; a lazy module has seen its input, and has parameters."""
        for given, module in self.cases_of(training):
            if any(is_lazy(parameter) for parameter in module.parameters()):
                _call(module, given.forward_input, "cpu")
            yield given, module


def _call(module: torch.nn.Module, forward: Any, device: str) -> tuple[Outcome, list[torch.Tensor]]:
    args, kwargs = map_tensors(lambda x: twin(x, device), (forward.args, forward.kwargs))
    result = outcome(lambda: module(*args, **kwargs))
    return result, tensors_in((args, kwargs))


def _forward(training: bool) -> Callable[[Context], None]:
    def variant(context: Context) -> None:
        for given, module in context.cases_of(training):
            other = copy.deepcopy(module).to("alt")
            stock, _ = _call(module, given.forward_input, "cpu")
            alt, _ = _call(other, given.forward_input, "alt")
            compare_errors(stock, alt)
            if stock.error is None:
                compare_values(stock.value, alt.value, context.tolerance)
                compare_values(
                    dict(module.named_buffers()),
                    dict(other.named_buffers()),
                    context.tolerance,
                    "buffer",
                )
            context.cases += 1

    variant.__doc__ = f"Forward, {'training' if training else 'evaluating'}."
    return variant


def _gradients(context: Context, module: torch.nn.Module, forward: Any, device: str) -> Any:
    """Of inputs and parameters, from outer gradients of the context's dtype; None if it raises."""
    result, inputs = _call(module, forward, device)
    if result.error is not None:
        return None
    differentiable = [x for x in tensors_in(result.value) if x.grad_fn is not None]
    for i, x in enumerate(differentiable):
        generator = torch.Generator().manual_seed(i)
        outer = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(context.dtype)
        x.backward(outer.to(x.dtype).to(x.device), retain_graph=True)
    return [x.grad for x in [*inputs, *module.parameters()]]


def _off_the_truth(context: Context, exact: Any, stock: Any, alt: Any) -> bool:
    on_cpu = [x.cpu() for x in tensors_in(alt)]
    return truth.stock_off(tensors_in(exact), on_cpu, tensors_in(stock), context.tolerance)


def backward(context: Context) -> None:
    """Gradients of inputs and parameters."""
    for given, module in context.cases_of(training=True):
        forward = given.forward_input
        wide = copy.deepcopy(module).double() if context.dtype in truth.WIDER else None
        stock = _gradients(context, module, forward, "cpu")
        alt = _gradients(context, copy.deepcopy(module).to("alt"), forward, "alt")
        if stock is None or alt is None or all(x is None for x in stock):
            continue
        try:
            compare_values(stock, alt, replace(context.tolerance, of_sums=True), "gradient")
        except ValueDifference as difference:
            if wide is None or not _off_the_truth(
                context, _gradients(context, wide, _widened(forward), "cpu"), stock, alt
            ):
                raise
            context.judged.append((Rule.TRUTH, f"{Rule.TRUTH}: {difference}"))
        context.cases += 1


def _widened(forward: Any) -> Any:
    wide = copy.copy(forward)
    wide.args, wide.kwargs = map_tensors(truth.widened, (forward.args, forward.kwargs))
    return wide


def noncontiguous(context: Context) -> None:
    """Forward on inputs with a gap between elements."""

    def spread(x: torch.Tensor) -> torch.Tensor:
        if x.dim() == 0 or x.numel() < 2:
            return x
        wide = x.detach().new_zeros((*x.shape[:-1], 2 * x.shape[-1]))
        wide[..., ::2] = x.detach()
        return wide[..., ::2].requires_grad_(x.requires_grad)

    def compare(expected: Any, found: Any) -> None:
        compare_trees(expected, found, context.tolerance)

    for given, module in context.cases_of(training=False):
        forward = given.forward_input
        plain, _ = _call(copy.deepcopy(module), forward, "cpu")
        forward.args, forward.kwargs = map_tensors(spread, (forward.args, forward.kwargs))
        stock, _ = _call(module, forward, "cpu")
        alt, _ = _call(copy.deepcopy(module).to("alt"), forward, "alt")
        compare_errors(stock, alt)
        if stock.error is None:
            try:
                compare_values(stock.value, alt.value, context.tolerance)
            except Difference as difference:
                if not contradicts_itself(plain, stock.value, alt.value, compare):
                    raise
                context.judged.append((Rule.PLAIN, f"{Rule.PLAIN}: {difference}"))
        context.cases += 1


def state_dict(context: Context) -> None:
    """A state_dict saved on alt loads on the CPU, and the other way, unchanged."""
    for _, module in context.initialized(training=True):
        if not module.state_dict():
            raise NotApplicable("no state")
        original = copy.deepcopy(module.state_dict())
        other = copy.deepcopy(module).to("alt")
        file = io.BytesIO()
        torch.save(other.state_dict(), file)
        file.seek(0)
        module.load_state_dict(torch.load(file, map_location="cpu"))
        compare_same(original, module.state_dict())
        other.load_state_dict(original)
        compare_same(original, {k: v.cpu() for k, v in other.state_dict().items()})
        context.cases += 1


def to_and_back(context: Context) -> None:
    """``.to("alt")`` and back keeps every value."""
    for _, module in context.initialized(training=True):
        if not module.state_dict():
            raise NotApplicable("no state")
        original = copy.deepcopy(module.state_dict())
        module.to("alt")
        wrong = [k for k, v in module.state_dict().items() if v.device.type != "alt"]
        if wrong:
            raise Difference(f"{wrong} stayed behind")
        module.to("cpu")
        compare_same(original, module.state_dict())
        context.cases += 1


def identity(context: Context) -> None:
    """``.to("alt")`` keeps the Parameter objects, so that an optimizer made before still fits."""
    for _, module in context.initialized(training=True):
        if not list(module.parameters()):
            raise NotApplicable("no parameters")
        before = [id(p) for p in module.parameters()]
        module.to("alt")
        if before != [id(p) for p in module.parameters()]:
            raise Difference("other parameters than before")
        context.cases += 1


def pickling(context: Context) -> None:
    """A module pickled on alt comes back on alt and computes the same."""
    for given, module in context.initialized(training=False):
        other = copy.deepcopy(module).to("alt")
        file = io.BytesIO()
        torch.save(other, file)
        file.seek(0)
        loaded = torch.load(file, weights_only=False)
        before, _ = _call(other, given.forward_input, "alt")
        after, _ = _call(loaded, given.forward_input, "alt")
        compare_errors(before, after)
        if before.error is None:
            compare_values(before.value, after.value, context.tolerance)
        context.cases += 1


def compare_same(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> None:
    """Raises Difference unless two state_dicts hold the same bits."""
    if before.keys() != after.keys():
        raise Difference(f"keys {sorted(after)}, before {sorted(before)}")
    for name, value in before.items():
        pair = [torch.view_as_real(x) if x.is_complex() else x for x in (value, after[name])]
        if not torch.equal(*pair):
            raise Difference(f"{name} changed")


SUITE = Suite(
    name="modules",
    context=lambda task: Context(task["entry"], task["dtype"]),
    variants={
        "train": _forward(True),
        "eval": _forward(False),
        "backward": backward,
        "module_noncontiguous": noncontiguous,
        "state_dict": state_dict,
        "to_and_back": to_and_back,
        "identity": identity,
        "pickling": pickling,
    },
    native=lambda context: False,
)

if __name__ == "__main__":
    main(SUITE)
