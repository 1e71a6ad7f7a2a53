"""What all rows together say: geometric means, the slowest, growth."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from altbackend._page import Part
from altbackend.bench.load import NOISY
from altbackend.bench.records import Row, Run

PART = Part("speed by group")
LARGE = 1 << 20  # elements
BUSY_LIMIT = 2.5  # times slower with a core taken, which is worth a word


@dataclass(frozen=True)
class Summary:
    """Some rows against one rival.

    Args:
        rows: how many were timed on both.
        geomean: of the ratios; above 1, alt is faster.
        slowest: the row with the lowest ratio, and that ratio.
        below: how many ratios are below 1.
    """

    rows: int
    geomean: float
    slowest: str
    lowest: float
    below: int


def summarize(rows: Iterable[Row], rival: str) -> Summary | None:
    """The rows against a rival; None where none was timed on both."""
    ratios = {row.row: found for row in rows if (found := row.ratio(rival)) is not None}
    if not ratios:
        return None
    slowest = min(ratios, key=lambda row: ratios[row])
    return Summary(
        rows=len(ratios),
        geomean=statistics.geometric_mean(ratios.values()),
        slowest=slowest,
        lowest=ratios[slowest],
        below=sum(ratio < 1 for ratio in ratios.values()),
    )


def parts(run: Run) -> dict[str, list[Row]]:
    """The rows by group; then all of them, and the large ones."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in run.rows:
        found[row.group].append(row)
    return {
        **found,
        "all": run.rows,
        "from 1M elements on": [row for row in run.rows if row.elements >= LARGE],
    }


def growth(rows: Iterable[Row]) -> dict[str, float]:
    """How evenly time grows with size, for what was measured at several large sizes.

    The largest time an element over the smallest, of the sizes from 1M elements on; 1 is even.
    """
    costs: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.alt is not None and row.elements >= LARGE and row.bound == "copy":
            costs[f"{row.group}/{row.name}"].append(row.alt.median / row.elements)
    return {name: max(found) / min(found) for name, found in costs.items() if len(found) > 1}


def in_memory(rows: Iterable[Row]) -> list[Row]:
    """The rows that the copy bandwidth holds: bound by memory, and not by a cache."""
    return [
        row for row in rows if row.bound == "copy" and not row.cached and row.percent is not None
    ]


def text(run: Run) -> str:
    """What the terminal shows at the end."""
    lines = []
    for rival in run.rivals:
        lines += ["", *_against(run, rival)]
    lines += ["", *remarks(run)]
    return "\n".join(lines)


def _against(run: Run, rival: str) -> list[str]:
    lines = [
        f"{f'{rival}/alt, by group':<24}{'rows':>6}{'geomean':>10}{'below 1':>10}   the slowest row"
    ]
    for name, rows in parts(run).items():
        found = summarize(rows, rival)
        if found is not None:
            lines.append(
                f"{name:<24}{found.rows:>6}{found.geomean:>10.2f}{found.below:>10}   "
                f"{found.lowest:.2f} {found.slowest}"
            )
    return lines if len(lines) > 1 else [f"{rival}: no row was timed"]


def markdown(run: Run) -> str:
    """The table that the README shows, against the rival that counts."""
    rival = run.rivals[0] if run.rivals else ""
    lines = [
        f"| {rival}/alt, by group | rows | geomean | below 1 | the slowest row |",
        "|---|---|---|---|---|",
    ]
    for name, rows in parts(run).items():
        if found := summarize(rows, rival):
            lines.append(
                f"| {name} | {found.rows} | {found.geomean:.2f} | {found.below} "
                f"| {found.lowest:.2f} `{found.slowest}` |"
            )
    where = run.environment
    lines += [
        "",
        *remarks(run),
        f"Measured {where['date'][:10]} with torch {where['torch']}, {where['threads']} threads, "
        f"on {where['processor']}{', a sample of the rows (--quick)' if where['quick'] else ''}.",
    ]
    return "\n".join(lines)


def remarks(run: Run) -> list[str]:
    """The limits, how near alt is to them, and what makes the figures doubtful; a line each."""
    limits = run.limits
    lines = [
        f"This machine multiplies at {limits.gemm / 1e9:.0f} GFLOP/s and copies at "
        f"{limits.copy / 1e9:.1f} GB/s (read and written), measured in this run."
    ]
    bound = in_memory(run.rows)
    if bound:
        least = min(bound, key=lambda row: row.percent or 0)
        middle = statistics.median(row.percent or 0 for row in bound)
        lines.append(
            f"{len(bound)} rows are bound by memory: alt reaches {middle:.0f}% of the copy's "
            f"bandwidth in the middle, {least.percent:.0f}% in the worst, {least.row}."
        )
    uneven = growth(run.rows)
    if uneven:
        name = max(uneven, key=lambda name: uneven[name])
        lines.append(
            f"From 1M elements on, alt's time an element varies most in {name}: "
            f"by a factor of {uneven[name]:.2f}."
        )
    slowed = {row.row: row.busy["alt"] for row in run.rows if "alt" in row.busy}
    if slowed:
        name = max(slowed, key=lambda name: slowed[name])
        over = sum(factor > BUSY_LIMIT for factor in slowed.values())
        lines.append(
            f"With a core taken, alt is at most {slowed[name]:.1f} times slower ({name}); "
            f"{over} rows more than {BUSY_LIMIT} times."
        )
    falling = [row for row in run.rows if row.fallbacks]
    if falling:
        lines.append(f"{len(falling)} rows ran a stock kernel on alt (fallback).")
    noisy = [row for row in run.rows if row.load is not None and row.load >= NOISY]
    if noisy:
        lines.append(
            f"During {len(noisy)} of {len(run.rows)} rows other processes used {NOISY} cores or "
            "more: measure again on an idle machine before you believe them."
        )
    refused = [row for row in run.rows if row.error]
    if refused:
        lines.append(f"{len(refused)} rows were NOT TIMED:")
        lines += [f"  {row.row}: {row.error}" for row in refused]
    return lines
