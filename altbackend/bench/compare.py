"""Two runs side by side: which rows moved."""

from __future__ import annotations

from dataclasses import dataclass

from altbackend.bench import table
from altbackend.bench.measure import Ratio
from altbackend.bench.records import Row, Run

# Below this a change is not worth a line, however sure.
NOTABLE = 0.05


@dataclass(frozen=True)
class Change:
    """One row, before and after.

    Args:
        row: its name.
        old: the row of the first file.
        new: the row of the second.
        rival: whose ratio is compared.
    """

    row: str
    old: Row
    new: Row
    rival: str

    @property
    def factor(self) -> float:
        """The new ratio over the old one; above 1, alt has become faster.

        The ratio rather than the time: both sides ran together, so a machine that is slower today
        does not show.
        """
        return _ratio(self.new, self.rival).median / _ratio(self.old, self.rival).median

    @property
    def moved(self) -> bool:
        """Whether the change is notable, and the quartiles of the two do not overlap."""
        old, new = _ratio(self.old, self.rival), _ratio(self.new, self.rival)
        apart = new.low > old.high or new.high < old.low
        return apart and abs(self.factor - 1) > NOTABLE


def _ratio(row: Row, rival: str) -> Ratio:
    found = row.rivals[rival].ratio
    assert found is not None
    return found


def changes(old: Run, new: Run) -> list[Change]:
    """The rows that both runs timed against the same first rival, largest loss first."""
    rival = next((name for name in new.rivals if name in old.rivals), "")
    before = {row.row: row for row in old.rows}
    found = [
        Change(row.row, before[row.row], row, rival)
        for row in new.rows
        if row.row in before
        and row.ratio(rival) is not None
        and before[row.row].ratio(rival) is not None
    ]
    return sorted(found, key=lambda change: change.factor)


def text(old: Run, new: Run) -> str:
    """What moved, what failed, and what only one of them has."""
    common = changes(old, new)
    moved = [change for change in common if change.moved]
    lines = [
        f"old: {_origin(old)}",
        f"new: {_origin(new)}",
        "",
        f"{len(moved)} of {len(common)} rows moved: by more than {NOTABLE:.0%}, and further than "
        "both spread",
    ]
    if moved:
        rival = moved[0].rival
        lines.append(
            f"{'row':<{table.WIDTH}}{f'{rival}/alt old':>15}{'new':>8}{'change':>9}"
            f"{'alt old':>11}{'new':>11}"
        )
        lines += [_line(change) for change in moved]
    lines += _only("no longer there", old, new)
    lines += _only("new", new, old)
    refused = [row for row in new.rows if row.error]
    lines += [f"not timed in the new run: {row.row}: {row.error}" for row in refused]
    return "\n".join(lines)


def _line(change: Change) -> str:
    old, new = change.old, change.new
    assert old.alt is not None and new.alt is not None
    return (
        f"{change.row:<{table.WIDTH}}{_ratio(old, change.rival).median:>15.2f}"
        f"{_ratio(new, change.rival).median:>8.2f}{change.factor - 1:>+9.0%}"
        f"{table.seconds(old.alt.median):>11}{table.seconds(new.alt.median):>11}"
    )


def _origin(run: Run) -> str:
    known = run.environment
    return (
        f"{known['date']}, altbackend {known['altbackend']}, torch {known['torch']}, "
        f"{known['processor']}, {known['threads']} threads"
    )


def _only(what: str, here: Run, there: Run) -> list[str]:
    names = {row.row for row in there.rows}
    return [f"{what}: {row.row}" for row in here.rows if row.row not in names]
