"""Where alt differs from stock: whether stock itself is wrong there, and alt right.

Two answers decide, and neither is alt's: stock's own on other operands, or a truth. A comparison
decided so is counted apart from those that pass, under the name of its rule; where no rule finds
for alt the difference stands.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import torch

from conformance.suite.outcome import Difference, Outcome, materialized
from conformance.suite.tensors import map_tensors, tensors_in


class Rule(StrEnum):
    """By what stock was found wrong."""

    PLAIN = "plain"
    TRUTH = "truth"
    META = "meta"


MEANING = {
    Rule.PLAIN: "stock contradicts its own result on plain, contiguous copies of the operands",
    Rule.TRUTH: "stock is off the truth (mpmath, or the same computation in double precision)",
    Rule.META: "stock's empty result has another shape than on PyTorch's own meta device",
}

Compare = Callable[[Any, Any], None]  # raises Difference unless the second is as the first


def agrees(compare: Compare, expected: Any, found: Any) -> bool:
    """Whether ``compare`` has nothing to say."""
    try:
        compare(expected, found)
    except Difference:
        return False
    return True


def plain(tree: Any) -> Any:
    """``tree`` with each tensor in contiguous memory of its own, without lazy bits."""

    def one(x: torch.Tensor) -> torch.Tensor:
        copied = materialized(x.detach()).clone(memory_format=torch.contiguous_format)
        return copied.requires_grad_(x.requires_grad)

    return map_tensors(one, tree)


def contradicts_itself(of_plain: Outcome, stock: Any, alt: Any, compare: Compare) -> bool:
    """Whether stock's result is not its own of the plain operands, and alt's is."""
    if of_plain.error is not None:
        return False
    on_cpu = map_tensors(lambda x: x.detach().cpu(), alt)
    return agrees(compare, of_plain.value, on_cpu) and not agrees(compare, of_plain.value, stock)


def empty_of_another_shape(call: Callable[[Any], Any], operands: Any, stock: Any, alt: Any) -> bool:
    """Whether results without elements have the shapes that the meta device gives, and not stock's.

    Shapes are then all that there is to compare.
    """
    theirs, ours = tensors_in(stock), tensors_in(alt)
    if any(x.numel() for x in (*theirs, *ours)):
        return False
    try:
        meant = tensors_in(call(map_tensors(lambda x: x.detach().to("meta"), operands)))
    except Exception:  # the meta device has no answer
        return False
    shapes, right = [x.shape for x in theirs], [x.shape for x in meant]
    facts = [[(x.shape, x.dtype) for x in found] for found in (ours, meant)]
    return facts[0] == facts[1] and shapes != right
