"""``python -m conformance fuzz``: random programs until the time or the count is up."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import altbackend  # noqa: F401 - registers the device
from conformance.fuzz.grammar import step
from conformance.fuzz.program import Pair, script
from conformance.suite.outcome import Difference

STEPS = 14
QUICK_PROGRAMS = 300
PROGRAMS = 5000


class Failure(AssertionError):
    """A program on which alt and stock differ."""


def run_program(data: st.DataObject) -> int:
    """Draws and runs one program; the number of steps that ran on both devices."""
    pair = Pair()
    ran = 0
    for _ in range(data.draw(st.integers(1, STEPS), label="steps")):
        try:
            ran += pair.step(data.draw(step(pair.stock.count)))
        except Difference as difference:
            raise Failure(f"{difference}\n\n{script(pair.steps)}") from None
    return ran


def fuzz(programs: int, first: int) -> tuple[int, int, str | None]:
    """Programs run, steps run, and the smallest failing program with what differs, if any."""
    counted = [0, 0]

    @seed(first)
    @settings(
        max_examples=programs,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        counted[0] += 1
        counted[1] += run_program(data)

    try:
        run()
    except Failure as failure:
        return counted[0], counted[1], str(failure)
    return counted[0], counted[1], None


def add_parser(checks: Any) -> None:
    """Adds the command to those of ``python -m conformance``."""
    parser = checks.add_parser("fuzz", help="random programs, shrunk where they differ")
    parser.add_argument("--programs", type=int, default=PROGRAMS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PROGRAMS} programs")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Carries out the command; 0 when every program agrees."""
    began = time.monotonic()
    wanted = QUICK_PROGRAMS if options.quick else options.programs
    programs, steps, failure = fuzz(wanted, options.seed)
    print(f"fuzz: {programs} programs, {steps} steps, {time.monotonic() - began:.0f} s")
    if failure is not None:
        print(f"they differ:\n{failure}", file=sys.stderr)
        return 1
    if steps == 0:
        print("no step ran")
        return 1
    return 0
