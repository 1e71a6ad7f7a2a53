"""The ways in which a document is run.

stock       the cpu, twice: what differs between the two is not a matter of the device
stock-cuda  the cpu, which answers for ``cuda`` too
default     the default device is alt
cuda        altbackend answers for ``cuda``, as ``python -m altbackend run`` has it
moved       each tensor and module is moved by ``.to("alt")`` where it is created
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

import torch

from conformance.notes import cuda_on_cpu
from conformance.notes.values import Fallback


def set_up(way: str, device: str) -> None:
    """Make this process run scripts in the given way."""
    if way in ("stock", "moved"):
        return
    if way == "stock-cuda" or device == "cpu":
        if way != "default":
            cuda_on_cpu.enable()
        return
    if way == "cuda":
        import_module("altbackend.cuda_shim").enable()
        import_module("altbackend._default_device").use()
        return
    torch.set_default_device(device)


class Counters(Protocol):
    """What ran where since the last reset."""

    def reset(self) -> None:
        """Count from here."""

    def read(self) -> tuple[list[Fallback], int]:
        """The fallbacks, and how many native kernels were called."""


class NoCounters:
    """For stock torch, where nothing falls back."""

    def reset(self) -> None:
        """Nothing to count."""

    def read(self) -> tuple[list[Fallback], int]:
        """No fallback and no native kernel."""
        return [], 0


class AltCounters:
    """The counters of altbackend."""

    def __init__(self) -> None:
        import altbackend
        from altbackend import _C

        self._package: Any = altbackend
        self._extension: Any = _C
        self._native_calls = 0

    def reset(self) -> None:
        """Count from here."""
        self._package.reset_fallback_report()
        self._native_calls = self._extension.native_calls()

    def read(self) -> tuple[list[Fallback], int]:
        """The fallbacks since the last reset, and the number of native calls."""
        native_calls = self._extension.native_calls() - self._native_calls
        rows = self._package.fallback_report()
        fallbacks = [Fallback(r["op"], r["calls"], r["bytes"], r.get("site", "")) for r in rows]
        return fallbacks, native_calls


def generator_states(device: str) -> list[bytes]:
    """The states of the cpu's generator and of the device's; nothing for one generator."""
    if device == "cpu":
        return []
    of_device = torch.get_device_module(device).get_rng_state().cpu()
    return [bytes(state.numpy()) for state in (torch.default_generator.get_state(), of_device)]
