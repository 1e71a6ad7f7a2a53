"""Changes to torch that can be taken back, and torch function modes that hold in every thread."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import (
    TorchFunctionMode,
    _get_current_function_mode_stack,
    _pop_mode,
    _push_mode,
)

_ABSENT = object()


class Patches:
    """Attributes that were set, and what stood there before."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """``owner.name = value`` until :meth:`restore`."""
        before = vars(owner).get(name, _ABSENT)
        setattr(owner, name, value)

        def undo() -> None:
            if before is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

        self._undo.append(undo)

    def wrap(self, owner: Any, name: str, wrapper: Callable[[Callable[..., Any]], Any]) -> None:
        """Replace a function by ``wrapper(function)``, which keeps its name and documentation."""
        function = getattr(owner, name)
        self.set(owner, name, functools.update_wrapper(wrapper(function), function))

    def set_on_immutable_type(self, owner: type, name: str, value: Any) -> None:
        """As :meth:`set`, for a class made in C. Not for dunder methods: their slots would not
        follow.

        The class's dictionary is reached past the read-only view that Python shows, and the
        interpreter's cache of attributes is told.
        """
        (dictionary,) = gc.get_referents(owner.__dict__)
        before = dictionary[name]

        def put(what: Any) -> None:
            dictionary[name] = what
            ctypes.pythonapi.PyType_Modified(ctypes.py_object(owner))

        put(value)
        self._undo.append(lambda: put(before))

    def restore(self) -> None:
        """Take everything back, the last first."""
        while self._undo:
            self._undo.pop()()


class ClassStandIn(type):
    """Metaclass of a class that stands in for one made in C, which cannot be inherited from.

    Calling it calls ``make``; ``isinstance`` and ``issubclass`` ask the original.
    """

    original: type
    make: Callable[..., Any]

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.make(*args, **kwargs)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.original)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return subclass is cls or issubclass(subclass, cls.original)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.original, name)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is cls.original

    def __hash__(cls) -> int:
        return hash(cls.original)

    def __repr__(cls) -> str:
        return repr(cls.original)


def stand_in(original: type, make: Callable[..., Any]) -> ClassStandIn:
    """A class that is called as ``make`` and is ``original`` in every other respect that can be
    had."""
    namespace = {
        "__module__": "torch",  # so that pickle finds it where it finds the original
        "__qualname__": original.__name__,
        "__doc__": original.__doc__,
        "original": original,
        "make": staticmethod(make),
    }
    return ClassStandIn(original.__name__, (), namespace)


def remove_mode(mode: TorchFunctionMode) -> None:
    """Take a mode out of this thread's stack, wherever in it it is."""
    stack = _get_current_function_mode_stack()
    if not any(entry is mode for entry in stack):
        return
    for _ in stack:
        _pop_mode()
    for entry in stack:
        if entry is not mode:
            _push_mode(entry)


class EveryThread:
    """Runs a context in each thread that is started while it is installed.

    torch keeps function modes, and with them the default device, by thread, and gives a new thread
    none.
    """

    def __init__(self, context: Callable[[], contextlib.AbstractContextManager[Any]]) -> None:
        self._context = context

    def install(self, patches: Patches) -> None:
        """Start threads within the context until ``patches`` are restored."""
        patches.wrap(threading.Thread, "start", self._wrap_start)

    def _wrap_start(self, start: Callable[..., None]) -> Callable[..., None]:
        context = self._context

        def start_within(thread: threading.Thread) -> None:
            run = thread.run

            def run_within() -> None:
                vars(thread).pop("run", None)  # the class's own again
                with context():
                    run()

            thread.run = run_within  # type: ignore[method-assign]
            try:
                start(thread)
            except BaseException:
                vars(thread).pop("run", None)
                raise

        return start_within


@contextlib.contextmanager
def pushed(mode: TorchFunctionMode) -> Iterator[None]:
    """The mode on this thread's stack, on top unless it is there; it may be removed in between."""
    if any(entry is mode for entry in _get_current_function_mode_stack()):
        yield
        return
    _push_mode(mode)
    try:
        yield
    finally:
        remove_mode(mode)


def keep_in_backward(
    patches: Patches, context: Callable[[], contextlib.AbstractContextManager[Any]]
) -> None:
    """Run ``context`` around what autograd's engine does, and so around custom functions and hooks.

    torch takes each mode off the stack while the mode handles a call, and ``backward`` is such a
    call: the Python code that the engine calls would run without any.
    """

    def wrap(engine: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            with context():
                return engine(*args, **kwargs)

        return run

    patches.wrap(torch.autograd, "_engine_run_backward", wrap)


def is_alt(device: torch.device) -> bool:
    """Whether a device is alt, whatever its ``type`` is made to say."""
    return str.__eq__(device.type, "alt")
