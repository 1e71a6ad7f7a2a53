"""``torch.alt.streams``: ``torch.Stream`` and ``torch.Event`` by the spelling of ``torch.cuda``."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch

from altbackend.alt._utils import DeviceLike, checked_device_index

__all__ = [
    "Event",
    "Stream",
    "StreamContext",
    "current_stream",
    "default_stream",
    "set_stream",
    "stream",
]


class Stream(torch.Stream):
    """A queue of work on one device.

    Args:
        device: where, the current device by default.
        priority: lower is more urgent, as for cuda.
    """

    def __new__(cls, device: DeviceLike = None, priority: int = 0, **kwargs: Any) -> Stream:
        if "stream_id" in kwargs:
            return super().__new__(cls, **kwargs)
        index = checked_device_index(device)
        return super().__new__(cls, device=torch.device("alt", index), priority=priority)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Everything is done by ``__new__``."""


class Event(torch.Event):
    """A point in a stream that can be waited for, and timed.

    Args:
        enable_timing: whether :meth:`elapsed_time` (milliseconds) may be asked.
        blocking: whether waiting may sleep.
        interprocess: not supported, as for ``torch.Event``.
    """

    def __new__(
        cls, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> Event:
        return super().__new__(
            cls, "alt", enable_timing=enable_timing, blocking=blocking, interprocess=interprocess
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Everything is done by ``__new__``."""


def _as_stream(stream: torch.Stream) -> Stream:
    return Stream(
        stream_id=stream.stream_id,
        device_index=stream.device_index,
        device_type=stream.device_type,
    )


def current_stream(device: DeviceLike = None) -> Stream:
    """The stream that work on ``device`` goes to now."""
    return _as_stream(torch._C._accelerator_getStream(checked_device_index(device)))


def default_stream(device: DeviceLike = None) -> Stream:
    """The stream that ``device`` starts with."""
    index = checked_device_index(device)
    return Stream(
        stream_id=0, device_index=index, device_type=int(current_stream(index).device_type)
    )


def set_stream(stream: torch.Stream | None) -> None:
    """Make ``stream`` its device's current one, and that device current; None does nothing."""
    if stream is not None:
        torch._C._accelerator_setStream(stream)


class StreamContext:
    """Context manager that makes a stream the current one; with None it does nothing."""

    def __init__(self, stream: torch.Stream | None) -> None:
        self.stream = stream
        self._before: list[torch.Stream] = []

    def __enter__(self) -> StreamContext:
        if self.stream is not None:
            here = current_stream()
            there = current_stream(self.stream.device_index)
            self._before = [there, here]  # set_stream changes the device too, so `here` comes last
            set_stream(self.stream)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for before in self._before:
            set_stream(before)
        self._before = []


def stream(stream: torch.Stream | None) -> StreamContext:
    """``with torch.alt.stream(s):`` sends the block's work to ``s``."""
    return StreamContext(stream)


def synchronize(device: DeviceLike = None) -> None:
    """Wait until all work on ``device`` is done."""
    torch._C._accelerator_synchronizeDevice(checked_device_index(device))
