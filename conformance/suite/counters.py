"""What the dispatch counted while a block of code ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from altbackend import _C


@dataclass
class Counted:
    """Calls of alt's own kernels, and the operators that fell back."""

    native: int = 0
    fallbacks: set[str] = field(default_factory=set)


@contextmanager
def counting() -> Iterator[Counted]:
    """Counts what runs inside, on whatever thread."""
    counted = Counted()
    _C.reset_fallback_report()
    before = _C.native_calls()
    try:
        yield counted
    finally:
        counted.native = _C.native_calls() - before
        counted.fallbacks = {row["op"] for row in _C.fallback_report()}
