"""One entry at one dtype: its samples, and the calls every variant is made of."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from altbackend import _C
from conformance.ops import database
from conformance.ops.dispute import Dispute
from conformance.suite.judge import Rule
from conformance.suite.outcome import (
    Difference,
    Outcome,
    ValueDifference,
    compare_errors,
    compare_values,
    outcome,
)
from conformance.suite.tensors import strided, tensors_in, twins

# Elements of a reference sample: enough for every thread; a few samples have millions.
LARGEST = 600_000

# What these return nobody has written.
UNINITIALIZED = ("empty", "empty_like", "empty_strided", "empty_permuted", "resize_", "resize_as_")

Arguments = tuple[Any, tuple, dict]


def spread(samples: list[Any], at_most: int | None) -> list[Any]:
    """About ``at_most`` of the samples; an odd step meets both values of a flag that alternates."""
    if at_most is None or len(samples) <= at_most:
        return samples
    return samples[:: -(-len(samples) // at_most) | 1]


def _moves(sample: Any) -> bool:
    """Whether something of it can lie on alt, and nothing is of a layout that alt has not."""
    tree = (sample.input, sample.args, sample.kwargs)
    return strided(tree) and bool(tensors_in(tree) or sample.kwargs.get("device"))


def _elements(sample: Any) -> int:
    return sum(x.numel() for x in tensors_in((sample.input, sample.args, sample.kwargs)))


class _Draws(TorchDispatchMode):
    """Notes whether an operator that draws random numbers is called."""

    random = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.random = self.random or torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))


class Context:
    """The entry under test. Variants take samples from it and report comparisons to it."""

    def __init__(self, entry: str, dtype: str, most: int | None) -> None:
        self.op = database.entries()[entry]
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.tolerance = database.tolerance(self.op, self.dtype)
        self.most = most
        self.cases = 0
        self.judged: list[tuple[Rule, str]] = []
        self._samples: list[Any] | None = None
        self._differentiable: list[Any] | None = None

    @property
    def differentiable(self) -> bool:
        """Whether stock differentiates the entry at this dtype."""
        return self.op.supports_autograd and self.dtype in self.op.supported_backward_dtypes("cpu")

    def samples(self, at_most: int | None = None) -> list[Any]:
        """The database's sample inputs, on the CPU: all of them, or some evenly spread."""
        if self._samples is None:
            self._samples = self._draw(requires_grad=False)
        return spread(self._samples, at_most)

    def differentiable_samples(self, at_most: int | None = None) -> list[Any]:
        """The same, requiring gradients."""
        if self._differentiable is None:
            self._differentiable = self._draw(requires_grad=True)
        return spread(self._differentiable, at_most)

    def _draw(self, requires_grad: bool) -> list[Any]:
        torch.manual_seed(0)
        random.seed(0)
        drawn = self.op.sample_inputs("cpu", self.dtype, requires_grad=requires_grad)
        return spread([sample for sample in drawn if _moves(sample)], self.most)

    def reference_samples(self) -> Iterator[Any]:
        """The larger set that torch holds against NumPy: extremal values, sizes, broadcasting."""
        torch.manual_seed(0)
        drawn = self.op.reference_inputs("cpu", self.dtype)
        usable = (sample for sample in drawn if _moves(sample) and _elements(sample) <= LARGEST)
        return itertools.islice(usable, self.most)

    def arguments(self, sample: Any, device: str) -> Arguments:
        """A sample's arguments on ``device``, memory of their own."""
        given, args, kwargs = twins((sample.input, sample.args, sample.kwargs), device)
        if self.op.name in database.INDICES_ON_CPU:
            args, kwargs = twins((sample.args, sample.kwargs), "cpu")
        return given, args, kwargs

    def call(self, sample: Any, device: str, function: Any = None, **more: Any) -> Outcome:
        """The outcome of the entry (or another of its functions) on a sample."""
        function = function or self.op.op
        given, args, kwargs = self.arguments(sample, device)
        return outcome(lambda: function(given, *args, **{**kwargs, **more}))

    def agree(self, sample: Any, stock: Outcome, alt: Outcome, where: str = "result") -> None:
        """Raises Difference unless the outcomes agree; counts the comparison."""
        if not compare_errors(stock, alt):
            return
        if stock.error is None and not self.op.name.endswith(UNINITIALIZED):
            process = sample.output_process_fn_grad
            self.agree_values(sample, process(stock.value), process(alt.value), where)
        self.cases += 1

    def agree_values(
        self, sample: Any, stock: Any, alt: Any, where: str, call: Callable[..., Any] | None = None
    ) -> None:
        """Raises Difference unless values agree, or it is stock that is wrong.

        They are those of ``call`` on the sample's arguments; of the entry itself if not given.
        """
        tolerance = replace(self.tolerance, of_sums=call is not None)  # `call` differentiates
        dispute = Dispute(self.op, self.dtype, tolerance, sample, stock, alt, call)
        try:
            dispute.compare(stock, alt, compare_values, where)
        except Difference as difference:
            rule = dispute.stock_wrong()
            if rule is not None:
                self.judged.append((rule, f"{rule}: {difference}"))
            elif not isinstance(difference, ValueDifference) or not (
                dispute.no_further() or self.other_random_numbers(sample)
            ):
                raise

    def other_random_numbers(self, sample: Any) -> bool:
        """Whether values say nothing: the entry draws numbers, and the CUDA engine's are others."""
        if _C.engine()["name"] != "cuda":
            return False
        with _Draws() as draws:
            self.call(sample, "cpu")
        return draws.random

    def pairs(self, samples: Iterable[Any]) -> Iterator[tuple[Any, Outcome, Outcome]]:
        """Each sample with its outcome on stock and on alt."""
        for sample in samples:
            yield sample, self.call(sample, "cpu"), self.call(sample, "alt")
