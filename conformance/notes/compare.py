"""Do two observations agree? Rounding may differ; everything else may not.

The device itself is not compared: it is meant to differ. Names of autograd nodes, memory addresses
and the ``device='alt:0'`` of a printed tensor go with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from conformance.notes.values import (
    GroupValue,
    NumberValue,
    TensorValue,
    TextValue,
    UnreadableValue,
    Value,
)

# (relative, absolute): several kernels' rounding, and what a short training makes of it.
_TOLERANCES = {
    "float64": (1e-7, 1e-8),
    "complex128": (1e-7, 1e-8),
    "float32": (1e-4, 1e-5),
    "complex64": (1e-4, 1e-5),
    "float16": (5e-3, 1e-3),
    "complex32": (5e-3, 1e-3),
    "bfloat16": (2e-2, 1e-2),
}
_FLOAT = _TOLERANCES["float32"]  # a Python float mostly comes from .item()

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_OTHER_DEVICE = r"(?:alt|cuda)(?::\d+)?"
_NOT_COMPARED = (
    (re.compile(rf",?\s*device='{_OTHER_DEVICE}'"), ""),
    (re.compile(r"device\(type='(?:alt|cuda)'(?:, index=\d+)?\)"), "device(type='cpu')"),
    (re.compile(rf"^{_OTHER_DEVICE}$", re.MULTILINE), "cpu"),
    (re.compile(r"\btorch\.(?:alt|cuda)\.(?=\w+Tensor\b)"), "torch."),
    (re.compile(r"0x[0-9a-fA-F]+"), "0x"),
    # Whole layers and cells are one node of the graph on alt, several of PyTorch's on the CPU.
    (re.compile(r"grad_fn=<[^\n,)]*>"), "grad_fn=<Backward>"),
    (re.compile(r"\b\w+Backward\w*"), "Backward"),
)


@dataclass(frozen=True)
class Difference:
    """One way in which two observations differ."""

    path: str
    kind: str  # "value", "text", "type", "dtype", "shape", "requires_grad", "parts", "unreadable"
    text: str
    # Memory that NumPy and torch share on the cpu is two copies on every other device.
    shared_on_cpu: bool = False


def differences(expected: Value, actual: Value, path: str = "") -> Iterator[Difference]:
    """Each difference of `actual` from `expected`."""
    for value in (actual, expected):
        if isinstance(value, UnreadableValue):
            yield Difference(path, "unreadable", f"can not be read: {value.error}")
            return
    if type(expected) is not type(actual):
        yield Difference(path, "type", f"{_kind(actual)}, expected {_kind(expected)}")
    elif isinstance(expected, TensorValue) and isinstance(actual, TensorValue):
        yield from _tensors(expected, actual, path)
    elif isinstance(expected, GroupValue) and isinstance(actual, GroupValue):
        yield from _groups(expected, actual, path)
    elif expected is not None and actual is not None:
        if _type_name(expected) != _type_name(actual):
            yield Difference(path, "type", f"{_kind(actual)}, expected {_kind(expected)}")
        elif isinstance(expected, NumberValue) and isinstance(actual, NumberValue):
            if not _same_number(expected.value, actual.value):
                yield Difference(path, "value", f"{actual.value}, expected {expected.value}")
        elif isinstance(expected, TextValue) and isinstance(actual, TextValue):
            yield from text_differences(expected.text, actual.text, path)


def text_differences(expected: str, actual: str, path: str) -> Iterator[Difference]:
    """At most one difference: the first place at which two texts part."""
    if expected == actual:
        return
    expected_words, expected_numbers = _split(expected)
    actual_words, actual_numbers = _split(actual)
    if expected_words != actual_words:
        yield Difference(path, "text", f"{_short(actual)!r}, expected {_short(expected)!r}")
        return
    for one, other in zip(expected_numbers, actual_numbers, strict=True):
        if not _same_printed_number(one, other):
            message = f"prints {other}, expected {one}, in {_short(expected)!r}"
            yield Difference(path, "text", message)
            return


def _tensors(expected: TensorValue, actual: TensorValue, path: str) -> Iterator[Difference]:
    for kind in ("kind", "dtype", "shape", "requires_grad", "is_leaf"):
        one, other = getattr(expected, kind), getattr(actual, kind)
        if one != other:
            yield Difference(path, kind, f"{kind} {other}, expected {one}")
    if expected.shape == actual.shape and expected.dtype == actual.dtype:
        text = _elements(expected, actual)
        if text:
            yield Difference(path, "value", text, actual.shared_on_cpu)
    if expected.grad is not None or actual.grad is not None:
        yield from differences(expected.grad, actual.grad, f"{path}.grad")


def _elements(expected: TensorValue, actual: TensorValue) -> str:
    """Where the elements differ most; empty when they agree."""
    if expected.data == actual.data or not expected.data:
        return ""
    one = np.frombuffer(expected.data, expected.stored_as)
    other = np.frombuffer(actual.data, actual.stored_as)
    relative, absolute = _TOLERANCES.get(expected.dtype, (0.0, 0.0))
    with np.errstate(all="ignore"):
        if relative == 0.0:
            wrong = one != other
            distance = wrong.astype(np.float64)
        else:
            # A small element of a large sum carries the rounding of the large ones.
            finite = np.abs(one[np.isfinite(one)])
            scale = max(1.0, float(finite.max())) if finite.size else 1.0
            distance = np.abs(one - other)
            same = (one == other) | (np.isnan(one) & np.isnan(other))
            wrong = ~same & ~(distance <= relative * np.abs(one) + absolute * scale)
            distance = np.where(np.isnan(distance), np.inf, distance) * wrong
    if not wrong.any():
        return ""
    worst = int(np.nanargmax(np.where(wrong, distance, -1)))
    place = tuple(int(i) for i in np.unravel_index(worst, expected.shape)) if one.size > 1 else ()
    count = int(wrong.sum())
    return (
        f"{count} of {one.size} elements differ, most at {list(place)}: "
        f"{other[worst]}, expected {one[worst]}"
    )


def _groups(expected: GroupValue, actual: GroupValue, path: str) -> Iterator[Difference]:
    if expected.type != actual.type:
        yield Difference(path, "type", f"{actual.type}, expected {expected.type}")
        return
    names = [name for name, _ in expected.parts]
    other_names = [name for name, _ in actual.parts]
    if names != other_names:
        odd = sorted(set(names) ^ set(other_names))
        text = f"{len(other_names)} parts, expected {len(names)}; not in both: {odd[:5]}"
        yield Difference(path, "parts", text)
    others = dict(actual.parts)
    for name, part in expected.parts:
        if name in others:
            yield from differences(part, others[name], f"{path}[{name}]")


def _same_number(expected: complex, actual: complex) -> bool:
    if expected == actual or (expected != expected and actual != actual):
        return True
    if isinstance(expected, int) or isinstance(actual, int):
        return False
    relative, absolute = _FLOAT
    return abs(expected - actual) <= relative * abs(expected) + absolute


def _same_printed_number(expected: str, actual: str) -> bool:
    if expected == actual:
        return True
    if not any(mark in number for mark in ".eE" for number in (expected, actual)):
        return False
    one, other = float(expected), float(actual)
    # One unit in the last place that the finer of the two shows.
    unit = min(_last_place(expected), _last_place(actual))
    return math.isclose(one, other, rel_tol=_FLOAT[0], abs_tol=1.01 * unit)


def _last_place(number: str) -> float:
    mantissa, _, exponent = number.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 10.0 ** (int(exponent or 0) - decimals) if decimals else 0.0


def _split(text: str) -> tuple[list[str], list[str]]:
    """The words between the numbers, spaces taken out as alignment changes them; the numbers."""
    for pattern, replacement in _NOT_COMPARED:
        text = pattern.sub(replacement, text)
    words = ["".join(part.split()) for part in _NUMBER.split(text)]
    return words, _NUMBER.findall(text)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 120 else text[:117] + "..."


def _type_name(value: object) -> str:
    return getattr(value, "type", type(value).__name__)


def _kind(value: Value) -> str:
    if value is None:
        return "None"
    if isinstance(value, TensorValue):
        return f"a {value.kind} of {value.dtype}"
    return f"a value of type {_type_name(value)}"
