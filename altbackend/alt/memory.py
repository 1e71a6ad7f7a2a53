"""``torch.alt.memory``: what the caching allocator holds. All amounts are bytes.

*allocated* is what tensors hold; *reserved* is what the allocator has taken from the system, its
cache included.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping

from altbackend import _C
from altbackend.alt._utils import DeviceLike, checked_device_index

__all__ = [
    "empty_cache",
    "get_per_process_memory_fraction",
    "max_memory_allocated",
    "max_memory_cached",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_cached",
    "memory_reserved",
    "memory_stats",
    "memory_summary",
    "reset_accumulated_memory_stats",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
    "reset_peak_memory_stats",
    "set_per_process_memory_fraction",
]


def memory_stats(device: DeviceLike = None) -> collections.OrderedDict[str, int]:
    """Statistics of a device's allocator by the names of ``torch.cuda.memory_stats``.

    Such as "allocated_bytes.all.current", "reserved_bytes.all.peak", "num_ooms".
    """
    flat: dict[str, int] = {}
    _flatten("", _C.memory_stats(checked_device_index(device)), flat)
    return collections.OrderedDict(sorted(flat.items()))


def _flatten(prefix: str, value: object, into: dict[str, int]) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _flatten(f"{prefix}.{key}" if prefix else str(key), inner, into)
    else:
        into[prefix] = int(value)  # type: ignore[call-overload]


def memory_allocated(device: DeviceLike = None) -> int:
    """Bytes that tensors hold now."""
    return memory_stats(device).get("allocated_bytes.all.current", 0)


def max_memory_allocated(device: DeviceLike = None) -> int:
    """Most bytes that tensors held since :func:`reset_peak_memory_stats`."""
    return memory_stats(device).get("allocated_bytes.all.peak", 0)


def memory_reserved(device: DeviceLike = None) -> int:
    """Bytes taken from the system now."""
    return memory_stats(device).get("reserved_bytes.all.current", 0)


def max_memory_reserved(device: DeviceLike = None) -> int:
    """Most bytes taken from the system since :func:`reset_peak_memory_stats`."""
    return memory_stats(device).get("reserved_bytes.all.peak", 0)


# The names these had before torch 1.4; scripts still use them.
memory_cached = memory_reserved
max_memory_cached = max_memory_reserved


def reset_peak_memory_stats(device: DeviceLike = None) -> None:
    """Let every peak start again from what is held now."""
    _C.reset_peak_memory_stats(checked_device_index(device))


reset_max_memory_allocated = reset_peak_memory_stats
reset_max_memory_cached = reset_peak_memory_stats


def reset_accumulated_memory_stats(device: DeviceLike = None) -> None:
    """Let the totals (".allocated", ".freed", "num_ooms" ...) start again from zero."""
    _C.reset_accumulated_memory_stats(checked_device_index(device))


def empty_cache() -> None:
    """Give back to the system what no tensor holds."""
    _C.empty_cache()


def mem_get_info(device: DeviceLike = None) -> tuple[int, int]:
    """Bytes that are free, and bytes there are, as the system says."""
    free, total = _C.mem_get_info(checked_device_index(device))
    return int(free), int(total)


def set_per_process_memory_fraction(fraction: float, device: DeviceLike = None) -> None:
    """Let this process reserve at most ``fraction`` of the device's memory.

    Past it an allocation raises ``torch.OutOfMemoryError``.

    Raises:
        TypeError: where ``fraction`` is no number. ValueError: where it is not within 0 to 1.
    """
    if not isinstance(fraction, (int, float)):
        raise TypeError("Invalid type for fraction argument, must be `float`")
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    index = checked_device_index(device)
    _C.set_memory_limit(index, int(mem_get_info(index)[1] * fraction))


def get_per_process_memory_fraction(device: DeviceLike = None) -> float:
    """The fraction that is set, 1.0 where there is no limit."""
    index = checked_device_index(device)
    total = mem_get_info(index)[1]
    limit = int(_C.get_memory_limit(index))
    return min(1.0, limit / total) if 0 <= limit < total else 1.0


def memory_summary(device: DeviceLike = None, abbreviated: bool = False) -> str:
    """A table of the statistics for people to read.

    Args:
        device: which device, the current one by default.
        abbreviated: whether to leave out the counts and show bytes only.
    """
    stats = memory_stats(device)
    rows: list[tuple[str, str, Callable[[int], str]]] = [
        ("Allocated memory", "allocated_bytes", _bytes),
        ("Active memory", "active_bytes", _bytes),
        ("Reserved memory", "reserved_bytes", _bytes),
        ("Non-releasable memory", "inactive_split_bytes", _bytes),
    ]
    if not abbreviated:
        rows += [("Allocations", "allocation", str), ("Reserved segments", "segment", str)]
    width = 78
    title = f"memory of alt:{checked_device_index(device)}"
    ooms = stats.get("num_ooms", 0)
    lines = [
        "=" * width,
        f" {title:<40}out of memory: {ooms}",
        "-" * width,
        f" {'':<24}{'now':>12}{'peak':>12}{'total':>14}{'freed':>14}",
    ]
    for label, key, show in rows:
        cells = [
            show(stats.get(f"{key}.all.{which}", 0))
            for which in ("current", "peak", "allocated", "freed")
        ]
        lines.append(f" {label:<24}{cells[0]:>12}{cells[1]:>12}{cells[2]:>14}{cells[3]:>14}")
    return "\n".join([*lines, "=" * width]) + "\n"


def _bytes(amount: int) -> str:
    if abs(amount) < 1024:
        return f"{amount} B"
    value, unit = amount / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if abs(value) >= 1024:
            value, unit = value / 1024, larger
    return f"{value:.1f} {unit}"
