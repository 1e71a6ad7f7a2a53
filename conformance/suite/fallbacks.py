"""Which entries use a fallback, and the reviewed list that says why they may."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from conformance.suite.patterns import matches
from conformance.suite.records import Record

FILE = Path(__file__).parent.parent / "fallbacks.yaml"


@dataclass(frozen=True)
class Fallback:
    """An entry, the operators that ran on stock's kernels in it, and why; empty if not listed."""

    entry: str
    operators: tuple[str, ...]
    reason: str


def load(path: Path = FILE) -> dict[str, str]:
    """Reasons by shell pattern of entries."""
    return {row["entry"]: row["reason"].strip() for row in yaml.safe_load(path.read_text()) or []}


def used(records: Iterable[Record], reasons: dict[str, str]) -> list[Fallback]:
    """The entries of a run that used a fallback anywhere."""
    operators: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.fallbacks:
            operators[record.entry] |= set(record.fallbacks)
    return [
        Fallback(
            entry,
            tuple(sorted(operators[entry])),
            next((why for known, why in reasons.items() if matches(entry, known)), ""),
        )
        for entry in sorted(operators)
    ]


def markdown(fallbacks: list[Fallback]) -> str:
    """The table that the README shows."""
    if not fallbacks:
        return "No entry uses a fallback."
    lines = ["| entry with a fallback | operators | why |", "|---|---|---|"]
    for row in fallbacks:
        operators = ", ".join(f"`{operator}`" for operator in row.operators)
        lines.append(f"| `{row.entry}` | {operators} | {row.reason or 'not listed'} |")
    return "\n".join(lines)
