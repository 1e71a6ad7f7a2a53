"""Starts the child processes, watches them, and goes on past a statement which kills one."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.notes.values import Record

_ROOT = Path(__file__).resolve().parents[2]
_MAX_RESTARTS = 8
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Settings:
    """How documents are run."""

    device: str = "alt"
    seed: int = 0
    statement_timeout: float = 120.0
    document_budget: float = 1200.0
    fallback: str = "allow"
    last_block: int = sys.maxsize
    setup: str = ""  # a Python file that children run before a note on alt: tests plant defects


@dataclass
class Run:
    """What one document did in one way."""

    document: Path
    way: str
    repetition: int
    records: dict[int, Record] = field(default_factory=dict)
    error: str = ""  # why it did not start, or was given up


def run_all(
    runs: list[Run], settings: Settings, jobs: int, finished: Callable[[Run], None]
) -> None:
    """Carry out `runs`, `jobs` at a time; `finished` hears of each."""

    def one(run: Run) -> None:
        _carry_out(run, settings)
        finished(run)

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        for outcome in [pool.submit(one, run) for run in runs]:
            outcome.result()


def _carry_out(run: Run, settings: Settings) -> None:
    """Run the document to its end, starting again past each statement which kills the process."""
    deaths: dict[int, Record] = {}
    with tempfile.TemporaryDirectory(prefix="alt-notes-") as folder:
        for _ in range(_MAX_RESTARTS + 1):
            run.records, last, complete, how = _attempt(run, settings, Path(folder), set(deaths))
            if complete:
                break
            if last is None:
                run.error = how
                break
            deaths[last] = Record(last, "error", "ProcessDied", how)
        else:
            run.error = f"given up after {_MAX_RESTARTS + 1} deaths; the last: {how}"
    run.records |= deaths


def _attempt(
    run: Run, settings: Settings, folder: Path, skip: set[int]
) -> tuple[dict[int, Record], int | None, bool, str]:
    """One process: its records, the statement it was in, whether it ended well, how it died."""
    workplace = Path(tempfile.mkdtemp(dir=folder))
    records = workplace.with_suffix(".records")
    errors = workplace.with_suffix(".stderr")
    job = {
        "document": str(run.document.resolve()),
        "way": run.way,
        "device": settings.device,
        "seed": settings.seed,
        "timeout": settings.statement_timeout,
        "budget": settings.document_budget,
        "last_block": settings.last_block,
        "setup": str(Path(settings.setup).resolve()) if settings.setup else "",
        "skip": sorted(skip),
        "records": str(records),
    }
    job_file = workplace.with_suffix(".json")
    job_file.write_text(json.dumps(job))
    records.touch()
    with open(errors, "wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "conformance.notes.child", str(job_file)],
            cwd=workplace,
            env=_environment(run, settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        # The alarm of the child ends what runs in Python; past that the process hangs.
        hung = not _wait(process, records, settings.statement_timeout + 60)
    found, last, complete = _read(records)
    tail = " | ".join(errors.read_text(errors="replace").strip().splitlines()[-3:])
    how = "hung, killed" if hung else f"ended with status {process.returncode}"
    return found, last, complete, f"process {how}: {tail}"


def _environment(run: Run, settings: Settings) -> dict[str, str]:
    environment = dict(os.environ)
    paths = [str(_ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    environment["PYTHONHASHSEED"] = "0"
    environment["MPLBACKEND"] = "Agg"
    stock = run.way.startswith("stock")
    environment["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0" if stock or settings.device == "cpu" else "1"
    if stock:
        environment |= _stock_environment(run.repetition)
    else:
        environment["ALT_FALLBACK"] = settings.fallback
    return environment


def _stock_environment(repetition: int) -> dict[str, str]:
    """What differs between the two stock runs, so that what depends on it is seen to differ.

    Fresh memory is positive as floats in one and negative in the other, and never equal. Kernels
    round differently: a sum which cancels to noise is noise in both, and Adam divides by it.
    """
    perturb = (0xC0, 0x40)[repetition % 2]
    environment = {
        # OpenMP spins for threads that are not running when another process has the core.
        "OMP_NUM_THREADS": "1",
        "GLIBC_TUNABLES": f"glibc.malloc.perturb={perturb}:glibc.malloc.tcache_count=0",
    }
    if repetition % 2:
        environment |= {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
    return environment


def _wait(process: subprocess.Popen[bytes], records: Path, patience: float) -> bool:
    """Wait for the end; False when nothing was written for `patience` seconds."""
    size, since = -1, time.monotonic()
    while True:
        try:
            process.wait(timeout=_POLL_SECONDS)
            return True
        except subprocess.TimeoutExpired:
            pass
        now = records.stat().st_size
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > patience:
            process.kill()
            process.wait()
            return False


def _read(file: Path) -> tuple[dict[int, Record], int | None, bool]:
    """The records, the statement that was running, and whether the stream is complete."""
    records: dict[int, Record] = {}
    running: int | None = None
    with open(file, "rb") as stream:
        while True:
            try:
                item: Any = pickle.load(stream)
            except (EOFError, pickle.UnpicklingError):
                return records, running, False
            if item == "end":
                return records, None, True
            if isinstance(item, Record):
                records[item.index] = item
                running = None
            elif isinstance(item, int):
                running = item
