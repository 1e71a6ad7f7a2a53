"""Timing: the sides take turns in one process, in blocks of calls, A B B A.

What slows the machine for a while (a neighbour, the clock) then slows all sides alike, and the
ratio of two blocks side by side is nearer the truth than the ratio of two averages.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Step = Callable[[], object]

# A call as long as this fills its own caches; what ran before it does not show.
LONG_CALL = 0.05
# Threads of OpenMP spin for 5 to 8 ms after their work is done, and would slow whoever is next.
SETTLE = 0.01


@dataclass(frozen=True)
class Contestant:
    """One side's step, and how it is waited for."""

    step: Step
    synchronize: Callable[[], None]


@dataclass(frozen=True)
class Effort:
    """How long a row is measured.

    Args:
        block: seconds that a block of calls lasts at least.
        rounds: blocks of each side, at most; always at least ``least``.
        budget: seconds for all blocks of a row, as far as ``least`` allows.
    """

    block: float
    rounds: int
    least: int
    budget: float


THOROUGH = Effort(block=0.01, rounds=15, least=5, budget=2.5)
QUICK = Effort(block=0.004, rounds=9, least=3, budget=0.5)


@dataclass(frozen=True)
class Timing:
    """Seconds of one call."""

    median: float
    low: float  # the first quartile of the blocks
    high: float  # the third
    best: float
    blocks: int
    calls: int  # in all blocks together


@dataclass(frozen=True)
class Ratio:
    """How many times longer one side takes than another, from neighbouring blocks."""

    median: float
    low: float
    high: float


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The first quartile, the median and the third."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, median, high


def ratio(slower: Sequence[float], faster: Sequence[float]) -> Ratio:
    """Of two sides' blocks, round by round."""
    low, median, high = quartiles([a / b for a, b in zip(slower, faster, strict=True)])
    return Ratio(median, low, high)


def timing(blocks: Sequence[float], calls: int) -> Timing:
    """From seconds a call in each block."""
    low, median, high = quartiles(blocks)
    return Timing(median, low, high, min(blocks), len(blocks), calls * len(blocks))


def take_turns(
    contestants: Sequence[Contestant], effort: Effort
) -> tuple[list[list[float]], list[int]]:
    """Seconds a call of each contestant's blocks, and how many calls a block of it has."""
    with _no_collector():
        calls = [_calls(contestant, effort.block) for contestant in contestants]
        once = [
            _block(contestant, count) * count
            for contestant, count in zip(contestants, calls, strict=True)
        ]
        rounds = max(effort.least, min(effort.rounds, int(effort.budget / sum(once))))
        found: list[list[float]] = [[] for _ in contestants]
        forward = range(len(contestants))
        for turn in range(rounds):
            for index in forward if turn % 2 == 0 else reversed(forward):
                found[index].append(_settled_block(contestants[index], calls[index]))
    return found, calls


def _calls(contestant: Contestant, block: float) -> int:
    """How many calls last as long as a block."""
    calls = 1
    _block(contestant, 1)
    while True:
        seconds = _block(contestant, calls) * calls
        if seconds >= block:
            return calls
        # At most tenfold: a first few calls may have been slow, or too fast to be seen.
        calls = max(calls + 1, min(10 * calls, int(1.2 * calls * block / max(seconds, 1e-9))))


def _settled_block(contestant: Contestant, calls: int) -> float:
    time.sleep(SETTLE)
    began = time.perf_counter()
    contestant.step()
    contestant.synchronize()
    first = time.perf_counter() - began
    if calls == 1 and first > LONG_CALL:
        return first
    return _block(contestant, calls)


def _block(contestant: Contestant, calls: int) -> float:
    """Seconds a call, of so many in a row."""
    step = contestant.step
    turns = itertools.repeat(None, calls)
    began = time.perf_counter()
    for _ in turns:
        step()
    contestant.synchronize()
    return (time.perf_counter() - began) / calls


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Without Python's garbage collector, which would run in some blocks and not in others."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
