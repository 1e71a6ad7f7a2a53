"""The machine's own limits, measured in the run: how fast it multiplies and how fast it copies.

Its bandwidth is shared with all that runs there and changes by the second, so that a copy is also
timed beside each row that memory bounds.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from altbackend.bench.measure import Contestant
from altbackend.bench.place import Place

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
SECONDS = 0.4  # for each size and device


@dataclass(frozen=True)
class Limits:
    """What no kernel exceeds, but for reduced precision and data that lies in a cache.

    Args:
        gemm: float32 operations a second of the largest matrix products.
        copy: bytes a second of a copy that fits no cache, read and written.
        cache: bytes of the last cache; 0 where the system does not tell.
    """

    gemm: float
    copy: float
    cache: int

    def seconds(self, flops: float, bytes: float) -> float:
        """The least time that so much work takes."""
        return max(flops / self.gemm, bytes / self.copy)

    def bound(self, flops: float, bytes: float) -> str:
        """Which limit that is: "gemm", "copy", or "" where there is no work to speak of."""
        if not flops and not bytes:
            return ""
        return "gemm" if flops / self.gemm > bytes / self.copy else "copy"


class LargeCopy:
    """A copy that fits no cache: of 256 MB (quick: 64).

    Args:
        place: where.
        bytes: that it reads and writes.
        contestant: what takes its turns beside alt.
    """

    def __init__(self, place: Place, quick: bool = False) -> None:
        elements = (1 << 24) if quick else (1 << 26)
        # Of random numbers: zeros are written faster on some machines.
        source = torch.rand(elements).to(place.device)
        copied = functools.partial(torch.empty_like(source).copy_, source)
        self.bytes = 2 * 4 * elements
        self.contestant = Contestant(copied, place.synchronize)


def measure(places: Iterable[Place], quick: bool = False) -> Limits:
    """The best that any of the places does: sgemm of some sizes, a large copy."""
    sides = (1024,) if quick else (1024, 2048, 3072)
    gemm, copy, cache = 0.0, 0.0, 0
    for place in places:
        for side in sides:
            a, b = torch.randn(2, side, side).to(place.device)
            out = torch.empty_like(a)
            product = Contestant(functools.partial(torch.mm, a, b, out=out), place.synchronize)
            gemm = max(gemm, 2 * side**3 / _best(product))
        large = LargeCopy(place, quick)
        copy = max(copy, large.bytes / _best(large.contestant))
        cache = max(cache, cache_bytes(place.device))
    return Limits(gemm, copy, cache)


def _best(contestant: Contestant) -> float:
    contestant.step()
    contestant.synchronize()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end or best == float("inf"):
        began = time.perf_counter()
        contestant.step()
        contestant.synchronize()
        best = min(best, time.perf_counter() - began)
    return best


def cache_bytes(device: torch.device) -> int:
    """The size of a device's last cache: what its properties say, else that of the first core."""
    if device.type != "cpu":
        properties = getattr(torch, device.type).get_device_properties(device)
        if getattr(properties, "engine", "") != "host":
            return int(getattr(properties, "L2_cache_size", 0))
    sizes = [0]
    for file in CACHES.glob("index*/size"):
        text = file.read_text().strip()
        unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KM")) * unit)
    return max(sizes)
