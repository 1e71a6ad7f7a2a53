"""One record for each cell: an entry of a database, a dtype and a variant of use."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path


class Status(StrEnum):
    """How a cell ended."""

    PASSED = "passed"
    FAILED = "failed"
    CRASHED = "crashed"  # took its process with it, or ran past its time
    STOCK_WRONG = "stock_wrong"  # differs, and it is stock that is wrong (conformance.suite.judge)
    EXCLUDED = "excluded"  # stock itself does not do it, so there is nothing to compare with


class Ran(StrEnum):
    """Whose arithmetic produced the results, from the dispatch counters."""

    NATIVE = "native"  # the operator has a kernel of alt's own
    COMPOSITE = "composite"  # built from operators that have
    FALLBACK = "fallback"  # stock CPU kernels ran, somewhere in it
    NOTHING = "nothing"


@dataclasses.dataclass(frozen=True)
class Record:
    """The outcome of one cell.

    ``cases`` counts the comparisons made; a passed cell has at least one. ``detail`` says what
    differed, or why the cell is excluded. ``rule`` names what found stock wrong. ``fallbacks``
    names the operators that fell back.
    ``seconds`` is processor time, which other work on the machine does not change.
    """

    suite: str
    entry: str
    dtype: str
    variant: str
    status: Status
    ran: Ran = Ran.NOTHING
    cases: int = 0
    detail: str = ""
    rule: str = ""
    fallbacks: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names the cell across runs."""
        return (self.suite, self.entry, self.dtype, self.variant)

    @property
    def bad(self) -> bool:
        """Whether the cell counts against alt."""
        return self.status in (Status.FAILED, Status.CRASHED)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_dict(values: dict) -> Record:
        """The record that ``to_json`` wrote."""
        return Record(
            **{
                **values,
                "status": Status(values["status"]),
                "ran": Ran(values["ran"]),
                "fallbacks": tuple(values["fallbacks"]),
            }
        )


def write(path: Path, environment: dict, records: Iterable[Record]) -> None:
    """The whole run as one JSON document."""
    document = {
        "environment": environment,
        "records": [dataclasses.asdict(record) for record in records],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def read(path: Path) -> tuple[dict, list[Record]]:
    """What ``write`` wrote."""
    document = json.loads(path.read_text())
    return document["environment"], [Record.from_dict(values) for values in document["records"]]
