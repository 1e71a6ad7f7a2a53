"""Reading of the ``device`` arguments that every function of ``torch.alt`` takes."""

from __future__ import annotations

from typing import Any

import torch

from altbackend import _C

DeviceLike = torch.device | str | int | None


def translate(device: Any) -> Any:
    """Leave a device as it is; the cuda shim puts its own function here."""
    return device


def _get_device_index(
    device: DeviceLike = None, optional: bool = False, allow_cpu: bool = False
) -> int:
    """Index of ``device``; the current one where it names none.

    Args:
        device: an alt device, a string such as "alt:1", an index, or None.
        optional: whether None and "alt" without an index are allowed.
        allow_cpu: whether a cpu device is allowed; its index is -1.

    Raises:
        ValueError: for another type of device, or for no index where one is needed.
    """
    device = translate(device)
    if isinstance(device, int):
        return device
    if isinstance(device, str):
        device = torch.device(device)
    if isinstance(device, torch.device):
        if allow_cpu and device.type == "cpu":
            return -1
        if device.type != "alt":
            raise ValueError(f"Expected an alt device, but got: {device}")
        if device.index is not None:
            return device.index
    elif device is not None:
        raise ValueError(f"Expected a torch.device, a string or an int, but got: {device!r}")
    if not optional:
        raise ValueError(
            f"Expected a torch.device with a specified index or an integer, but got: {device!r}"
        )
    return int(_C.current_device())


def checked_device_index(device: DeviceLike = None) -> int:
    """As :func:`_get_device_index`, but the device must exist."""
    index = _get_device_index(device, optional=True)
    if not 0 <= index < _C.device_count():
        raise RuntimeError(
            f"alt:{index} is not there: this process has {_C.device_count()} (ALT_DEVICE_COUNT)"
        )
    return index
