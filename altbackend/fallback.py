"""Controls of the CPU fallback: which operators have no kernel of ours, and what to do about it.

``ALT_FALLBACK=allow|warn|forbid`` sets the mode that the process starts with. The mode is the
process's, not a thread's: backward runs on autograd's own threads, and a ban must hold there too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal, TypedDict, cast

from altbackend import _C

Mode = Literal["allow", "warn", "forbid"]
MODES: tuple[Mode, ...] = ("allow", "warn", "forbid")


class FallbackRow(TypedDict):
    """One operator called from one place."""

    op: str  # with its overload, such as "aten::cholesky_solve"
    kind: Literal["stock", "host"]  # whose kernel ran: stock's, or on a GPU the host engine's
    calls: int
    bytes: int  # of the tensors that went in and came out
    site: str  # "file.py:12 function" of the innermost Python frame outside torch, or "autograd"


def fallback_report() -> list[FallbackRow]:
    """Every operator that ran on another's kernel since the last reset, most calls first."""
    rows = cast("list[FallbackRow]", _C.fallback_report())
    return sorted(rows, key=lambda row: (-row["calls"], row["op"], row["site"]))


def reset_fallback_report() -> None:
    """Forget what :func:`fallback_report` has counted."""
    _C.reset_fallback_report()


@contextlib.contextmanager
def fallback_mode(mode: Mode) -> Iterator[None]:
    """Within the block, let a fallback pass ("allow"), warn of it ("warn"), or raise ("forbid").

    Raises:
        ValueError: where ``mode`` is none of these.
    """
    if mode not in MODES:
        raise ValueError(f"fallback mode must be one of {', '.join(MODES)}, not {mode!r}")
    before = _C.get_fallback_mode()
    _C.set_fallback_mode(mode)
    try:
        yield
    finally:
        _C.set_fallback_mode(before)


def no_fallback() -> contextlib.AbstractContextManager[None]:
    """Within the block, an operator without a kernel of ours raises NotImplementedError. Nests."""
    return fallback_mode("forbid")
