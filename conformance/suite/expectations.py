"""Known differences: a reviewed list, each with its reason, each itself checked.

A cell that fails without an entry fails the run; so does an entry none of whose cells fails any
more, so that the list only shrinks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from conformance.suite.patterns import matches
from conformance.suite.records import Record

FILE = Path(__file__).parent.parent / "expectations.yaml"


@dataclass(frozen=True)
class Expectation:
    """Cells by shell patterns (of entries, any of several), and why they differ."""

    suite: str
    entries: tuple[str, ...]
    dtype: str
    variant: str
    reason: str

    def covers(self, record: Record) -> bool:
        """Whether the record's cell is among those meant."""
        return (
            matches(record.suite, self.suite)
            and matches(record.entry, self.entries)
            and matches(record.dtype, self.dtype)
            and matches(record.variant, self.variant)
        )


@dataclass
class Verdict:
    """Which records count against the run, and which expectations are stale."""

    unexpected: list[Record] = field(default_factory=list)
    expected: list[Record] = field(default_factory=list)
    met: list[tuple[Expectation, Record]] = field(default_factory=list)
    stale: list[Expectation] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the run passes."""
        return not self.unexpected and not self.stale


def load(path: Path = FILE) -> list[Expectation]:
    """The reviewed file; an entry without a reason is an error."""
    rows = yaml.safe_load(path.read_text()) or []
    loaded = [_expectation(**row) for row in rows]
    for expectation in loaded:
        if not expectation.reason.strip():
            raise ValueError(f"{path}: {expectation} has no reason")
    return loaded


def _expectation(
    suite: str, entry: str | list[str], reason: str, dtype: str = "*", variant: str = "*"
) -> Expectation:
    """A row of the file."""
    entries = (entry,) if isinstance(entry, str) else tuple(entry)
    return Expectation(suite, entries, dtype, variant, reason)


def judge(records: list[Record], expected: list[Expectation], whole: bool = True) -> Verdict:
    """Sorts failures into expected and not, and finds the expectations that no longer hold.

    An expectation whose cells were not part of this run is left alone; of a sample (not ``whole``)
    all are, since the cells that still fail may not be in it.
    """
    verdict = Verdict()
    failing = [record for record in records if record.bad]
    for record in failing:
        known = [expectation for expectation in expected if expectation.covers(record)]
        (verdict.expected if known else verdict.unexpected).append(record)
        verdict.met += [(expectation, record) for expectation in known[:1]]
    for expectation in expected:
        covered = [record for record in records if expectation.covers(record)]
        if whole and covered and not any(record.bad for record in covered):
            verdict.stale.append(expectation)
    return verdict
