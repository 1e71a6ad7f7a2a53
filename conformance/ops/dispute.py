"""Values on which alt and stock differ, and who is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from conformance.ops import digits, ties, truth
from conformance.suite import judge
from conformance.suite.judge import Rule
from conformance.suite.outcome import (
    Tolerance,
    ValueDifference,
    compare_trees,
    materialized,
    outcome,
)
from conformance.suite.tensors import map_tensors, tensors_in


@dataclass
class Dispute:
    """What stock and alt answered to ``call`` on a sample's operands (to the entry, if None)."""

    op: Any
    dtype: torch.dtype
    tolerance: Tolerance
    sample: Any
    stock: Any
    alt: Any
    call: Callable[..., Any] | None = None

    def compare(
        self,
        stock: Any,
        alt: Any,
        trees: Callable[..., Any] = compare_trees,
        where: str = "result",
    ) -> None:
        """Raises Difference unless the values agree, but for what the documentation leaves open."""
        try:
            trees(stock, alt, self.tolerance, where)
        except ValueDifference:
            if self.call is not None:
                raise
            meant = [ties.meant(self.op.name, self.sample, x) for x in (stock, alt)]
            if meant[0] is None or meant[1] is None:
                raise
            compare_trees(meant[0], meant[1], self.tolerance, where)

    def stock_wrong(self) -> Rule | None:
        """The rule by which stock is wrong and alt right."""
        if self.op.has_nondeterministic_output:
            return None
        operands = (self.sample.input, self.sample.args, self.sample.kwargs)
        if judge.empty_of_another_shape(self._run, operands, self.stock, self.alt):
            return Rule.META
        of_plain = outcome(self._run, judge.plain(operands))
        if judge.contradicts_itself(of_plain, self.stock, self.alt, self.compare):
            return Rule.PLAIN
        theirs, ours = self._results
        off = truth.stock_off(self.truth, ours, theirs, self.tolerance)
        return Rule.TRUTH if off else None

    def no_further(self) -> bool:
        """Whether all that differs is rounding, and alt is no further from the truth than stock."""
        if self.op.has_nondeterministic_output:
            return False
        theirs, ours = self._results
        return len(self.truth) == len(ours) == len(theirs) and all(
            truth.no_further(e, b, a, self.tolerance)
            for e, a, b in zip(self.truth, theirs, ours, strict=True)
        )

    @cached_property
    def truth(self) -> list[torch.Tensor]:
        """True values, in double precision, of all results; none where they are not known.

        From 50 digits for functions that mpmath has, else stock's own computation in a wider dtype.
        """
        if self.call is None and (known := self._digits()) is not None:
            return [known]
        integers = self.dtype in truth.INTEGERS
        arguments = self.sample.kwargs.values()
        if not (integers or self.dtype in truth.WIDER) or any(
            isinstance(value, torch.dtype) for value in arguments
        ):
            return []
        operands = (self.sample.input, self.sample.args, self.sample.kwargs)
        wide = map_tensors(lambda x: truth.widened(x, integers), operands)
        return tensors_in(outcome(self._run, wide).value)

    def _digits(self) -> torch.Tensor | None:
        """The truth where alt and stock differ, and stock elsewhere."""
        theirs, ours = self._results
        given = self.sample.input
        if not (isinstance(self.stock, torch.Tensor) and isinstance(given, torch.Tensor)):
            return None
        if not theirs[0].is_floating_point() or theirs[0].shape != ours[0].shape:
            return None
        exact = materialized(theirs[0]).to(torch.float64, copy=True)
        relative, absolute = self.tolerance.of(theirs[0].dtype)
        close = torch.isclose(
            exact, materialized(ours[0]).double(), relative, absolute, equal_nan=True
        )
        arguments = (given, *self.sample.args, *self.sample.kwargs.values())
        found = digits.at(self.op.name.removeprefix("_refs."), arguments, ~close)
        if found is None:
            return None
        exact[~close] = found
        return exact

    def _run(self, operands: Any) -> Any:
        given, args, kwargs = operands
        if self.call is not None:
            return self.call(given, args, kwargs)
        return self.sample.output_process_fn_grad(self.op.op(given, *args, **kwargs))

    @property
    def _results(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Stock's and alt's, on the CPU."""
        theirs, ours = (tensors_in(value) for value in (self.stock, self.alt))
        return [x.detach() for x in theirs], [x.detach().cpu() for x in ours]
