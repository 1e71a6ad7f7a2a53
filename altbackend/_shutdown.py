"""A calm end of the process: autograd's threads hold nothing of Python's when the interpreter goes.

Backward on a device may run on a thread of autograd's own (csrc/runtime/backward_thread.h says when
it does not). ``backward`` returns when the gradients are there, while that thread still has to drop
the call's record, in it a Python object (the ``contextvars`` that torch.autograd.graph stashes for
it). A script that ends just then takes the interpreter away from under the thread, and the process
aborts ("terminate called without an active exception"). Any accelerator of torch's has this race; a
fast small device meets it often.
"""

from __future__ import annotations

import atexit
import contextlib
from pathlib import Path

import torch

from altbackend import _C

_kept: list[object] = []


def register() -> None:
    """Let :func:`drain` run when the interpreter ends, after the program's own exit functions."""
    atexit.register(drain)


def drain() -> None:
    """Wait until autograd's threads have dropped what they hold of finished calls.

    A thread takes the next task only when it is done with the last one, so one more backward, which
    has no Python object in its record, is waited for. It must not fail: the process is ending.
    """
    if _C.native_calls() == 0 or not _has_autograd_thread():
        return
    with contextlib.suppress(Exception):
        with torch._C.DisableTorchFunction(), torch.inference_mode(False), torch.enable_grad():
            for index in range(_C.device_count()):
                _one_backward(torch.device("alt", index))


def _one_backward(device: torch.device) -> None:
    leaf = torch.empty(0, device=device, requires_grad=True)
    root, gradient = leaf.clone(), torch.empty(0, device=device)
    # Ours to the end, so that the thread never frees a tensor that Python knows.
    _kept.extend((leaf, root, gradient))
    # torch.autograd.backward would stash the object that all this is about. No result is asked for,
    # as the thread would hold that too; the gradient goes to the leaf.
    engine = torch.autograd.Variable._execution_engine  # type: ignore[attr-defined]
    with torch.autograd.set_multithreading_enabled(True):
        engine.run_backward((root,), (gradient,), True, False, (), True, True)


def _has_autograd_thread() -> bool:
    try:
        names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    except OSError:
        return True  # the system does not tell
    return any(name.startswith("pt_autograd") for name in names)
