"""A stock torch on which ``cuda`` is there and is the cpu: what a CUDA script should compute.

The reference for the way through altbackend's CUDA shim. It shares no code with that shim.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_ELEMENTS = ("Bool", "Byte", "Char", "Short", "Int", "Long", "Half", "BFloat16", "Float", "Double")


class CudaOnCpu(TorchFunctionMode):
    """Sends what a script asks of the device ``cuda`` to the cpu."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func` with ``cuda`` read as ``cpu``."""
        if func is torch.Tensor.cuda:
            return args[0]
        if func == torch.Tensor.is_cuda.__get__:  # type: ignore[attr-defined]
            return True
        args = tuple(_on_cpu(value) for value in args)
        kwargs = {key: _on_cpu(value) for key, value in (kwargs or {}).items()}
        return func(*args, **kwargs)


def enable() -> None:
    """For the rest of this process, ``cuda`` is the cpu."""
    cuda: Any = torch.cuda
    answers: dict[str, Any] = {"is_available": True, "device_count": 1, "current_device": 0}
    # torch.manual_seed seeds every device with manual_seed_all; the cpu is seeded by then.
    does_nothing = ("synchronize", "set_device", "empty_cache", "manual_seed", "manual_seed_all")
    answers |= dict.fromkeys(does_nothing)
    for name, answer in answers.items():
        setattr(cuda, name, _function(answer))
    for element in _ELEMENTS:
        setattr(cuda, f"{element}Tensor", getattr(torch, f"{element}Tensor"))
    CudaOnCpu().__enter__()


def _function(answer: object) -> Callable[..., object]:
    # One function an attribute: torch.compile's tables refuse a function of two names.
    return lambda *_, **__: answer


def _on_cpu(value: object) -> object:
    if isinstance(value, str) and value.split(":")[0] == "cuda":
        return "cpu"
    if isinstance(value, torch.device) and value.type == "cuda":
        return torch.device("cpu")
    return value
