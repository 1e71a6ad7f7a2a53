"""What a row of the bench is, and the short way to write a group of them.

A group file reads like a list: ``group.add("where", n, torch.where, mask(n), randn(n), randn(n))``.
Whatever is not said follows from a rule: a row's bytes are those of its arguments and results, each
once; with a backward pass, once more for the arguments and once for the gradients on either side.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from altbackend.bench.place import Place


@dataclass
class Work:
    """What one side repeats.

    Args:
        step: one call of what is timed; gives its results.
        arguments: what the step reads, for the count of bytes.
        results: what else the check compares after a step, such as gradients.
    """

    step: Callable[[], Any]
    arguments: tuple[Any, ...] = ()
    results: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Scenario:
    """One row.

    Args:
        group: one of the groups' names.
        name: the operator or network.
        size: its shape in a word, such as "1M" or "64x10".
        build: makes the work on a place, from the seed that is set.
        flops: floating-point operations of a step; None has them counted by torch's formulas.
        bytes: the least memory traffic of a step; None follows the rule above.
        elements: of its largest tensor; None lets the run find out.
        backward: whether a step has a backward pass.
        draws: whether the results depend on random numbers drawn in the step.
        tolerance: how far alt's results may be from stock's, relative to the largest.
        quick: whether ``--quick`` has this row.
    """

    group: str
    name: str
    size: str
    build: Callable[[Place], Work]
    flops: float | None = 0
    bytes: float | None = None
    elements: int | None = None
    backward: bool = False
    draws: bool = False
    tolerance: float = 1e-4
    quick: bool = False

    @property
    def row(self) -> str:
        """What names it on the command line, in the table and in JSON; no blanks in it."""
        return re.sub(r"[ ,]+", "-", f"{self.group}/{self.name}/{self.size}")


# ---- arguments ----


@dataclass(frozen=True)
class Draw:
    """A tensor argument: drawn on the cpu, so that all sides have the same, then moved."""

    draw: Callable[[], Tensor]
    grad: bool = False
    view: Callable[[Tensor], Tensor] | None = None

    def __call__(self, place: Place) -> Tensor:
        """The tensor on a place."""
        tensor = self.draw().to(place.device)
        if self.view is not None:
            tensor = self.view(tensor)
        return tensor.requires_grad_(self.grad)

    def viewed(self, view: Callable[[Tensor], Tensor]) -> Draw:
        """The same, seen through a view such as ``torch.t``."""
        return Draw(self.draw, self.grad, view)


def randn(*shape: int, dtype: torch.dtype = torch.float32, grad: bool = False) -> Draw:
    """Normal numbers."""
    return Draw(lambda: torch.randn(shape).to(dtype), grad)


def rand(*shape: int, grad: bool = False) -> Draw:
    """Numbers of (0, 1)."""
    return Draw(lambda: torch.rand(shape).clamp_(1e-3, 1 - 1e-3), grad)


def integers(*shape: int, high: int, dtype: torch.dtype = torch.int64) -> Draw:
    """Whole numbers from 0 to below ``high``."""
    return Draw(lambda: torch.randint(high, shape, dtype=dtype))


def mask(*shape: int) -> Draw:
    """True and False, half of each."""
    return Draw(lambda: torch.rand(shape) < 0.5)


def distinct(*shape: int) -> Draw:
    """Floats in random order, no two equal, so that sorting has one answer."""
    return Draw(lambda: torch.randperm(torch.Size(shape).numel()).float().view(shape))


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Draw:
    """Zeros, to be written to."""
    return Draw(lambda: torch.zeros(shape, dtype=dtype))


def size(*shape: int) -> str:
    """A shape in a word: "16M" for one dimension, else "64x10"."""
    if len(shape) > 1:
        return "x".join(map(str, shape))
    (n,) = shape
    for unit, letter in ((1 << 20, "M"), (1 << 10, "K")):
        if n >= unit and n % unit == 0:
            return f"{n // unit}{letter}"
    return str(n)


# ---- groups ----


@dataclass
class Group:
    """The rows of one group, in the order in which they were added."""

    name: str
    rows: list[Scenario] = field(default_factory=list)

    def build(
        self,
        name: str,
        shape: int | str | Iterable[int],
        build: Callable[[Place], Work],
        **more: Any,
    ) -> None:
        """Add a row that says itself how its work is built; ``more`` goes to :class:`Scenario`."""
        text = (
            shape
            if isinstance(shape, str)
            else size(*([shape] if isinstance(shape, int) else shape))
        )
        self.rows.append(Scenario(self.name, name, text, build, **more))

    def add(
        self,
        name: str,
        shape: int | str | Iterable[int],
        function: Callable[..., Any],
        *arguments: Any,
        **more: Any,
    ) -> None:
        """Add a row that calls one function. An argument that is a :class:`Draw` is drawn."""
        self.build(name, shape, functools.partial(_call, function, arguments), **more)

    def gradient(
        self,
        name: str,
        shape: int | str | Iterable[int],
        function: Callable[..., Tensor],
        *arguments: Any,
        **more: Any,
    ) -> None:
        """Add a row that calls a function, and its backward for the arguments with a gradient."""
        build = functools.partial(_call_and_backward, function, arguments)
        self.build(name, shape, build, backward=True, **more)


def _drawn(arguments: Iterable[Any], place: Place) -> tuple[Any, ...]:
    return tuple(a(place) if isinstance(a, Draw) else a for a in arguments)


def _call(function: Callable[..., Any], arguments: Iterable[Any], place: Place) -> Work:
    given = _drawn(arguments, place)
    # A partial costs less to call than a Python function, which counts on 16 elements.
    return Work(functools.partial(place.compiled(function), *given), given)


def _call_and_backward(
    function: Callable[..., Tensor], arguments: Iterable[Any], place: Place
) -> Work:
    given = _drawn(arguments, place)
    compiled = place.compiled(function)
    return Work(backward_step(functools.partial(compiled, *given), tensors(given)), given)


def backward_step(
    forward: Callable[[], Tensor], leaves: Iterable[Tensor]
) -> Callable[[], tuple[Tensor, ...]]:
    """A step that runs ``forward`` and gives its result's gradients, for leaves that want one."""
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    given: list[Tensor] = []  # the gradient that comes in: of ones and twos, made at the first call

    def step() -> tuple[Tensor, ...]:
        output = forward()
        if not given:
            ones = torch.ones(output.shape, dtype=output.dtype)
            ones.view(-1)[::2] = 2
            given.append(ones.to(output.device))
        return output, *torch.autograd.grad(output, wanted, given[0])

    return step


# ---- the rule of bytes and elements ----


def tensors(value: Any) -> list[Tensor]:
    """All tensors in a structure."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def touched(tensor: Tensor) -> int:
    """Bytes of memory behind a tensor: an expanded one has less than its elements."""
    if tensor.layout != torch.strided:
        return 0
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def traffic(work: Work, results: Any, backward: bool) -> int:
    """The least bytes that a step moves: arguments read once, results written once.

    A backward pass reads the floating-point arguments and the incoming gradient, and writes the
    gradients, which are among the results already.
    """
    arguments, found = tensors(work.arguments), tensors(results)
    total = sum(map(touched, arguments)) + sum(map(touched, found))
    if backward:
        total += sum(touched(a) for a in arguments if a.is_floating_point())
        total += touched(found[0])
    return total


def largest(work: Work, results: Any) -> int:
    """Elements of the largest tensor of a step."""
    return max((t.numel() for t in tensors((work.arguments, results))), default=0)
