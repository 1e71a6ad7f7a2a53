"""The fused linear_cross_entropy sums half types in float32 on alt, as on the CPU.

PyTorch keeps by the device's name what ``acc_policy="auto"`` means, and has no row for alt, where
sums would then be in the input's dtype.
"""

from __future__ import annotations

import importlib
import importlib.util

import torch

_OPTIONS = "torch.nn.modules.linear_cross_entropy_options"


def sum_halves_in_float32() -> None:
    """From here on, in this process."""
    if importlib.util.find_spec(_OPTIONS) is None:
        return  # torch before 2.13
    options = importlib.import_module(_OPTIONS)
    defaults = options._AUTO_DEFAULTS
    defaults |= {
        ("alt", dtype): row for (device, dtype), row in defaults.items() if device == "cpu"
    }

    original = options.LinearCrossEntropyOptions._resolve_auto_acc_dtype

    def resolve(dtype: torch.dtype, device: torch.device | None) -> torch.dtype | None:
        on_alt = device is not None and device.type == "alt"
        resolved: torch.dtype | None = original(dtype, torch.device("cpu") if on_alt else device)
        return resolved

    options.LinearCrossEntropyOptions._resolve_auto_acc_dtype = staticmethod(resolve)
