"""The command line that the checks share: ops, modules, optimizers, accuracy, fuzz, notes, all."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from conformance.suite import expectations, fallbacks, records, report, summary
from conformance.suite.patterns import matches
from conformance.suite.records import Record
from conformance.suite.workers import Task, run_tasks


class Check(Protocol):
    """What a subcommand runs."""

    @property
    def name(self) -> str:
        """The subcommand's name, and its records' suite."""

    @property
    def help(self) -> str:
        """What it checks, in a few words."""

    @property
    def extent(self) -> str:
        """What it runs and what it leaves out, for the report."""

    def records(self, options: argparse.Namespace) -> list[Record]:
        """Runs it."""


@dataclass(frozen=True)
class TaskCheck:
    """A check of many cells: which tasks it has, and which module's processes run them."""

    name: str
    help: str
    worker: str
    tasks: Callable[[argparse.Namespace], list[Task]]
    extent: str = ""

    def records(self, options: argparse.Namespace) -> list[Record]:
        """The records of all its tasks."""
        tasks = self.tasks(options)
        progress = Progress(self.name, len(tasks), options.quiet)
        return run_tasks(self.worker, tasks, options.jobs, progress.advance)


def selected(name: str, pattern: str | None) -> bool:
    """Whether ``--only`` names it: a shell pattern, or a part of the name."""
    return pattern is None or matches(name, pattern) or name.startswith(f"{pattern}.")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every check."""
    parser.add_argument("--only", metavar="PATTERN", help="entries to run, as a shell pattern")
    parser.add_argument("--dtypes", help="dtypes to run, comma separated")
    parser.add_argument("--variants", help="variants to run, comma separated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the records there")
    parser.add_argument("--html", type=Path, metavar="OUT", help="write the report there")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="PAGE",
        help="put the totals in the page, between the lines "
        f"{summary.PART.begin} and {summary.PART.end}",
    )
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


def run(checks: Sequence[Check], options: argparse.Namespace) -> int:
    """Runs checks, judges the records against the expectations and reports; the exit status."""
    if options.markdown:
        try:
            summary.PART.check(options.markdown)
        except ValueError as wrong:
            print(wrong)
            return 2
    began = time.monotonic()
    found: list[Record] = []
    for check in checks:
        found += check.records(options)
    environment = summary.environment(time.monotonic() - began, options)
    sample = options.quick or options.only or options.dtypes or options.variants
    environment["extent"] = " ".join(filter(None, (check.extent for check in checks)))
    verdict = expectations.judge(found, expectations.load(), whole=not sample)
    fell_back = fallbacks.used(found, fallbacks.load())
    if options.json:
        records.write(options.json, environment, found)
    if options.html:
        options.html.parent.mkdir(parents=True, exist_ok=True)
        options.html.write_text(report.page(environment, found, verdict))
    if options.markdown:
        totals = summary.markdown(environment, found, verdict)
        totals += "\n\n" + fallbacks.markdown(fell_back)
        summary.PART.write(options.markdown, totals)
    print(summary.text(found, verdict))
    if not found:
        print("no cell ran")
        return 1
    unlisted = [row.entry for row in fell_back if not row.reason]
    for entry in unlisted:
        print(f"{entry} uses a fallback that fallbacks.yaml does not list")
    return 0 if verdict.good and not unlisted else 1
