"""Stock under another malloc: a second process with tcmalloc or jemalloc preloaded.

An allocator is chosen when a process starts, so alt and stock run there once more, side by side.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from altbackend.bench import records
from altbackend.bench.records import Rival, Run
from altbackend.bench.rivals import STOCK


def run(library: str, arguments: Sequence[str]) -> Run:
    """What the bench finds with ``library`` preloaded.

    Args:
        library: path of the shared library.
        arguments: of the bench, which say what to measure.

    Raises:
        RuntimeError: where it found nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run.json"
        command = [sys.executable, "-m", "altbackend", "bench", *arguments]
        command += ["--rivals", STOCK, "--malloc", "none", "--quiet", "--json", str(out)]
        preload = " ".join(filter(None, [library, os.environ.get("LD_PRELOAD")]))
        process = subprocess.run(
            command,
            env={**os.environ, "LD_PRELOAD": preload},
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        if not out.exists():
            raise RuntimeError(f"no result under {library} (exit status {process.returncode})")
        return records.read(out)


def merge(into: Run, other: Run, name: str) -> None:
    """Add what stock did in the other process as one more rival, beside alt in that process.

    Not its memory: resident pages tell little under a malloc that cannot be trimmed.
    """
    found = {row.row: row for row in other.rows}
    for row in into.rows:
        theirs = found.get(row.row)
        if theirs is None:
            row.rivals[name] = Rival(note="not run")
        elif theirs.error:
            row.rivals[name] = Rival(note=theirs.error)
        else:
            rival = theirs.rivals[STOCK]
            row.rivals[name] = Rival(rival.timing, rival.ratio, alt=theirs.alt, note=rival.note)
