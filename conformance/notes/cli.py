"""``python -m conformance notes FILE.md …``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from conformance.notes import report
from conformance.notes.check import WAYS, check
from conformance.notes.launch import Settings


def add_parser(checks: Any) -> None:
    """Add the command to those of ``python -m conformance``."""
    parser = checks.add_parser(
        "notes",
        help="run the code of Markdown pages on stock cpu and on alt, and compare",
        description="Run the fenced code blocks of Markdown or text files, statement by statement, "
        "on stock cpu torch and on alt, and compare every value and all that is printed.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--ways",
        default=",".join(WAYS),
        help="which of %(default)s: default device alt; cuda answered by alt; .to('alt')",
    )
    parser.add_argument("--only", type=int, metavar="N", help="stop after the first N blocks")
    parser.add_argument("--fallback", choices=("allow", "warn", "forbid"), default="allow")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--timeout", type=float, default=120, metavar="S", help="of a statement (%(default)s s)"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all verdicts there")
    parser.add_argument("--quiet", action="store_true", help="no progress, one row a file")
    # To develop the check itself: another device for alt, and a file which spoils it.
    parser.add_argument("--device", default="alt", help=argparse.SUPPRESS)
    parser.add_argument("--setup", default="", help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Carry out the command; 0 when everything agrees."""
    ways = [way.strip() for way in options.ways.split(",") if way.strip()]
    unknown = sorted(set(ways) - set(WAYS))
    if unknown or not ways:
        print(f"unknown way {', '.join(unknown)!r}: choose from {', '.join(WAYS)}", file=sys.stderr)
        return 2
    missing = [str(path) for path in options.files if not path.is_file()]
    if missing:
        print(f"no such file: {', '.join(missing)}", file=sys.stderr)
        return 2
    settings = Settings(
        device=options.device,
        seed=options.seed,
        statement_timeout=options.timeout,
        fallback=options.fallback,
        last_block=sys.maxsize if options.only is None else options.only - 1,
        setup=options.setup,
    )
    progress = _quiet if options.quiet else _bar
    progress(0, 1)
    result = check(options.files, settings, ways, max(1, options.jobs), progress)
    parts = [
        report.table(result, ways, with_blocks=not options.quiet),
        report.fallbacks(result, ways),
        report.problems(result),
        report.summary(result, ways),
    ]
    print("\n\n".join(part for part in parts if part))
    if options.json:
        options.json.write_text(report.to_json(result, ways))
    return 0 if result.passed else 1


def _quiet(done: int, total: int) -> None:
    """No progress."""


def _bar(done: int, total: int) -> None:
    """Progress on stderr, on one line when it is a terminal."""
    width = 40
    filled = width * done // total
    line = f"[{'#' * filled}{'.' * (width - filled)}] {done}/{total} processes"
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{line}", end=end, file=sys.stderr, flush=True)
    elif done == total:
        print(line, file=sys.stderr)
