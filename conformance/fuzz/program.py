"""A program as a list of steps: what it does on a device, and the script that shows it.

A step is a template of Python text over the tensors t0, t1, ... made so far. The same text is run
on both devices and printed when they differ, so what is shown is what was run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch

from conformance.suite.outcome import (
    Difference,
    Tolerance,
    compare_errors,
    compare_values,
    outcome,
)

NAME = re.compile(r"\bt\d+\b")

# Programs are chains of operators, so an error of rounding grows along them, most where a half type
# is among them: stock rounds some operands to it that alt takes as they are.
TOLERANCE = Tolerance(relative=1e-3, absolute=1e-4)
HALF_TOLERANCE = Tolerance(relative=3e-2, absolute=3e-2)
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Step:
    """One line. ``makes`` says that it binds the next tensor."""

    text: str
    makes: bool


class Machine:
    """The tensors of a program on one device."""

    def __init__(self, device: str) -> None:
        self.names: dict[str, Any] = {"torch": torch, "device": device}
        self.count = 0

    def run(self, step: Step) -> Any:
        """Runs one line; what it bound is forgotten again where it raised."""
        if step.makes:
            exec(f"t{self.count} = {step.text}", self.names)
            self.count += 1
            return self.names[f"t{self.count - 1}"]
        exec(step.text, self.names)
        return None

    def tensors(self) -> list[torch.Tensor]:
        """All tensors made so far."""
        return [self.names[f"t{i}"] for i in range(self.count)]


def script(steps: list[Step], device: str = "alt") -> str:
    """The program as a script that runs."""
    lines = ["import torch", f"device = {device!r}"]
    count = 0
    for step in steps:
        if step.makes:
            lines.append(f"t{count} = {step.text}")
            count += 1
        else:
            lines.append(step.text)
    lines.append(f"for t in [{', '.join(f't{i}' for i in range(count))}]:\n    print(t)")
    return "\n".join(lines)


class Pair:
    """A program running on stock CPU and on alt at once."""

    def __init__(self) -> None:
        self.stock, self.alt = Machine("cpu"), Machine("alt")
        self.steps: list[Step] = []

    def step(self, step: Step) -> bool:
        """Runs a step on both and compares everything; whether it ran (stock did not raise)."""
        stock, alt = outcome(self.stock.run, step), outcome(self.alt.run, step)
        self.steps.append(step)
        compare_errors(stock, alt)
        if stock.error is not None:
            self.steps.pop()
            if alt.error is None:
                self._restart()
            return False
        tensors = self.stock.tensors()
        tolerance = HALF_TOLERANCE if any(t.dtype in HALF for t in tensors) else TOLERANCE
        for i, (a, b) in enumerate(zip(tensors, self.alt.tensors(), strict=True)):
            compare_values(a, b, tolerance, f"t{i}")
            if a.stride() != b.stride() and a.numel() > 1:
                raise Difference(f"t{i}: strides {b.stride()}, stock has {a.stride()}")
            if a.requires_grad != b.requires_grad:
                raise Difference(f"t{i}: requires_grad {b.requires_grad}")
            if (a.grad is None) != (b.grad is None):
                raise Difference(f"t{i}: only one has a gradient")
            if a.grad is not None and b.grad is not None:
                compare_values(a.grad, b.grad, tolerance, f"t{i}.grad")
        return True

    def _restart(self) -> None:
        """Both devices as before a step that only alt has a kernel for, which has run there."""
        self.stock, self.alt = Machine("cpu"), Machine("alt")
        for step in self.steps:
            self.stock.run(step)
            self.alt.run(step)


def without(steps: list[Step], index: int) -> list[Step]:
    """The program without one step, and without the steps that need what it makes."""
    kept: list[Step] = []
    new_names: dict[str, str | None] = {}  # None: never made
    for i, step in enumerate(steps):
        name = f"t{len(new_names)}"
        used = [new_names[used] for used in NAME.findall(step.text)]
        dropped = i == index or None in used
        if step.makes:
            made = sum(other is not None for other in new_names.values())
            new_names[name] = None if dropped else f"t{made}"
        if not dropped:
            renamed = NAME.sub(lambda found: str(new_names[found[0]]), step.text)
            kept.append(Step(renamed, step.makes))
    return kept


def difference(steps: list[Step]) -> Difference | None:
    """What a program shows; None where the devices agree."""
    pair = Pair()
    for step in steps:
        try:
            pair.step(step)
        except Difference as found:
            return found
    return None


def shrunk(steps: list[Step], found: Difference) -> tuple[list[Step], Difference]:
    """The steps that the difference needs, the last ones tried first, and what it is then."""
    for index in reversed(range(len(steps))):
        if index < len(steps):
            fewer = without(steps, index)
            still = difference(fewer)
            if still is not None:
                steps, found = fewer, still
    return steps, found
