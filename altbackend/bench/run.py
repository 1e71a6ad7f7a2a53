"""One row: built on every side, checked, timed. Then all of them."""

from __future__ import annotations

import contextlib
import functools
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import altbackend
from altbackend.bench import check, flops, measure, scenario
from altbackend.bench.limits import LargeCopy, Limits
from altbackend.bench.load import OthersLoad, busy_core
from altbackend.bench.measure import Contestant, Effort
from altbackend.bench.memory import Peak
from altbackend.bench.records import Rival, Row
from altbackend.bench.rivals import ALT, STOCK, Side, side
from altbackend.bench.scenario import Scenario, Work


@dataclass(frozen=True)
class Settings:
    """How rows are measured.

    Args:
        rivals: the sides beside alt; the first is the one that counts.
        effort: how long.
        limits: of this machine.
        copy: timed beside the rows that memory bounds.
        busy: whether to measure once more while another process has a core.
    """

    rivals: Sequence[Side]
    effort: Effort
    limits: Limits
    copy: LargeCopy
    busy: bool = False


class Refused(Exception):
    """The row cannot be timed."""


@dataclass
class Built:
    """A side's work, ready to be timed, and what the check saw of it."""

    side: Side
    work: Work
    results: list[Any]  # a snapshot after two steps
    peak: Peak
    memory: int | None


def measure_row(given: Scenario, settings: Settings) -> Row:
    """The row of one scenario. Never raises for what the scenario does; ``error`` tells."""
    row = Row(given.row, given.group, given.name, given.size)
    load = OthersLoad()
    try:
        sides = _checked(given, settings, row)
        _time(sides, settings, row, load)
    except Refused as refused:
        row.error = str(refused)
    return row


# ---- building and checking ----


def _checked(given: Scenario, settings: Settings, row: Row) -> list[Built]:
    """Alt's work and its rivals', all with equal results."""
    stock = _stock(given, settings.limits, row)
    with _counting_fallbacks(row):
        alt = _refusing(ALT, functools.partial(_build, given, side(ALT)))
    row.memory = alt.memory
    complaint = _complaint(given, alt, stock)
    if complaint is not None:
        raise Refused(f"alt's results are not stock's: {complaint}")
    sides = [alt]
    for rival in settings.rivals:
        row.rivals[rival.name] = Rival()
        built = stock if rival.name == STOCK else _rival(given, rival, stock, row)
        if built is not None:
            row.rivals[rival.name].memory = built.memory
            sides.append(built)
    for built in (stock, *sides):
        built.results = []
    return sides


def _stock(given: Scenario, limits: Limits, row: Row) -> Built:
    """The work on the cpu, by which the others are judged, and the row's flops and bytes."""
    built = _refusing(STOCK, functools.partial(_build, given, side(STOCK)))
    row.flops = float(flops.count(given) if given.flops is None else given.flops)
    moved = scenario.traffic(built.work, built.results, given.backward)
    row.bytes = float(moved if given.bytes is None else given.bytes)
    found = scenario.largest(built.work, built.results)
    row.elements = found if given.elements is None else given.elements
    row.bound = limits.bound(row.flops, row.bytes)
    row.cached = 0 < row.bytes <= limits.cache
    return built


def _rival(given: Scenario, rival: Side, stock: Built, row: Row) -> Built | None:
    """A rival's work; None, with a note in the row, where it fails or computes something else."""
    try:
        built = _build(given, rival)
    except Exception as error:  # whatever its compiler raises
        row.rivals[rival.name].note = _first_line(error)
        return None
    complaint = _complaint(given, built, stock)
    if complaint is not None:
        row.rivals[rival.name].note = complaint
        return None
    return built


def _build(given: Scenario, where: Side) -> Built:
    """Build the work and run two steps, from the same seeds on every side.

    Two, since the first makes an optimizer's state, and the second shows what the first has left.
    """
    peak = Peak(where.place.device)
    torch.manual_seed(zlib.crc32(given.row.encode()))
    work = given.build(where.place)
    torch.manual_seed(1)
    work.step()
    results = work.step()
    where.place.synchronize()
    memory = peak.bytes()
    if work.results is not None:
        results = (results, work.results())
    return Built(where, work, check.snapshot(results), peak, memory)


def _complaint(given: Scenario, ours: Built, theirs: Built) -> str | None:
    if given.draws and not ours.side.place.draws_as_cpu:
        return check.resemblance(ours.results, theirs.results)
    return check.difference(ours.results, theirs.results, given.tolerance)


def _refusing(name: str, build: Callable[[], Built]) -> Built:
    try:
        return build()
    except Exception as error:  # whatever the scenario raises; the other rows go on
        raise Refused(f"on {name}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    text = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {text}"


@contextlib.contextmanager
def _counting_fallbacks(row: Row) -> Iterator[None]:
    before = _fallbacks()
    try:
        yield
    finally:
        now = _fallbacks()
        row.fallbacks = sorted(name for name in now if now[name] > before.get(name, 0))


def _fallbacks() -> dict[str, int]:
    calls: dict[str, int] = {}
    for found in altbackend.fallback_report():
        calls[found["op"]] = calls.get(found["op"], 0) + found["calls"]
    return calls


# ---- timing ----


def _time(sides: list[Built], settings: Settings, row: Row, load: OthersLoad) -> None:
    contestants = [Contestant(s.work.step, s.side.place.synchronize) for s in sides]
    alt = sides[0]
    beside_copy = row.bound == "copy" and not row.cached
    alt.peak.restart()
    turns = [*contestants, settings.copy.contestant] if beside_copy else contestants
    blocks, calls = measure.take_turns(turns, settings.effort)
    row.memory_later = alt.peak.bytes()
    row.load = load.cores()
    row.alt = measure.timing(blocks[0], calls[0])
    if beside_copy:
        copies, _ = blocks.pop(), calls.pop()
        share = row.bytes / settings.copy.bytes
        row.percent = 100 * share * measure.ratio(copies, blocks[0]).median
    elif row.bound:
        least = settings.limits.seconds(row.flops, row.bytes)
        row.percent = 100 * least / row.alt.median
    for built, times, count in zip(sides[1:], blocks[1:], calls[1:], strict=True):
        rival = row.rivals[built.side.name]
        rival.timing = measure.timing(times, count)
        rival.ratio = measure.ratio(times, blocks[0])
    if settings.busy:
        with busy_core():
            slowed, _ = measure.take_turns(contestants, settings.effort)
        for built, before, after in zip(sides, blocks, slowed, strict=True):
            row.busy[built.side.name] = measure.quartiles(after)[1] / measure.quartiles(before)[1]
