"""``python -m conformance <check>``: run one of the conformance checks."""

from __future__ import annotations

import argparse
import sys

from conformance.notes import cli as notes_cli


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run the check it names; the exit status is returned."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance", description="Compare the device alt with stock PyTorch."
    )
    checks = parser.add_subparsers(dest="check", required=True, metavar="CHECK")
    notes_cli.add_parser(checks)
    options = parser.parse_args(arguments)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())
