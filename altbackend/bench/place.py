"""Where one side's work is built and run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch


class Place:
    """A device, and whether functions are compiled before they run there.

    Args:
        device: "cpu", "alt" or "cuda".
        compile: let ``torch.compile`` have the functions and modules of a scenario.
    """

    def __init__(self, device: str, *, compile: bool = False) -> None:
        self.device = torch.device(device)
        self.compile = compile

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function or module as this place runs it."""
        # Shapes are fixed in a scenario; a dynamic kernel would be a slower rival.
        return torch.compile(function, dynamic=False) if self.compile else function

    def synchronize(self) -> None:
        """Wait for all that was asked of the device."""
        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()

    @functools.cached_property
    def draws_as_cpu(self) -> bool:
        """Whether a seed gives the cpu's random numbers here."""
        if self.compile:
            return False
        torch.manual_seed(1)
        ours = torch.rand(100, device=self.device).cpu()
        torch.manual_seed(1)
        return bool(torch.equal(ours, torch.rand(100)))
