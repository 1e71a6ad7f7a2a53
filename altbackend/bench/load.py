"""What else the machine is doing, and a way to keep it busy on purpose."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

STAT = Path("/proc/stat")
NOISY = 0.2  # cores that others use while a row is measured, from which on the row is marked

# Ends by itself when its parent does.
SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


def _busy_seconds() -> float | None:
    """Seconds that all cores have spent on anything since the machine started."""
    try:
        fields = [int(field) for field in STAT.read_text().split("\n", 1)[0].split()[1:]]
    except (OSError, ValueError):
        return None
    if len(fields) < 7:
        return None
    user, nice, system, _idle, _waiting, irq, softirq = fields[:7]
    stolen = fields[7] if len(fields) > 7 else 0  # by the other guests of the hypervisor
    return (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")


class OthersLoad:
    """Counts the cores that other processes keep busy, from its making on."""

    def __init__(self) -> None:
        self._began = (time.monotonic(), _busy_seconds(), time.process_time())

    def cores(self) -> float | None:
        """Cores in use by others, on average; None where the system does not tell."""
        began, busy, ours = self._began
        now = _busy_seconds()
        elapsed = time.monotonic() - began
        if busy is None or now is None or elapsed == 0:
            return None
        return max(0.0, (now - busy - (time.process_time() - ours)) / elapsed)


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Within the block, another process takes one core."""
    process = subprocess.Popen([sys.executable, "-S", "-c", SPIN])
    try:
        time.sleep(0.1)  # until it spins
        yield
    finally:
        process.kill()
        process.wait()
