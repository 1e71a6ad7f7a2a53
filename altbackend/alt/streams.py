"""``torch.alt.streams``: ``torch.Stream`` and ``torch.Event`` by the spelling of ``torch.cuda``."""

from __future__ import annotations

from collections.abc import Callable
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


_Stream = torch.Stream
_Event = torch.Event


class _OnAlt(type):
    """Metaclass of a name for ``torch.Stream`` or ``torch.Event`` on alt.

    torch asks for these very classes in places, so that a class which inherits from them will not
    do.
    """

    original: Any
    make: Callable[..., Any]

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.make(*args, **kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.original) and instance.device.type == "alt"


class Stream(metaclass=_OnAlt):
    """A queue of work on one device: a ``torch.Stream``.

    Args:
        device: where, the current device by default.
        priority: lower is more urgent, as for cuda.
    """

    original = _Stream

    @staticmethod
    def make(device: DeviceLike = None, priority: int = 0, **kwargs: Any) -> torch.Stream:
        """What calling the class does."""
        if "stream_id" in kwargs:
            return _Stream(priority=priority, **kwargs)
        return _Stream(torch.device("alt", checked_device_index(device)), priority=priority)


class Event(metaclass=_OnAlt):
    """A point in a stream that can be waited for, and timed: a ``torch.Event``.

    Args:
        enable_timing: whether ``elapsed_time`` (milliseconds) may be asked.
        blocking: whether waiting may sleep.
        interprocess: not supported, as for ``torch.Event``.
    """

    original = _Event

    @staticmethod
    def make(
        enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> torch.Event:
        """What calling the class does."""
        return _Event(
            "alt", enable_timing=enable_timing, blocking=blocking, interprocess=interprocess
        )


def current_stream(device: DeviceLike = None) -> torch.Stream:
    """The stream that work on ``device`` goes to now."""
    return torch._C._accelerator_getStream(checked_device_index(device))


def default_stream(device: DeviceLike = None) -> torch.Stream:
    """The stream that ``device`` starts with."""
    current = current_stream(device)
    return _Stream(stream_id=0, device_index=current.device_index, device_type=current.device_type)


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
