"""unique and its like, and counting: sorting and CUB through CuPy."""

from __future__ import annotations

from altbackend.cuda.array import Array, module_of

__all__ = ["bincount", "unique", "unique_consecutive"]


def _of_runs(starts: Array, size: int) -> tuple[Array, Array, Array]:
    """Where runs begin, each element's run, and the runs' lengths."""
    xp = module_of(starts)
    begins = xp.nonzero(starts)[0].astype(xp.int64, copy=False)
    run = (xp.cumsum(starts, dtype=xp.int64) - 1) if size else xp.empty(0, dtype=xp.int64)
    ends = xp.concatenate([begins[1:], xp.asarray([size] if size else [], dtype=xp.int64)])
    return begins, run, ends - begins


def unique_consecutive(x: Array) -> tuple[Array, Array, Array]:
    """Elements that differ from the one before, in row-major order; inverse and counts."""
    xp = module_of(x)
    flat = x.reshape(-1)
    starts = xp.ones(flat.shape, dtype=bool)
    starts[1:] = flat[1:] != flat[:-1]
    begins, run, counts = _of_runs(starts, flat.size)
    return flat[begins], run.reshape(x.shape), counts


def unique(x: Array) -> tuple[Array, Array, Array]:
    """Distinct elements in order, each element's place among them, and how often each occurs."""
    xp = module_of(x)
    flat = x.reshape(-1)
    order = xp.argsort(flat, kind="stable")
    values, run, counts = unique_consecutive(flat[order])
    inverse = xp.empty(flat.shape, dtype=xp.int64)
    inverse[order] = run
    return values, inverse.reshape(x.shape), counts


def bincount(x: Array, weights: Array | None = None, *, least: int = 0) -> Array:
    """How often each of 0, 1, ... occurs, or the sum of its weights."""
    xp = module_of(x)
    if weights is None:
        return xp.bincount(x, minlength=least).astype(xp.int64, copy=False)
    return xp.bincount(x, weights=weights, minlength=least)
