"""``python -m altbackend run``: a script, as python runs it, with alt as the default device."""

from __future__ import annotations

import atexit
import io
import os
import runpy
import signal
import sys
import types
from collections.abc import Sequence
from typing import Literal, NoReturn

import altbackend
from altbackend import _C, _default_device, cuda_shim

Kind = Literal["script", "module", "code"]


def run(
    target: str,
    arguments: Sequence[str],
    *,
    kind: Kind = "script",
    cuda_shim: bool = True,
    fallback: str | None = None,
    report: bool = False,
) -> int:
    """Run a script, module or piece of code as ``__main__`` of this process, on alt.

    Args:
        target: path, module name or source text.
        arguments: what the script finds in ``sys.argv[1:]``.
        kind: what ``target`` is.
        cuda_shim: whether alt answers for cuda.
        fallback: mode of the CPU fallback; None leaves it as ALT_FALLBACK set it.
        report: whether to print at exit what fell back.

    Returns:
        the exit status of the script. SystemExit passes through.
    """
    if kind == "script" and not os.path.exists(target):
        path, problem = os.path.abspath(target), "[Errno 2] No such file or directory"
        print(f"{sys.executable}: can't open file {path!r}: {problem}", file=sys.stderr)
        return 2
    if fallback is not None:
        _C.set_fallback_mode(fallback)
    if report:
        atexit.register(print_report)
    _prepare(cuda_shim)
    try:
        if kind == "module":
            _run_module(target, arguments)
        elif kind == "code":
            _run_code(target, arguments)
        else:
            _run_script(target, arguments)
    except SystemExit:
        raise
    except BaseException as error:
        return _report_like_python(error)
    return 0


def _prepare(shim: bool) -> None:
    if shim:
        cuda_shim.enable()
    _default_device.use()


def _run_script(path: str, arguments: Sequence[str]) -> None:
    sys.argv = [path, *arguments]
    if not os.path.isfile(path) or path.endswith((".zip", ".pyz")):
        # A folder or an archive with a __main__.py: it goes on sys.path itself.
        del sys.path[0]
        runpy.run_path(path, run_name="__main__")
        return
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    with io.open_code(os.path.abspath(path)) as file:
        source = file.read()
    _execute(source, path, __file__=path, __cached__=None)


def _run_code(source: str, arguments: Sequence[str]) -> None:
    sys.argv = ["-c", *arguments]
    sys.path[0] = ""
    _execute(source.encode(), "<string>")


def _run_module(name: str, arguments: Sequence[str]) -> None:
    # run_module puts the module's file into sys.argv[0]; sys.path[0] is the working directory
    # already.
    sys.argv = ["-m", *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


_main_before: types.ModuleType | None = None


def _execute(source: bytes, filename: str, **attributes: object) -> None:
    """Run source text in a fresh module that is ``__main__`` from here to the end of the
    process."""
    global _main_before
    module = types.ModuleType("__main__")
    vars(module).update(__builtins__=__builtins__, **attributes)
    if sys.version_info < (3, 14):
        module.__annotations__ = {}
    _main_before = sys.modules.get("__main__")  # our own frames still run in it
    sys.modules["__main__"] = module
    exec(compile(source, filename, "exec", dont_inherit=True), vars(module))


_OURS = {__file__, runpy.__file__, "<frozen runpy>"}


def _report_like_python(error: BaseException) -> int:
    """Print the traceback from the script's first frame on, through the script's own excepthook."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in _OURS:
        trace = trace.tb_next
    error.__traceback__ = trace
    sys.excepthook(type(error), error, trace)
    if isinstance(error, KeyboardInterrupt):
        _end_by_interrupt()
    return 1


def _end_by_interrupt() -> NoReturn:
    """Python ends by the signal itself, so that a shell's loop around it ends too."""
    sys.stdout.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    raise AssertionError("unreachable")


def print_report() -> None:
    """List on stderr what ran on stock CPU kernels."""
    rows = altbackend.fallback_report()
    total = sum(row["calls"] for row in rows)
    print(f"altbackend: {total} fallbacks, {_C.native_calls()} native calls", file=sys.stderr)
    for row in rows:
        print(
            f"  {row['calls']:>8} x {row['op']:<40} {row['bytes']:>12} bytes  {row['site']}",
            file=sys.stderr,
        )
