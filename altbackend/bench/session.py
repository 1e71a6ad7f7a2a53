"""A whole run of the bench: the limits, every row, and once more under another malloc."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import gc
import platform
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

import altbackend
from altbackend import _C
from altbackend.bench import limits, preloaded, table
from altbackend.bench import rivals as known
from altbackend.bench.load import OthersLoad
from altbackend.bench.measure import QUICK, THOROUGH
from altbackend.bench.records import Row, Run
from altbackend.bench.rivals import Side
from altbackend.bench.run import Settings, measure_row
from altbackend.bench.scenario import Scenario


def alt() -> Side:
    """The side that all this is about."""
    return known.side(known.ALT)


def rivals(options: argparse.Namespace) -> list[Side]:
    """The sides that the options ask for.

    Raises:
        ValueError: where one is not there.
    """
    names = options.rivals.split(",") if options.rivals else known.default_rivals()
    return [known.side(name) for name in dict.fromkeys(names)]


def run(options: argparse.Namespace, rows: Sequence[Scenario]) -> Run:
    """Measure the rows, printing each as it is done."""
    began, load = time.monotonic(), OthersLoad()
    if options.threads:
        torch.set_num_threads(options.threads)
    sides = rivals(options)
    library = _allocator(options)
    found = limits.measure(_limited(sides), options.quick)
    copy = limits.LargeCopy(alt().place, options.quick)
    settings = Settings(sides, QUICK if options.quick else THOROUGH, found, copy, options.busy)
    with _young_collector():
        done = _all(rows, settings, options.quiet)
    result = Run(_environment(options), found, done)
    for name, path in library.items():
        print(f"once more, with {path} preloaded ...", file=sys.stderr, flush=True)
        other = preloaded.run(path, _arguments(options, rows))
        preloaded.merge(result, other, name)
    result.environment["seconds"] = round(time.monotonic() - began, 1)
    result.environment["load"] = load.cores()
    return result


def _all(rows: Sequence[Scenario], settings: Settings, quiet: bool) -> list[Row]:
    first = settings.rivals[0].name
    if not quiet:
        print(table.header(first), flush=True)
    done = []
    for scenario in rows:
        row = measure_row(scenario, settings)
        done.append(row)
        if not quiet:
            print(table.row_line(row, first), flush=True)
        # What a row leaves in caches of memory must not slow the next one's.
        getattr(torch, alt().place.device.type).empty_cache()
    return done


@contextlib.contextmanager
def _young_collector() -> Iterator[None]:
    """Within the block, the garbage collector, which each row calls, passes over torch itself."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _limited(sides: Sequence[Side]) -> list[known.Place]:
    """The places whose best is the limit: those on alt's hardware."""
    hardware = {"cpu"} if known.engine() == "host" else {"cuda"}
    others = [s.place for s in sides if s.place.device.type in hardware and not s.place.compile]
    return [alt().place, *others]


def _allocator(options: argparse.Namespace) -> dict[str, str]:
    """Name and path of the malloc to run under once more.

    Raises:
        ValueError: where one is asked for that is not installed.
    """
    asked = options.malloc or ("none" if options.quick else "auto")
    if asked == "none" or known.engine() != "host":
        return {}
    if asked == "auto":
        return known.allocators()
    if "/" in asked:
        if not Path(asked).is_file():
            raise ValueError(f"no such library: {asked}")
        return {known.allocator_name(asked): asked}
    if asked not in known.LIBRARIES:
        raise ValueError(f"no such malloc: {asked}; there are {', '.join(known.LIBRARIES)}")
    found = known.allocators([asked])
    if not found:
        raise ValueError(f"{asked} is not installed, or preloaded already")
    return found


def _arguments(options: argparse.Namespace, rows: Sequence[Scenario]) -> list[str]:
    """The options that measure the same rows in another process."""
    arguments = [part for row in rows for part in ("--only", row.row)]
    if options.quick:
        arguments.append("--quick")
    if options.threads:
        arguments += ["--threads", str(options.threads)]
    return arguments


def _environment(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "altbackend": altbackend.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "engine": known.engine(),
        "arch": _C.build_info()["arch"],
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "quick": bool(options.quick),
        "only": list(options.only),
    }


def _processor() -> str:
    try:
        match = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return match[1] if match else platform.machine()
