"""How many programs ``conformance fuzz`` draws, and in which tasks."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from conformance.fuzz.grammar import DTYPES
from conformance.suite.cli import TaskCheck, selected
from conformance.suite.workers import Task

# A task draws its programs from a seed of its own, so any of them can be run again alone.
PROGRAMS_A_TASK = 250
PROGRAMS = 5000
QUICK_PROGRAMS = 250


def add_options(parser: argparse.ArgumentParser) -> None:
    """What only this check has."""
    parser.add_argument("--programs", type=int, help=f"how many (default {PROGRAMS})")
    parser.add_argument("--seed", type=int, default=0, help="of the first task")


def tasks(options: argparse.Namespace) -> list[Task]:
    """Seeds one after another, until there are programs enough."""
    programs = getattr(options, "programs", None)
    programs = programs or (QUICK_PROGRAMS if options.quick else PROGRAMS)
    first = getattr(options, "seed", 0)
    asked = options.dtypes.split(",") if options.dtypes else DTYPES
    common = {
        "dtypes": [dtype for dtype in DTYPES if dtype in asked],
        "programs": min(programs, PROGRAMS_A_TASK),
    }
    if not common["dtypes"]:
        return []
    traces = Path(tempfile.gettempdir())
    found = []
    for seed in range(first, first + -(-programs // PROGRAMS_A_TASK)):
        entry = f"seed.{seed}"
        if selected(entry, options.only):
            trace = traces / f"altbackend-fuzz-{id(options)}-{seed}.py"
            more = {"seed": seed, "trace": str(trace)}
            found.append(Task("fuzz", entry, "mixed", {**common, **more}))
    return found


CHECK = TaskCheck(
    "fuzz", "random programs, shrunk where they differ", "conformance.fuzz.worker", tasks
)
