"""The command line that the database checks share: ops, modules, optimizers, accuracy, all."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conformance.suite import expectations, records, report, summary
from conformance.suite.records import Record
from conformance.suite.workers import Task, run_tasks


@dataclass(frozen=True)
class Check:
    """One check: which tasks it has and which module's processes run them."""

    name: str
    help: str
    worker: str
    tasks: Callable[[argparse.Namespace], list[Task]]


def selected(name: str, pattern: str | None) -> bool:
    """Whether ``--only`` names it: a shell pattern, or a part of the name."""
    return pattern is None or fnmatch.fnmatch(name, pattern) or name.startswith(f"{pattern}.")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every database check."""
    parser.add_argument("--only", metavar="PATTERN", help="entries to run, as a shell pattern")
    parser.add_argument("--dtypes", help="dtypes to run, comma separated")
    parser.add_argument("--variants", help="variants to run, comma separated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the records there")
    parser.add_argument("--html", type=Path, metavar="OUT", help="write the report there")
    parser.add_argument("--quick", action="store_true", help="a fixed sample, under 3 minutes")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


class Progress:
    """A bar on the terminal's error stream, redrawn at most five times a second."""

    def __init__(self, label: str, total: int, quiet: bool) -> None:
        self.label, self.total, self.quiet = label, total, quiet
        self.done = 0
        self.began = self.drawn = time.monotonic()

    def advance(self) -> None:
        """One more task is done."""
        self.done += 1
        now = time.monotonic()
        if self.quiet or (now - self.drawn < 0.2 and self.done < self.total):
            return
        self.drawn = now
        width = 32
        filled = width * self.done // max(1, self.total)
        bar = "#" * filled + "." * (width - filled)
        end = "\n" if self.done == self.total else ""
        sys.stderr.write(
            f"\r{self.label:10} [{bar}] {self.done}/{self.total}  {now - self.began:.0f} s{end}"
        )
        sys.stderr.flush()


def run_check(check: Check, options: argparse.Namespace) -> list[Record]:
    """The records of one check."""
    tasks = check.tasks(options)
    progress = Progress(check.name, len(tasks), options.quiet)
    return run_tasks(check.worker, tasks, options.jobs, progress.advance)


def run(checks: list[Check], options: argparse.Namespace) -> int:
    """Runs checks, judges the records against the expectations and reports; the exit status."""
    began = time.monotonic()
    found: list[Record] = []
    for check in checks:
        found += run_check(check, options)
    environment = summary.environment(time.monotonic() - began, options)
    verdict = expectations.judge(found, expectations.load())
    if options.json:
        records.write(options.json, environment, found)
    if options.html:
        options.html.write_text(report.page(environment, found, verdict))
    print(summary.text(found, verdict))
    if not found:
        print("no cell ran")
        return 1
    return 0 if verdict.good else 1
