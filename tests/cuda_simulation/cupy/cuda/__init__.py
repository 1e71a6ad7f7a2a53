"""cupy.cuda: devices and streams."""

from __future__ import annotations

import ctypes
import threading
from types import TracebackType
from typing import Any

from cupy.cuda import driver, function, memory, nvrtc, runtime
from cupy.cuda.memory import MemoryPointer, UnownedMemory

__all__ = [
    "Device",
    "ExternalStream",
    "MemoryPointer",
    "Stream",
    "UnownedMemory",
    "driver",
    "function",
    "get_current_stream",
    "memory",
    "nvrtc",
    "runtime",
]

alloc_pinned_memory: Any  # cupy/__init__.py sets it

_local = threading.local()


class Device:
    """A GPU; as a context manager, the current one."""

    def __init__(self, device: int | None = None):
        self.id = runtime.getDevice() if device is None else int(device)
        self._before: list[int] = []

    @property
    def compute_capability(self) -> str:
        """Of all simulated GPUs."""
        return "90"

    def synchronize(self) -> None:
        """Wait for its work."""
        with self:
            runtime.deviceSynchronize()

    def use(self) -> None:
        """Make it the current one."""
        runtime.setDevice(self.id)

    def __enter__(self) -> Device:
        self._before.append(runtime.getDevice())
        self.use()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        runtime.setDevice(self._before.pop())


class ExternalStream:
    """Another library's stream; as a context manager, the thread's current one."""

    def __init__(self, ptr: int, device_id: int = -1):
        self.ptr = ptr

    def synchronize(self) -> None:
        """Wait for its work."""
        driver.check(driver.library.cuStreamSynchronize(ctypes.c_void_p(self.ptr)))

    def __enter__(self) -> ExternalStream:
        _streams().append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _streams().pop()


class Stream(ExternalStream):
    """A stream of CuPy's own."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False):
        stream = ctypes.c_void_p()
        if not null:
            create = driver.library.cuStreamCreateWithPriority
            driver.check(create(ctypes.byref(stream), int(non_blocking), 0))
        super().__init__(stream.value or 0)


Stream.null = Stream(null=True)


def _streams() -> list[ExternalStream]:
    if not hasattr(_local, "streams"):
        _local.streams = [Stream.null]
    return _local.streams


def get_current_stream() -> ExternalStream:
    """The stream that CuPy's work goes to."""
    return _streams()[-1]
