"""The array module that operators are written against: CuPy in production, NumPy in tests.

Only what both have, and have alike, is used. CuPy's ``ufunc.accumulate`` knows add and multiply
alone, for instance, so scans of other operators go by doubling (scan.py).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

Array = Any  # numpy.ndarray or cupy.ndarray


def module_of(x: Array) -> ModuleType:
    """numpy or cupy, whichever `x` is of."""
    if type(x).__module__.split(".")[0] == "cupy":
        import cupy

        return cupy
    import numpy

    return numpy


def moved_last(x: Array, dim: int) -> Array:
    """A view with dimension `dim` as the last; of a number, its one element."""
    xp = module_of(x)
    return xp.moveaxis(x, dim, -1) if x.ndim else x.reshape(1)


def moved_back(x: Array, dim: int, ndim: int) -> Array:
    """The inverse of `moved_last` for a tensor that had `ndim` dimensions."""
    xp = module_of(x)
    return xp.moveaxis(x, -1, dim) if ndim else x.reshape(x.shape[:-1])
