"""``python -m conformance <check>``: run one of the conformance checks."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from conformance.accuracy.check import CHECK as ACCURACY
from conformance.fuzz import cli as fuzz_cli
from conformance.modules.check import CHECK as MODULES
from conformance.notes import cli as notes_cli
from conformance.ops.check import CHECK as OPS
from conformance.optimizers.check import CHECK as OPTIMIZERS
from conformance.suite import cli
from conformance.suite.cli import Check

DATABASE_CHECKS = [OPS, MODULES, OPTIMIZERS, ACCURACY]


def add_database_check(checks: Any, name: str, text: str, members: list[Check]) -> None:
    """Adds a subcommand that runs ``members``."""
    parser = checks.add_parser(name, help=text, description=f"On alt against stock CPU: {text}.")
    cli.add_options(parser)
    parser.set_defaults(run=lambda options: cli.run(members, options))


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run the check it names; the exit status is returned."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance", description="Compare the device alt with stock PyTorch."
    )
    checks = parser.add_subparsers(dest="check", required=True, metavar="CHECK")
    notes_cli.add_parser(checks)
    fuzz_cli.add_parser(checks)
    for check in DATABASE_CHECKS:
        add_database_check(checks, check.name, check.help, [check])
    add_database_check(checks, "all", "every database check", DATABASE_CHECKS)
    options = parser.parse_args(arguments)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())
