"""What a run found, and the JSON file that holds it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from altbackend.bench.limits import Limits
from altbackend.bench.measure import Ratio, Timing

SCHEMA = 1


@dataclass
class Rival:
    """How one rival did in a row.

    Args:
        timing: its own; None where it could not run, and ``note`` says why.
        ratio: its time over alt's; above 1, alt is faster.
        memory: peak bytes of a step; None where it is not known.
        alt: alt's timing beside it, where it ran in another process than the row's.
        note: why there is no timing.
    """

    timing: Timing | None = None
    ratio: Ratio | None = None
    memory: int | None = None
    alt: Timing | None = None
    note: str = ""


@dataclass
class Row:
    """One scenario.

    Args:
        row: its name, "group/name/size"; also in parts below.
        elements: of its largest tensor.
        flops: of a step.
        bytes: the least memory traffic of a step.
        bound: the limit that holds it: "gemm", "copy" or none.
        percent: of that limit, by alt.
        cached: whether its data fits the last cache, so that the copy's limit does not hold it.
        alt: alt's timing; None where the row was refused, and ``error`` says why.
        memory: peak bytes of a step on alt.
        memory_later: the same after all the steps of the run.
        rivals: by name; the first is the one that counts.
        fallbacks: operators for which alt ran a stock kernel.
        load: cores that other processes used meanwhile.
        busy: by side, how many times longer a step took while another process had a core.
        error: why the row was not timed.
    """

    row: str
    group: str
    name: str
    size: str
    elements: int = 0
    flops: float = 0
    bytes: float = 0
    bound: str = ""
    percent: float | None = None
    cached: bool = False
    alt: Timing | None = None
    memory: int | None = None
    memory_later: int | None = None
    rivals: dict[str, Rival] = field(default_factory=dict)
    fallbacks: list[str] = field(default_factory=list)
    load: float | None = None
    busy: dict[str, float] = field(default_factory=dict)
    error: str = ""

    def ratio(self, rival: str) -> float | None:
        """The median ratio to a rival, where there is one."""
        found = self.rivals.get(rival)
        return found.ratio.median if found is not None and found.ratio is not None else None


@dataclass
class Run:
    """All rows, and on what they were measured."""

    environment: dict[str, Any]
    limits: Limits
    rows: list[Row]

    @property
    def rivals(self) -> list[str]:
        """The names of all rivals, the first of them the one that counts."""
        return list(dict.fromkeys(name for row in self.rows for name in row.rivals))

    @property
    def good(self) -> bool:
        """Whether every row was timed."""
        return not any(row.error for row in self.rows)


def write(path: Path, run: Run) -> None:
    """The run as a JSON document."""
    document = {"schema": SCHEMA, **dataclasses.asdict(run)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def read(path: Path) -> Run:
    """What :func:`write` wrote.

    Raises:
        ValueError: where the file is not such a document.
    """
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(f"{path} is not a result of this bench (schema {SCHEMA})")
    rows = [_row(values) for values in document["rows"]]
    return Run(document["environment"], Limits(**document["limits"]), rows)


def _row(values: dict[str, Any]) -> Row:
    rivals = {name: _rival(found) for name, found in values["rivals"].items()}
    return Row(**{**values, "alt": _timing(values["alt"]), "rivals": rivals})


def _rival(values: dict[str, Any]) -> Rival:
    found = {**values, "timing": _timing(values["timing"]), "alt": _timing(values["alt"])}
    ratio = values["ratio"]
    return Rival(**{**found, "ratio": None if ratio is None else Ratio(**ratio)})


def _timing(values: dict[str, Any] | None) -> Timing | None:
    return None if values is None else Timing(**values)
