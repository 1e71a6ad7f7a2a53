"""The process which runs one document in one way: ``python -m conformance.notes.child JOB``.

It writes a stream of pickles: the index of each statement as it starts, and its record when it
ends. When the process dies, the last index says which statement killed it.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import pickle
import random
import runpy
import signal
import socket
import sys
import time
import types
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from conformance.notes.adapt import CALL, Adapter
from conformance.notes.extract import Statement, extract
from conformance.notes.observe import Observer
from conformance.notes.values import Record
from conformance.notes.ways import AltCounters, NoCounters, generator_states, set_up

# Notes show a line without its imports as often as with them.
PRELUDE = """
import torch, numpy, numpy as np
import torch.nn as nn, torch.nn.functional as F, torch.optim as optim
"""


class StatementTimeout(BaseException):
    """Not an Exception: a note's own ``except Exception`` does not catch it."""


class Runner:
    """One namespace, in which the statements of a document run one by one."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._device: str = job["device"] if not job["way"].startswith("stock") else "cpu"
        self._observer = Observer()
        self._adapter = Adapter(self._device, self._observer.shared)
        self._counters = AltCounters() if self._device == "alt" else NoCounters()
        self._deadline = time.monotonic() + job["budget"]
        self._own_main = sys.modules["__main__"]
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main  # so that classes of the note can be pickled
        self._namespace = main.__dict__
        self._namespace[CALL] = self._adapter.call

    def set_up(self) -> None:
        """Bring the process into its way; nothing of a note has run before."""
        exec(PRELUDE, self._namespace)
        set_up(self._job["way"], self._device)
        self._adapter.bridge_numpy()
        if self._job["setup"] and not self._job["way"].startswith("stock"):
            runpy.run_path(self._job["setup"])
        _refuse_network()
        signal.signal(signal.SIGALRM, _raise_timeout)
        self._observer.changes(self._namespace)

    def run(self, statement: Statement) -> Record:
        """Run one statement and observe what it did."""
        record = Record(statement.index, "ok")
        if statement.index in self._job["skip"] or time.monotonic() > self._deadline:
            record.status = "skipped"
            return record
        self._seed(statement.index)
        generators = generator_states(self._device)
        result = None
        printed = io.StringIO()
        self._adapter.adapted.clear()
        self._counters.reset()
        started = time.perf_counter()
        try:
            with contextlib.redirect_stdout(printed), _time_limit(self._job["timeout"]):
                result = self._execute(statement)
                record.shown = "" if result is None else repr(result)
        except StatementTimeout:
            record.status, record.error = "timeout", f"no end after {self._job['timeout']} s"
        except BaseException as error:
            record.status, record.error_type = "error", type(error).__name__
            record.error = str(error)
        record.seconds = time.perf_counter() - started
        record.fallbacks, record.native_calls = self._counters.read()
        record.result = self._observer.observe(result)
        record.adapted = dict(self._adapter.adapted)
        record.printed = printed.getvalue()
        record.two_generators = len(generators) > 1 and all(
            before != after
            for before, after in zip(generators, generator_states(self._device), strict=True)
        )
        record.changed, record.removed = self._observer.changes(self._namespace)
        return record

    def _execute(self, statement: Statement) -> object:
        tree = ast.parse(statement.source)
        ast.increment_lineno(tree, statement.line - 1)
        if not self._job["way"].startswith("stock"):
            self._adapter.rewrite(tree)
        document = self._job["document"]
        node = tree.body[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if isinstance(node, ast.Expr):
                code = compile(ast.Expression(node.value), document, "eval")
                return eval(code, self._namespace)
            exec(compile(tree, document, "exec"), self._namespace)
            return None

    def _seed(self, index: int) -> None:
        # One seed a statement: a statement which fails does not shift the numbers of the rest.
        seed = self._job["seed"] + index
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)


@contextlib.contextmanager
def _time_limit(seconds: float) -> Any:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _raise_timeout(*_: object) -> None:
    raise StatementTimeout


def _refuse_network() -> None:
    """Downloads fail at once, on stock and on alt alike."""

    def refuse(*_: object, **__: object) -> Any:
        raise OSError("conformance runs notes without a network")

    socket.getaddrinfo = refuse
    connect = socket.socket.connect

    def connect_local(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            refuse()
        connect(self, address)

    socket.socket.connect = connect_local  # type: ignore[method-assign, assignment]


def _write(stream: BinaryIO, value: object) -> None:
    pickle.dump(value, stream)
    stream.flush()


def main(job_file: str) -> None:
    """Run the document of the job, from its first statement to the last wanted block."""
    job = json.loads(Path(job_file).read_text())
    document = Path(job["document"]).read_text(errors="replace")
    blocks = [block for block in extract(document) if block.index <= job["last_block"]]
    runner = Runner(job)
    with open(job["records"], "wb") as stream:
        runner.set_up()
        _write(stream, "ready")
        for statement in (statement for block in blocks for statement in block.statements):
            _write(stream, statement.index)
            _write(stream, runner.run(statement))
        _write(stream, "end")


if __name__ == "__main__":
    main(sys.argv[1])
