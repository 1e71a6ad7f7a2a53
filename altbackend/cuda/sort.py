"""Sorting, selecting and searching: Thrust and CUB through CuPy.

NaN is larger than every number, as PyTorch has it and both array modules sort it.
"""

from __future__ import annotations

from altbackend.cuda.array import Array, module_of, moved_back, moved_last

__all__ = ["kthvalue", "median", "nonzero", "searchsorted", "sort", "topk"]


def _order(x: Array, descending: bool) -> Array:
    """Places in sorted order along the last dimension; equals keep theirs."""
    xp = module_of(x)
    if not descending:
        return xp.argsort(x, axis=-1, kind="stable")
    # Backwards, so that equals come out in order when the result is turned around.
    places = xp.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    return x.shape[-1] - 1 - places


def sort(x: Array, dim: int, *, descending: bool = False) -> tuple[Array, Array]:
    """Sorted elements and the places they had; stable."""
    xp = module_of(x)
    seen = moved_last(x, dim)
    places = _order(seen, descending)
    values = xp.take_along_axis(seen, places, axis=-1)
    places = places.astype(xp.int64, copy=False)
    return moved_back(values, dim, x.ndim), moved_back(places, dim, x.ndim)


def topk(x: Array, k: int, dim: int, *, largest: bool = True) -> tuple[Array, Array]:
    """The k first in order, sorted."""
    values, places = sort(x, dim, descending=largest)
    if x.ndim == 0:
        return (values, places) if k == 1 else (values[None][:0], places[None][:0])
    part = [slice(None)] * x.ndim
    part[dim] = slice(0, k)
    return values[tuple(part)], places[tuple(part)]


def kthvalue(x: Array, k: int, dim: int) -> tuple[Array, Array]:
    """The k-th smallest, counted from 1, and its place."""
    values, places = sort(x, dim)
    if x.ndim == 0:
        return values, places
    xp = module_of(x)
    return xp.take(values, k - 1, axis=dim), xp.take(places, k - 1, axis=dim)


def median(x: Array, dim: int, *, ignore_nan: bool = False) -> tuple[Array, Array]:
    """The lower median and its place; NaN where there is one, unless it is to be ignored."""
    xp = module_of(x)
    values, places = (moved_last(a, dim) for a in sort(x, dim))
    missing = (values != values).sum(axis=-1)
    n = values.shape[-1]
    if ignore_nan:
        middle = xp.maximum(n - missing - 1, 0) // 2
    else:
        middle = xp.where(missing > 0, n - missing, (n - 1) // 2)
    middle = middle[..., None]
    found = xp.take_along_axis(values, middle, axis=-1)[..., 0]
    where = xp.take_along_axis(places, middle, axis=-1)[..., 0]
    return found, where


def nonzero(x: Array) -> Array:
    """The coordinates of what is not zero, in order: a row for each dimension."""
    xp = module_of(x)
    if x.ndim == 0:
        return xp.empty((0, int(x != 0)), dtype=xp.int64)
    return xp.stack(xp.nonzero(x)).astype(xp.int64, copy=False)


def searchsorted(sequence: Array, values: Array, *, right: bool = False) -> Array:
    """Where each value would go into a sorted sequence; sequences may be stacked like values."""
    xp = module_of(sequence)
    side = "right" if right else "left"
    if sequence.ndim == 1:
        return xp.searchsorted(sequence, values, side=side).astype(xp.int64, copy=False)
    rows = sequence.reshape(-1, sequence.shape[-1])
    wanted = values.reshape(rows.shape[0], -1)
    found = [xp.searchsorted(r, w, side=side) for r, w in zip(rows, wanted, strict=True)]
    return xp.stack(found).reshape(values.shape).astype(xp.int64, copy=False)
