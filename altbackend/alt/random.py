"""``torch.alt.random``: the generators of the alt devices.

The generator of the host engine gives, for a seed, the same numbers as that of the cpu.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from altbackend import _C
from altbackend.alt._utils import DeviceLike, checked_device_index

__all__ = [
    "default_generator",
    "get_rng_state",
    "get_rng_state_all",
    "initial_seed",
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_all",
    "set_rng_state",
    "set_rng_state_all",
]


def default_generator(device: DeviceLike = None) -> torch.Generator:
    """Generator that a device uses where a call names none."""
    return _C.default_generator(checked_device_index(device))


def get_rng_state(device: DeviceLike = "alt") -> torch.Tensor:
    """State of a device's generator, a cpu tensor of uint8."""
    return default_generator(device).get_state()


def get_rng_state_all() -> list[torch.Tensor]:
    """State of every device's generator."""
    return [get_rng_state(index) for index in range(_C.device_count())]


def set_rng_state(new_state: torch.Tensor, device: DeviceLike = "alt") -> None:
    """Set what :func:`get_rng_state` gave.

    Raises:
        TypeError or RuntimeError: where ``new_state`` is not such a state.
    """
    default_generator(device).set_state(new_state)


def set_rng_state_all(new_states: Iterable[torch.Tensor]) -> None:
    """Set the state of every device, in the order of :func:`get_rng_state_all`."""
    for index, state in enumerate(new_states):
        set_rng_state(state, index)


def manual_seed(seed: int) -> None:
    """Seed the current device. ``torch.manual_seed`` does it for all devices and the cpu."""
    default_generator().manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    """Seed every device."""
    for index in range(_C.device_count()):
        default_generator(index).manual_seed(int(seed))


def seed() -> None:
    """Seed the current device from the system's entropy."""
    default_generator().seed()


def seed_all() -> None:
    """Seed every device with one number from the system's entropy."""
    manual_seed_all(default_generator(0).seed())


def initial_seed() -> int:
    """Seed that the current device was last given."""
    return default_generator().initial_seed()
