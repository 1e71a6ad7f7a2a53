"""Where one row's time goes: torch.profiler's account of both sides, operator by operator."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch.profiler import ProfilerActivity, profile

from altbackend.bench import table
from altbackend.bench.rivals import Side
from altbackend.bench.scenario import Scenario

SECONDS = 0.5  # of steps, profiled on each side
MOST_STEPS = 200
MOST_LINES = 40


def text(given: Scenario, sides: Sequence[Side]) -> str:
    """The operators of one step on each side, those that cost most first.

    Args:
        given: the row.
        sides: two or more.
    """
    accounts = [_account(given, side) for side in sides]
    total: dict[str, float] = {}
    for account in accounts:
        for name, (_, own) in account.operators.items():
            total[name] = total.get(name, 0.0) + own
    head = f"{'operator':<44}" + "".join(
        f"{f'{side.name} calls':>14}{'self':>10}{'share':>7}" for side in sides
    )
    lines = [f"{given.row}: microseconds of one step, each operator without those it calls", head]
    for name in sorted(total, key=lambda name: -total[name])[:MOST_LINES]:
        lines.append(f"{name[:43]:<44}" + "".join(_cells(account, name) for account in accounts))
    if len(total) > MOST_LINES:
        lines.append(f"... and {len(total) - MOST_LINES} operators more")
    for title, what in (("in operators", _inside), ("outside of them", _outside)):
        lines.append(f"{title:<44}" + "".join(f"{what(a) * 1e6:>24.1f}{'':7}" for a in accounts))
    lines.append(
        f"{'a step without the profiler':<44}"
        + "".join(f"{table.seconds(account.step):>24}{'':7}" for account in accounts)
    )
    return "\n".join(lines)


class _Account:
    """What the profiler saw of one side: by operator, calls a step and own seconds a step."""

    def __init__(self) -> None:
        self.operators: dict[str, tuple[float, float]] = {}
        self.step = 0.0  # seconds, not profiled
        self.profiled = 0.0


def _account(given: Scenario, side: Side) -> _Account:
    torch.manual_seed(0)
    work = given.build(side.place)
    for _ in range(2):
        work.step()
    side.place.synchronize()
    account = _Account()
    began = time.perf_counter()
    work.step()
    side.place.synchronize()
    once = time.perf_counter() - began
    steps = max(1, min(MOST_STEPS, int(SECONDS / max(once, 1e-6))))
    account.step = _seconds(work.step, side, steps)
    activities = [ProfilerActivity.CPU]
    if side.place.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        account.profiled = _seconds(work.step, side, steps)
    for event in profiler.key_averages():
        own = event.self_cpu_time_total * 1e-6 / steps
        account.operators[event.key] = (event.count / steps, own)
    return account


def _seconds(step: Callable[[], object], side: Side, steps: int) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        step()
    side.place.synchronize()
    return (time.perf_counter() - began) / steps


def _inside(account: _Account) -> float:
    return sum(own for _, own in account.operators.values())


def _outside(account: _Account) -> float:
    """Python, and the profiler itself; none where several threads work at once."""
    return max(0.0, account.profiled - _inside(account))


def _cells(account: _Account, name: str) -> str:
    if name not in account.operators:
        return f"{'':31}"
    calls, own = account.operators[name]
    share = own / max(_inside(account), 1e-12)
    return f"{calls:>14.4g}{own * 1e6:>10.1f}{share:>7.0%}"
