"""``torch.alt``: the device's module, with those functions of ``torch.cuda`` that apply to it."""

from __future__ import annotations

import dataclasses
import functools
from types import TracebackType
from typing import Any

import torch

from altbackend import _C, _build_info
from altbackend._dlpack import from_dlpack
from altbackend.alt import _utils, amp, memory, random, streams, tensor_types
from altbackend.alt._utils import DeviceLike, _get_device_index, checked_device_index
from altbackend.alt.amp import get_amp_supported_dtype
from altbackend.alt.memory import *  # noqa: F403
from altbackend.alt.memory import mem_get_info
from altbackend.alt.random import (
    default_generator,
    get_rng_state,
    get_rng_state_all,
    initial_seed,
    manual_seed,
    manual_seed_all,
    seed,
    seed_all,
    set_rng_state,
    set_rng_state_all,
)
from altbackend.alt.streams import (
    Event,
    Stream,
    StreamContext,
    current_stream,
    default_stream,
    set_stream,
    stream,
    synchronize,
)

__all__ = [
    "Event",
    "Stream",
    "StreamContext",
    "_utils",
    "amp",
    "can_device_access_peer",
    "current_device",
    "current_stream",
    "default_generator",
    "default_stream",
    "device",
    "device_count",
    "device_of",
    "from_dlpack",
    "get_amp_supported_dtype",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "init",
    "initial_seed",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "memory",
    "random",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state",
    "set_rng_state_all",
    "set_stream",
    "stream",
    "streams",
    "synchronize",
    "tensor_types",
    *memory.__all__,
    *tensor_types.__all__,
]

globals().update(tensor_types.TENSOR_TYPES)

# torch.utils.checkpoint keeps the generators of a device only where its module says this.
_initialized = True


def is_available() -> bool:
    """Whether there is an alt device. Where altbackend is registered there always is."""
    return device_count() > 0


def is_initialized() -> bool:
    """Whether the device can be used without :func:`init`; always."""
    return True


def init() -> None:
    """Do nothing: the device is ready once it is registered."""


def _is_in_bad_fork() -> bool:
    """Whether this process is a fork that cannot use the device."""
    return bool(_C.is_in_bad_fork())


def _lazy_init() -> None:
    """What torch calls before a process's first use of the device."""
    if _is_in_bad_fork():
        raise RuntimeError(
            "Cannot re-initialize alt in forked subprocess. To use alt with "
            "multiprocessing, you must use the 'spawn' start method"
        )


def device_count() -> int:
    """How many devices there are.

    On the host ALT_DEVICE_COUNT, 1 by default; with the CUDA engine the GPUs, or as many of them.
    """
    return int(_C.device_count())


def current_device() -> int:
    """Index of this thread's current device."""
    return int(_C.current_device())


def set_device(device: DeviceLike) -> None:
    """Make ``device`` this thread's current one. A negative index does nothing.

    Raises:
        RuntimeError: where there is no such device.
    """
    index = _get_device_index(device, optional=True)
    if index >= 0:
        _C.set_device(checked_device_index(index))


class device:
    """Context manager that changes the current device; None or a negative index does nothing.

    Args:
        device: an alt device, a string such as "alt:1", an index, or None.
    """

    def __init__(self, device: DeviceLike) -> None:
        self.idx = -1 if device is None else _get_device_index(device, optional=True)
        self.prev_idx = -1

    def __enter__(self) -> None:
        if self.idx >= 0:
            self.prev_idx = int(_C.exchange_device(checked_device_index(self.idx)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.prev_idx >= 0:
            _C.set_device(self.prev_idx)


class device_of(device):
    """Context manager that makes a tensor's or storage's device the current one, if it is alt."""

    def __init__(self, obj: Any) -> None:
        super().__init__(obj.get_device() if obj.device.type == "alt" else None)


def _exchange_device(index: int) -> int:
    """Make ``index`` current and return the one before; a negative index only asks."""
    return int(_C.exchange_device(index)) if index >= 0 else current_device()


_maybe_exchange_device = _exchange_device


@dataclasses.dataclass(frozen=True)
class _AltDeviceProperties:
    """What a device is, by the names of ``torch.cuda.get_device_properties``."""

    name: str
    major: int
    minor: int
    total_memory: int  # bytes
    multi_processor_count: int  # threads of the pool, or a GPU's multiprocessors
    engine: str
    cpu_features: tuple[str, ...]
    is_integrated: int = 1  # it shares the host's memory
    is_multi_gpu_board: int = 0
    warp_size: int = 1


@functools.cache
def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as cpuinfo:
            for line in cpuinfo:
                key, _, value = line.partition(":")
                if key.strip() in ("model name", "Model", "Hardware"):
                    return value.strip()
    except OSError:
        pass
    import platform

    return platform.processor() or platform.machine() or "cpu"


def get_device_properties(device: DeviceLike = None) -> _AltDeviceProperties:
    """Name, memory (bytes), threads and capability of a device."""
    index = checked_device_index(device)
    major, minor = get_device_capability(index)
    gpu = _gpu(index)
    known = _AltDeviceProperties(
        name=get_device_name(index),
        major=major,
        minor=minor,
        total_memory=mem_get_info(index)[1],
        multi_processor_count=int(_C.num_threads()),
        engine=str(_C.engine()["name"]),
        cpu_features=tuple(_build_info.CPU_FEATURES),
    )
    if gpu is None:
        return known
    return dataclasses.replace(
        known,
        multi_processor_count=gpu["multi_processor_count"],
        is_integrated=gpu["is_integrated"],
        warp_size=32,
    )


def _gpu(index: int) -> dict[str, Any] | None:
    """What the driver says of a GPU, None on the host engine."""
    return _C.describe_gpu(index) if _C.engine()["name"] == "cuda" else None


def get_device_name(device: DeviceLike = None) -> str:
    """What the device runs on, such as "AMD EPYC 9354 (alt)"."""
    gpu = _gpu(checked_device_index(device))
    return f"{gpu['name'] if gpu else _cpu_name()} (alt)"


def get_device_capability(device: DeviceLike = None) -> tuple[int, int]:
    """A GPU's compute capability.

    On the host (8, 0): scripts ask it to know whether bfloat16 works, as on cuda from 8.0.
    """
    gpu = _gpu(checked_device_index(device))
    return (gpu["major"], gpu["minor"]) if gpu else (8, 0)


def can_device_access_peer(device: DeviceLike, peer_device: DeviceLike) -> bool:
    """Whether a device can read the other's memory directly; on the host all but itself."""
    index, peer = checked_device_index(device), checked_device_index(peer_device)
    if _gpu(index) is not None:
        return _C.gpus_are_peers(index, peer)
    return index != peer


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether bfloat16 tensors can be computed with; always."""
    return True


def ipc_collect() -> None:
    """Do nothing: alt shares no device memory between processes."""


def _get_generator(device: torch.device) -> torch.Generator:
    return default_generator(device)


def __getattr__(name: str) -> Any:
    # As torch.cuda.default_generators, but not made at import.
    if name == "default_generators":
        return tuple(default_generator(index) for index in range(device_count()))
    raise AttributeError(f"module 'torch.alt' has no attribute {name!r}")


_DeviceGuard = device
