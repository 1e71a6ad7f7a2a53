"""Runs tasks in worker processes, so that one that crashes takes only its own process with it.

A worker is ``python -m MODULE``. It reads one task a line (JSON) and answers each with lines: a
record, the name of the variant it is about to run (``{"begin": ...}``), and ``{"done": true}``.
What it says on its error stream, and the file that the task's option ``trace`` names, tell what
happened where it dies.
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from conformance.suite.records import Record, Status

# What a dying process says that is worth a line: a sanitizer, an assertion, a C++ exception.
LAST_WORDS = re.compile(
    r"ERROR: \w+Sanitizer: [^\n]*|[^\n]*runtime error: [^\n]*|[^\n]*Assertion [^\n]*"
    r"|terminate called[^\n]*(?:\n *what\(\): *[^\n]*)?|altbackend: [^\n]*"
)
TIME_LIMIT_S = 300.0


@dataclass(frozen=True)
class Task:
    """One entry and dtype; ``options`` reach the worker as they are."""

    suite: str
    entry: str
    dtype: str
    options: dict


class Worker:
    """One process, kept from task to task and replaced when it dies."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.process: subprocess.Popen[str] | None = None
        self.said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()

    def start(self) -> subprocess.Popen[str]:
        """The live process; a new one where there is none."""
        if self.process is None or self.process.poll() is not None:
            self.said.seek(0)
            self.said.truncate()
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.said,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "ALT_NUM_THREADS": "1"},
            )
        return self.process

    def run(self, task: Task) -> Iterator[Record]:
        """The records of one task; a death adds the record of the cell that it died in."""
        process = self.start()
        assert process.stdin is not None and process.stdout is not None
        running = "start"
        timer = threading.Timer(TIME_LIMIT_S, process.kill)
        timer.start()
        try:
            message = {"entry": task.entry, "dtype": task.dtype, **task.options}
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                answer = json.loads(line)
                if answer.get("done"):
                    return
                if "begin" in answer:
                    running = answer["begin"]
                else:
                    yield Record.from_dict(answer)
        except BrokenPipeError:
            pass
        finally:
            timer.cancel()
        code = process.wait()
        yield Record(
            suite=task.suite,
            entry=task.entry,
            dtype=task.dtype,
            variant=running,
            status=Status.CRASHED,
            detail="; ".join(
                x for x in (f"the process ended with {code}", self.last_words(task)) if x
            ),
        )
        # What would have come after the crash still runs, in a new process.
        skip = [*task.options.get("skip", ()), running]
        if running != "start":
            yield from self.run(
                Task(task.suite, task.entry, task.dtype, {**task.options, "skip": skip})
            )

    def last_words(self, task: Task) -> str:
        """What the dead process said of its death, and what it was running."""
        size = self.said.seek(0, os.SEEK_END)
        self.said.seek(max(0, size - 100_000))
        found = LAST_WORDS.search(self.said.read().decode(errors="replace"))
        words = [" ".join(found[0].split())] if found else []
        trace = Path(task.options.get("trace", ""))
        if trace.is_file():
            words.append(trace.read_text())
        return "\n".join(words)

    def close(self) -> None:
        """Ends the process."""
        self.said.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def run_tasks(
    module: str, tasks: list[Task], jobs: int, progress: Callable[[], None]
) -> list[Record]:
    """All records of all tasks; ``progress`` is called once for each task done."""
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    records: list[Record] = []
    lock = threading.Lock()

    def serve() -> None:
        worker = Worker(module)
        try:
            while True:
                try:
                    task = waiting.get_nowait()
                except queue.Empty:
                    return
                answers = list(worker.run(task))
                with lock:
                    records.extend(answers)
                    progress()
        finally:
            worker.close()

    threads = [threading.Thread(target=serve) for _ in range(max(1, jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(records, key=lambda record: record.key[:3])
