"""The command line of the bench."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the rest is imported when it runs: `python -m altbackend run` does without
    from altbackend.bench.records import Run
    from altbackend.bench.scenario import Scenario


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``bench`` to the commands of ``python -m altbackend``."""
    parser = commands.add_parser(
        "bench",
        help="how fast alt is, beside stock PyTorch on this machine",
        description="Time alt and its rivals in turns, after a check that their results are equal. "
        "Exits with 1 where a row was refused. docs/bench.md says how to read the figures.",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="rows to run: a group, a group/name, or a shell pattern; may be given again",
    )
    parser.add_argument("--list", action="store_true", help="name the rows and do not run them")
    parser.add_argument("--quick", action="store_true", help="a fixed sample, under 2 minutes")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures there")
    parser.add_argument("--html", type=Path, metavar="OUT", help="write the report there")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="PAGE",
        help="put the summary in the page, between its lines of 'speed by group'",
    )
    parser.add_argument(
        "--rivals",
        metavar="NAMES",
        help="of stock, compile (torch.compile) and cuda, comma separated; the first one counts",
    )
    parser.add_argument(
        "--malloc",
        metavar="NAME",
        help="run once more with this malloc preloaded, against stock there: tcmalloc, jemalloc, "
        "the path of a library, auto (the first that is installed) or none "
        "(default: auto; with --quick, none)",
    )
    parser.add_argument(
        "--busy", action="store_true", help="time once more while another process has a core"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads of either side")
    parser.add_argument("--quiet", action="store_true", help="print the summary only")
    parser.add_argument(
        "--profile", metavar="ROW", help="show where one row's time goes, operator by operator"
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("OLD", "NEW"),
        help="show which rows moved between two files of --json",
    )
    parser.set_defaults(bench=parser)


def selected(rows: Sequence[Scenario], patterns: Sequence[str]) -> list[Scenario]:
    """The rows that one of the patterns names; all of them where there is no pattern."""
    if not patterns:
        return list(rows)
    return [row for row in rows if any(_names(pattern, row.row) for pattern in patterns)]


def _names(pattern: str, row: str) -> bool:
    pattern, row = pattern.lower().rstrip("/"), row.lower()
    return fnmatch.fnmatchcase(row, pattern) or row.startswith(f"{pattern}/")


def run(options: argparse.Namespace) -> int:
    """Do what the options ask for; the exit status is returned."""
    try:
        if options.compare:
            return _compare(*options.compare)
        rows = _rows(options)
        if options.list:
            print("\n".join(row.row for row in rows))
            return 0
        if options.profile:
            return _profile(options, rows)
        return _measure(options, rows)
    except BrokenPipeError:  # `bench | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError) as wrong:
        print(f"{options.bench.prog}: error: {wrong}", file=sys.stderr)
        return 2


def _rows(options: argparse.Namespace) -> list[Scenario]:
    """The rows to run.

    Raises:
        ValueError: where there are none.
    """
    from altbackend.bench import groups

    known = groups.scenarios()
    patterns = [options.profile] if options.profile else options.only
    found = selected(known, patterns)
    if options.quick and not options.profile:
        # A row that is asked for by its name is run, in the sample or not.
        found = [row for row in found if row.quick or row.row in patterns]
    if not found:
        names = ", ".join(dict.fromkeys(row.group for row in known))
        raise ValueError(f"no row matches {', '.join(patterns)}; the groups are {names}")
    return found


def _compare(old: Path, new: Path) -> int:
    from altbackend.bench import compare, records

    print(compare.text(records.read(old), records.read(new)))
    return 0


def _profile(options: argparse.Namespace, rows: list[Scenario]) -> int:
    from altbackend.bench import profile, session

    if len(rows) > 1:
        names = "\n".join(f"  {row.row}" for row in rows)
        raise ValueError(f"{options.profile} names {len(rows)} rows; choose one of\n{names}")
    print(profile.text(rows[0], [session.alt(), *session.rivals(options)]))
    return 0


def _measure(options: argparse.Namespace, rows: list[Scenario]) -> int:
    from altbackend.bench import records, report, session, summary

    if options.markdown:
        summary.PART.check(options.markdown)
    found: Run = session.run(options, rows)
    if options.json:
        records.write(options.json, found)
    if options.html:
        options.html.parent.mkdir(parents=True, exist_ok=True)
        options.html.write_text(report.page(found))
    if options.markdown:
        summary.PART.write(options.markdown, summary.markdown(found))
    print(summary.text(found))
    for path in (options.json, options.html, options.markdown):
        if path:
            print(f"written: {path}")
    sys.stdout.flush()
    return 0 if found.good else 1
