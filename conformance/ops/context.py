"""One entry at one dtype: its samples, and the calls every variant is made of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch

from conformance.ops import database
from conformance.suite.outcome import (
    Outcome,
    ValueDifference,
    compare_errors,
    compare_values,
    outcome,
)
from conformance.suite.tensors import map_tensors, strided, tensors_in, twins

Arguments = tuple[Any, tuple, dict]


class Context:
    """The entry under test. Variants take samples from it and report comparisons to it."""

    def __init__(self, entry: str, dtype: str, most: int) -> None:
        self.op = database.entries()[entry]
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.tolerance = database.tolerance(self.op, self.dtype)
        self.most = most
        self.cases = 0
        self._samples: list[Any] | None = None
        self._differentiable: list[Any] | None = None

    @property
    def differentiable(self) -> bool:
        """Whether stock differentiates the entry at this dtype."""
        return self.op.supports_autograd and self.dtype in self.op.supported_backward_dtypes("cpu")

    def samples(self, at_most: int | None = None) -> list[Any]:
        """op_db's sample inputs, on the CPU."""
        if self._samples is None:
            self._samples = self._draw(requires_grad=False)
        return self._samples[: at_most or self.most]

    def differentiable_samples(self, at_most: int | None = None) -> list[Any]:
        """The same, requiring gradients."""
        if self._differentiable is None:
            self._differentiable = self._draw(requires_grad=True)
        return self._differentiable[: at_most or self.most]

    def _draw(self, requires_grad: bool) -> list[Any]:
        torch.manual_seed(0)
        drawn = self.op.sample_inputs("cpu", self.dtype, requires_grad=requires_grad)
        usable = (s for s in drawn if strided((s.input, s.args, s.kwargs)))
        return list(itertools.islice(usable, self.most))

    def arguments(self, sample: Any, device: str) -> Arguments:
        """A sample's arguments on ``device``, memory of their own."""
        moved = twins((sample.input, sample.args, sample.kwargs), device)
        return moved

    def call(self, sample: Any, device: str, function: Any = None, **more: Any) -> Outcome:
        """The outcome of the entry (or another of its functions) on a sample."""
        function = function or self.op.op
        given, args, kwargs = self.arguments(sample, device)
        return outcome(lambda: function(given, *args, **{**kwargs, **more}))

    def agree(self, sample: Any, stock: Outcome, alt: Outcome, where: str = "result") -> None:
        """Raises Difference unless the outcomes agree; counts the comparison."""
        compare_errors(stock, alt)
        if stock.error is None and "empty" not in self.op.name:
            process = sample.output_process_fn_grad
            stock_value, alt_value = process(stock.value), process(alt.value)
            try:
                compare_values(stock_value, alt_value, self.tolerance, where)
            except ValueDifference:
                if not self.excused_by_truth(sample, stock_value, alt_value):
                    raise
        self.cases += 1

    def excused_by_truth(self, sample: Any, stock: Any, alt: Any) -> bool:
        """Whether alt is no further from the same computation in float64 than stock is."""
        wider = {
            torch.float32: torch.float64,
            torch.float16: torch.float64,
            torch.bfloat16: torch.float64,
            torch.complex64: torch.complex128,
        }
        if self.dtype not in wider or self.op.has_nondeterministic_output:
            return False

        def widen(x: torch.Tensor) -> torch.Tensor:
            return x.detach().to(wider[x.dtype]) if x.dtype in wider else x.detach()

        given, args, kwargs = map_tensors(widen, (sample.input, sample.args, sample.kwargs))
        if any(isinstance(value, torch.dtype) for value in kwargs.values()):
            return False
        try:
            truth = sample.output_process_fn_grad(self.op.op(given, *args, **kwargs))
            triples = zip(tensors_in(truth), tensors_in(stock), tensors_in(alt), strict=True)
            for exact, a, b in triples:
                if a.shape != b.shape or a.dtype != b.dtype or not a.dtype.is_floating_point:
                    return False
                stock_error = (a.detach().double() - exact).abs()
                alt_error = (b.detach().cpu().double() - exact).abs()
                if not bool((alt_error.isfinite() & (alt_error.max() <= stock_error.max())).all()):
                    return False
            return True
        except Exception:
            return False

    def pairs(self, samples: list[Any]) -> Iterator[tuple[Any, Outcome, Outcome]]:
        """Each sample with its outcome on stock and on alt."""
        for sample in samples:
            yield sample, self.call(sample, "cpu"), self.call(sample, "alt")
