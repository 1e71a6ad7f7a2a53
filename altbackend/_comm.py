"""What ``torch.nn.DataParallel`` asks of cuda's C++ part: tensors split over devices, and joined.

torch's functions of these names are compiled for cuda only; devices are indices, -1 is the cpu.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

import altbackend.alt as alt
from altbackend._patches import Patches


def install(patches: Patches) -> None:
    """Put them where ``torch.nn.parallel.comm`` looks for them."""
    for name, function in (
        ("_broadcast", broadcast),
        ("_broadcast_coalesced", broadcast_coalesced),
        ("_gather", gather),
        ("_scatter", scatter),
    ):
        patches.set(torch._C, name, function)


def _device(index: int) -> torch.device:
    return torch.device("cpu") if index < 0 else torch.device("alt", index)


def broadcast(tensor: torch.Tensor, devices: Sequence[int]) -> list[torch.Tensor]:
    """The tensor on each device."""
    return [tensor.to(_device(index)) for index in devices]


def broadcast_coalesced(
    tensors: Sequence[torch.Tensor], devices: Sequence[int], buffer_size: int
) -> list[list[torch.Tensor]]:
    """For each device, all the tensors on it."""
    return [[tensor.to(_device(index)) for tensor in tensors] for index in devices]


def scatter(
    tensor: torch.Tensor,
    devices: Sequence[int],
    chunk_sizes: Sequence[int] | None = None,
    dim: int = 0,
    streams: Sequence[Any] | None = None,
) -> list[torch.Tensor]:
    """The tensor cut along ``dim``, one piece a device; fewer where it is too short."""
    if chunk_sizes is None:
        pieces = tensor.chunk(len(devices), dim)
    else:
        pieces = tensor.split(list(chunk_sizes), dim)
    return [piece.to(_device(index)) for piece, index in zip(pieces, devices, strict=False)]


def gather(
    tensors: Sequence[torch.Tensor], dim: int = 0, destination_index: int | None = None
) -> torch.Tensor:
    """The tensors joined along ``dim`` on one device, the current one by default."""
    index = alt.current_device() if destination_index is None else destination_index
    return torch.cat([tensor.to(_device(index)) for tensor in tensors], dim)
