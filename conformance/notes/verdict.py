"""What became of each statement: two stock runs against one run on alt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from conformance.notes.compare import Difference, differences, text_differences
from conformance.notes.extract import Statement
from conformance.notes.values import Record, Value

AGREES = "agrees"
DIFFERS = "differs"
FAILS = "fails"  # runs on stock, but not on alt
EXPECTED = "expected"  # differs as it does on every device but the cpu
BOTH_RAISE = "both raise"
NO_REFERENCE = "no reference"  # stock does not do the same thing twice, or can not do it at all

# What differs when only the numbers do.
_NUMBERS = {"value", "text"}
# Stock torch has no CUDA here, and has never heard of alt.
_NOT_ON_STOCK = re.compile(
    r"not compiled with CUDA|NVIDIA driver|attribute '_cuda|\balt(backend)?\b"
)


@dataclass
class Verdict:
    """The outcome of one statement in one way."""

    statement: Statement
    outcome: str
    reasons: list[str] = field(default_factory=list)
    follows: int | None = None  # the statement whose failure explains this one
    record: Record | None = None

    @property
    def is_failure(self) -> bool:
        """Does this make the check fail?"""
        return self.outcome in (DIFFERS, FAILS)


class _State:
    """The namespace of one process, put together from the changes that it recorded."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}

    def follow(self, record: Record) -> set[str]:
        """Apply the changes of a statement; the names that it touched are returned."""
        self.values.update(record.changed)
        for name in record.removed:
            self.values.pop(name, None)
        return {*record.changed, *record.removed}


class Judge:
    """Goes through the statements in order, and tells causes from consequences."""

    def __init__(self) -> None:
        self._first, self._second, self._actual = _State(), _State(), _State()
        self._broken: dict[str, int] = {}  # name: the statement which left it wrong
        self._excused: dict[str, str] = {}  # name: why it may differ
        self._only_on_alt: set[str] = set()  # names that stock can not have

    def judge(self, statement: Statement, stock: tuple[Record, Record], alt: Record) -> Verdict:
        """The verdict on one statement."""
        first, second = stock
        names = self._first.follow(first) | self._second.follow(second) | self._actual.follow(alt)
        unstable, found = self._compare(sorted(names), first, second, alt)
        real = [d for d in found if (d.path, d.kind) not in unstable]
        excuse = self._excuse(statement, alt)
        excused = [d for d in real if d.shared_on_cpu or (excuse and d.kind in _NUMBERS)]
        wrong = [d for d in real if d not in excused]
        cause = self._cause(statement)
        outcome, reasons = _outcome(first, second, alt)
        if alt.status == "ok" != first.status and statement.reads & self._only_on_alt:
            outcome, reasons = NO_REFERENCE, []
        if outcome == NO_REFERENCE:
            self._only_on_alt |= {_root(difference.path) for difference in wrong}
            wrong = []
        self._remember(names, excused, wrong, excuse, cause, statement.index)
        if outcome != FAILS:
            reasons += [f"{d.path}: {d.text}" for d in wrong]
        if wrong and outcome in (AGREES, BOTH_RAISE):
            outcome = DIFFERS
        elif outcome == AGREES and excused:
            outcome = EXPECTED
            why = excuse or "memory shared with NumPy on the cpu only"
            reasons = [f"{d.path}: {d.text} ({why})" for d in excused]
        return Verdict(
            statement, outcome, reasons, cause if outcome in (DIFFERS, FAILS) else None, alt
        )

    def _compare(
        self, names: list[str], first: Record, second: Record, alt: Record
    ) -> tuple[set[tuple[str, str]], list[Difference]]:
        """(path, kind) of what differs between the stock runs, and what differs on alt."""
        unstable: set[tuple[str, str]] = set()
        found: list[Difference] = []
        for name in names:
            one = self._first.values
            unstable |= _places(_named(name, one, self._second.values))
            found += _named(name, one, self._actual.values)
        if first.status == second.status == "ok":
            unstable |= _places(_seen(first, second))
            if alt.status == "ok":
                found += _seen(first, alt)
        return unstable, found

    def _excuse(self, statement: Statement, alt: Record) -> str:
        if alt.two_generators:
            return "random numbers of two devices"
        return next((self._excused[n] for n in sorted(statement.reads) if n in self._excused), "")

    def _cause(self, statement: Statement) -> int | None:
        causes = [self._broken[name] for name in statement.reads if name in self._broken]
        return min(causes, default=None)

    def _remember(
        self,
        names: set[str],
        excused: list[Difference],
        wrong: list[Difference],
        excuse: str,
        cause: int | None,
        index: int,
    ) -> None:
        for name in names:
            self._broken.pop(name, None)
            self._excused.pop(name, None)
            if name in self._first.values:
                self._only_on_alt.discard(name)
        for difference in excused:
            name = _root(difference.path)
            self._excused[name] = excuse or "memory shared with NumPy on the cpu only"
        for difference in wrong:
            self._broken[_root(difference.path)] = index if cause is None else cause


def _outcome(first: Record, second: Record, alt: Record) -> tuple[str, list[str]]:
    """The outcome as far as the ends of the three runs tell."""
    if first.status != second.status or "timeout" in (first.status, second.status):
        return NO_REFERENCE, []
    if first.status == "skipped":
        return NO_REFERENCE, []
    if first.status == "ok":
        if alt.status == "ok":
            return AGREES, []
        return FAILS, [f"{alt.error_type or alt.status}: {_first_line(alt.error)}"]
    if alt.status == "ok" and _NOT_ON_STOCK.search(first.error):
        return NO_REFERENCE, []
    if alt.status == "ok":
        return DIFFERS, [f"runs, where stock raises {first.error_type}"]
    if alt.error_type != first.error_type == second.error_type:
        text = f"raises {alt.error_type or alt.status}: {_first_line(alt.error)}"
        return DIFFERS, [f"{text}, expected {first.error_type}: {_first_line(first.error)}"]
    return BOTH_RAISE, []


def _seen(one: Record, other: Record) -> list[Difference]:
    """The differences in what a statement gave and printed."""
    found = list(differences(one.result, other.result, "<result>"))
    printed = list(text_differences(one.printed, other.printed, "<printed>"))
    shown = list(text_differences(one.shown, other.shown, "<shown>"))
    if any(difference.shared_on_cpu for difference in found):
        shown = [Difference(d.path, d.kind, d.text, shared_on_cpu=True) for d in shown]
    return found + printed + shown


def _named(name: str, one: dict[str, Value], other: dict[str, Value]) -> Iterator[Difference]:
    if (name in one) != (name in other):
        here = "is not there" if name in one else "is there, but not on stock"
        return iter([Difference(name, "missing", here)])
    return differences(one.get(name), other.get(name), name)


def _places(found: Iterator[Difference] | list[Difference]) -> set[tuple[str, str]]:
    return {(difference.path, difference.kind) for difference in found}


def _root(path: str) -> str:
    return path.split("[")[0].split(".")[0]


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0][:300]
