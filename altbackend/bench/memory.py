"""The peak of memory that a piece of work needs.

On a device, its allocator counts. The cpu has no such counter: there it is the growth of the
process's resident memory (VmHWM of /proc/self/status), which also sees what an operator takes from
malloc for itself, and pages that malloc kept.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # see proc(5)


class Peak:
    """Counts from its making on.

    Args:
        device: whose memory.
    """

    def __init__(self, device: torch.device) -> None:
        gc.collect()
        self._module = None if device.type == "cpu" else getattr(torch, device.type)
        self._began: int | None
        if self._module is not None:
            self._module.empty_cache()
            self._began = self._module.memory_allocated()
        else:
            _trim()
            self._began = _status("VmRSS")
        self.restart()

    def restart(self) -> None:
        """Forget the peak so far, but keep what is counted from."""
        if self._module is not None:
            self._module.reset_peak_memory_stats()
        else:
            try:
                CLEAR_REFS.write_text(RESET_PEAK)
            except OSError:
                self._began = None

    def bytes(self) -> int | None:
        """The peak above what was there before; None where the system does not tell."""
        if self._began is None:
            return None
        now = self._module.max_memory_allocated() if self._module else _status("VmHWM")
        return None if now is None else max(0, int(now) - self._began)


def _status(field: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None


def _trim() -> None:
    """Have malloc give back what it kept, where it is glibc's."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
