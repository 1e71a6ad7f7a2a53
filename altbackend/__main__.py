"""``python -m altbackend info | run | bench``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from altbackend.bench import cli as bench


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m altbackend", description="The device alt for PyTorch."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="info | run | bench")

    info = commands.add_parser(
        "info", help="versions, the build, the engine, devices, memory, settings"
    )
    info.add_argument("--json", action="store_true", help="as JSON, for programs")

    run = commands.add_parser(
        "run",
        help="run a script on alt without editing it",
        usage="%(prog)s [--keep-cuda] [--fallback MODE] [--report] script.py [args ...]\n"
        "       %(prog)s [...] -m module [args ...]\n"
        "       %(prog)s [...] -c code [args ...]",
        description="Run a script with alt as the default device, and with alt answering for cuda. "
        "Its arguments, exit status and traceback are those it has under python.",
    )
    run.add_argument(
        "--keep-cuda", action="store_true", help="leave torch.cuda as it is: no cuda shim"
    )
    run.add_argument(
        "--fallback",
        choices=("allow", "warn", "forbid"),
        help="what an operator without a kernel of ours does (default: ALT_FALLBACK, or allow)",
    )
    run.add_argument(
        "--report", action="store_true", help="at the end, list on stderr what fell back"
    )
    run.add_argument("-m", dest="module", action="store_true", help="run a module by its name")
    run.add_argument("-c", dest="code", action="store_true", help="run code given as text")
    run.add_argument("script", help="file, folder or zip archive; with -m a module, with -c code")
    run.add_argument("args", nargs=argparse.REMAINDER, help="arguments of the script")

    bench.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: without the program's name; by default those of the process.

    Returns:
        the exit status.
    """
    chosen = _parser().parse_args(arguments)
    if chosen.command == "info":
        from altbackend import _info

        print(_info.as_json() if chosen.json else _info.as_text())
        return 0
    if chosen.command == "bench":
        return bench.run(chosen)
    if chosen.module and chosen.code:
        _parser().error("-m and -c exclude each other")
    from altbackend import _run

    return _run.run(
        chosen.script,
        chosen.args,
        kind="module" if chosen.module else "code" if chosen.code else "script",
        cuda_shim=not chosen.keep_cuda,
        fallback=chosen.fallback,
        report=chosen.report,
    )


if __name__ == "__main__":
    sys.exit(main())
