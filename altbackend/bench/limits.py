"""The machine's own limits, measured in the run: how fast it multiplies and how fast it copies."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

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


def measure(places: Iterable[Place], quick: bool = False) -> Limits:
    """The best that any of the places does: sgemm of some sizes, copies of 256 MB (quick: 64)."""
    sides = (1024,) if quick else (1024, 2048, 3072)
    elements = (1 << 24) if quick else (1 << 26)
    gemm, copy, cache = 0.0, 0.0, 0
    for place in places:
        for side in sides:
            a, b = torch.randn(2, side, side).to(place.device)
            out = torch.empty_like(a)
            product = functools.partial(torch.mm, a, b, out=out)
            gemm = max(gemm, 2 * side**3 / _best(product, place))
        source = torch.rand(elements).to(place.device)  # zeros are written faster on some machines
        target = torch.empty_like(source)
        copied = functools.partial(target.copy_, source)
        copy = max(copy, 2 * 4 * elements / _best(copied, place))
        cache = max(cache, cache_bytes(place.device))
    return Limits(gemm, copy, cache)


def _best(step: Callable[[], object], place: Place) -> float:
    step()
    place.synchronize()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end or best == float("inf"):
        began = time.perf_counter()
        step()
        place.synchronize()
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
