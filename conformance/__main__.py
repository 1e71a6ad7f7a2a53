"""``python -m conformance <check>``: run one of the conformance checks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from conformance.accuracy.check import CHECK as ACCURACY
from conformance.fuzz import check as fuzz
from conformance.modules.check import CHECK as MODULES
from conformance.notes import cli as notes_cli
from conformance.notes.records import CHECK as NOTES
from conformance.ops.check import CHECK as OPS
from conformance.optimizers.check import CHECK as OPTIMIZERS
from conformance.suite import cli
from conformance.suite.cli import Check

CHECKS: list[Check] = [OPS, MODULES, OPTIMIZERS, ACCURACY, fuzz.CHECK, NOTES]


def add_check(
    checks: Any, name: str, text: str, members: Sequence[Check]
) -> argparse.ArgumentParser:
    """Adds a subcommand that runs ``members``."""
    parser: argparse.ArgumentParser = checks.add_parser(
        name, help=text, description=f"On alt against stock CPU: {text}."
    )
    cli.add_options(parser)
    parser.set_defaults(run=lambda options: cli.run(members, options))
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run the check it names; the exit status is returned."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance", description="Compare the device alt with stock PyTorch."
    )
    checks = parser.add_subparsers(dest="check", required=True, metavar="CHECK")
    for check in CHECKS:
        if check is NOTES:
            notes_cli.add_parser(checks)  # has more to say of a document than totals
        else:
            added = add_check(checks, check.name, check.help, [check])
            if check is fuzz.CHECK:
                fuzz.add_options(added)
    add_check(checks, "all", "all of these", CHECKS)
    options = parser.parse_args(arguments)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())
