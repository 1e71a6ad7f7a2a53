"""The table in the terminal: a line a row, printed as soon as it is measured."""

from __future__ import annotations

from altbackend.bench.load import NOISY
from altbackend.bench.records import Row

WIDTH = 48  # of a row's name
GROWN = 1.01  # of alt's peak memory, from which on it is said


def header(rival: str) -> str:
    """The head of the table, against that rival."""
    cells = ["alt", rival, f"{rival}/alt", "quartiles", "of limit", "memory", f"of {rival}"]
    return line("row", cells)


def line(name: str, cells: list[str]) -> str:
    """One line of columns."""
    widths = (10, 10, 11, 13, 12, 9, 9)
    columns = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return f"{name:<{WIDTH}}" + "".join(columns)


def row_line(row: Row, rival: str) -> str:
    """A row as a line."""
    if row.error:
        return f"{row.row:<{WIDTH}}  NOT TIMED: {row.error}"
    assert row.alt is not None
    other = row.rivals.get(rival)
    cells = [seconds(row.alt.median), "", "", "", "", memory(row.memory), ""]
    if other is not None and other.timing is not None and other.ratio is not None:
        cells[1] = seconds(other.timing.median)
        cells[2] = times(other.ratio.median)
        cells[3] = f"{times(other.ratio.low)}-{times(other.ratio.high)}"
    if other is not None:
        cells[6] = memory(other.memory)
    if row.percent is not None:
        cells[4] = f"{row.percent:.0f}% {row.bound}"
    return "  ".join([line(row.row, cells), *notes(row)])


def notes(row: Row) -> list[str]:
    """What a reader of the figures should know."""
    found = []
    for name, rival in row.rivals.items():
        if rival.note:
            found.append(f"{name}: {rival.note}")
    if row.fallbacks:
        found.append(f"fallback: {', '.join(row.fallbacks)}")
    if row.load is not None and row.load >= NOISY:
        found.append(f"others used {row.load:.1f} cores")
    if row.memory and row.memory_later and row.memory_later > GROWN * row.memory:
        found.append(f"memory grew to {memory(row.memory_later)}")
    if row.busy:
        slowed = ", ".join(f"{name} {factor:.1f}" for name, factor in row.busy.items())
        found.append(f"times slower beside a busy process: {slowed}")
    return found


def times(value: float) -> str:
    """A ratio, with as many digits as mean anything."""
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def seconds(value: float) -> str:
    """A duration with a unit."""
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= unit:
            return f"{_three(value / unit)} {name}"
    return f"{value * 1e9:.0f} ns"


def memory(value: int | None) -> str:
    """An amount of memory with a unit; nothing where it is not known."""
    if value is None:
        return ""
    for unit, name in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")):
        if value >= unit:
            return f"{_three(value / unit)} {name}"
    return f"{value} B"


def _three(value: float) -> str:
    """Three digits; four rather than an exponent."""
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"
