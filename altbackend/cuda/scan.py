"""Scans along a dimension. Sums and products are CUB's through CuPy; the others go by doubling.

Doubling combines each element with the one 1, 2, 4, ... places before it: log2(n) passes over
memory, every one of them parallel.
"""

from __future__ import annotations

from collections.abc import Callable

from altbackend.cuda.array import Array, module_of, moved_back, moved_last

__all__ = ["cummax", "cummin", "cumprod", "cumsum", "logcumsumexp"]


def cumsum(x: Array, dim: int, dtype: object = None) -> Array:
    """Running sums, in `dtype`."""
    return _by(module_of(x).cumsum, x, dim, dtype)


def cumprod(x: Array, dim: int, dtype: object = None) -> Array:
    """Running products, in `dtype`."""
    return _by(module_of(x).cumprod, x, dim, dtype)


def _by(function: Callable, x: Array, dim: int, dtype: object) -> Array:
    return moved_back(function(moved_last(x, dim), axis=-1, dtype=dtype), dim, x.ndim)


def _doubled(
    parts: list[Array], combine: Callable[[list[Array], list[Array]], list[Array]]
) -> list[Array]:
    """The scan of `combine(before, here)` along the last dimension of arrays of one shape."""
    xp = module_of(parts[0])
    n = parts[0].shape[-1]
    distance = 1
    while distance < n:
        joined = combine([p[..., :-distance] for p in parts], [p[..., distance:] for p in parts])
        parts = [
            xp.concatenate([p[..., :distance], j], axis=-1)
            for p, j in zip(parts, joined, strict=True)
        ]
        distance *= 2
    return parts


def _extreme(x: Array, dim: int, beats: Callable[[Array, Array], Array]) -> tuple[Array, Array]:
    xp = module_of(x)
    values = moved_last(x, dim)
    places = xp.broadcast_to(xp.arange(values.shape[-1], dtype=xp.int64), values.shape)

    def combine(before: list[Array], here: list[Array]) -> list[Array]:
        # A later equal takes the place, and so does NaN, over all that is none or comes before.
        taken = beats(here[0], before[0]) | (here[0] == before[0]) | (here[0] != here[0])
        return [xp.where(taken, h, b) for h, b in zip(here, before, strict=True)]

    found, where = _doubled([values, places], combine)
    return moved_back(found, dim, x.ndim), moved_back(where, dim, x.ndim)


def cummax(x: Array, dim: int) -> tuple[Array, Array]:
    """Running largest elements and their places, the last of equals."""
    return _extreme(x, dim, lambda a, b: a > b)


def cummin(x: Array, dim: int) -> tuple[Array, Array]:
    """Running smallest elements and their places, the last of equals."""
    return _extreme(x, dim, lambda a, b: a < b)


def _logaddexp(a: Array, b: Array) -> Array:
    """xp.logaddexp, which knows no complex numbers, of any."""
    xp = module_of(a)
    if a.dtype.kind != "c":
        return xp.logaddexp(a, b)
    first = a.real >= b.real
    high, low = xp.where(first, a, b), xp.where(first, b, a)
    # Nothing is added to an infinity; without this two of a sign would give NaN.
    return xp.where(xp.isinf(high.real), high, high + xp.log(1 + xp.exp(low - high)))


def logcumsumexp(x: Array, dim: int) -> Array:
    """log of the running sums of exp."""
    (found,) = _doubled([moved_last(x, dim)], lambda b, h: [_logaddexp(b[0], h[0])])
    return moved_back(found, dim, x.ndim)
