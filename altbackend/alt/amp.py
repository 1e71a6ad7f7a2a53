"""``torch.alt.amp``: what ``torch.autocast("alt")`` asks of the device."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["GradScaler", "autocast", "get_amp_supported_dtype"]


def get_amp_supported_dtype() -> list[torch.dtype]:
    """The dtypes that ``torch.autocast("alt", dtype=...)`` takes, the preferred one first."""
    return [torch.bfloat16, torch.float16]


class autocast(torch.amp.autocast_mode.autocast):
    """``torch.autocast("alt", ...)`` by the spelling of ``torch.cuda.amp.autocast``."""

    def __init__(
        self,
        enabled: bool = True,
        dtype: torch.dtype | None = None,
        cache_enabled: bool = True,
    ) -> None:
        super().__init__("alt", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


class GradScaler(torch.amp.grad_scaler.GradScaler):
    """``torch.amp.GradScaler("alt", ...)`` by the spelling of ``torch.cuda.amp.GradScaler``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("alt", *args, **kwargs)
