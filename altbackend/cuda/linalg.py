"""Factorizations and the systems solved with them: cuSOLVER and cuBLAS through CuPy.

csrc/kernels/cuda/linalg.cpp calls these where the host engine calls LAPACK, on the same memory:
batches of column-major matrices, which are overwritten, and `info`, which has for every matrix what
LAPACK returns. They raise nothing; PyTorch's front-ends read `info`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from altbackend.cuda.array import Array, module_of

__all__ = [
    "geqrf", "gesvd", "getrf", "getrs", "matrix_exp", "orgqr", "ormqr", "potrf", "potrs", "syevd",
    "trsm",
]  # fmt: skip

_LETTERS = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}
# What unitary and Hermitian matrices have in the place of orthogonal and symmetric ones.
_COMPLEX = {"orgqr": "ungqr", "ormqr": "unmqr", "syevd": "heevd"}
_TRANSPOSES = {"N": 0, "T": 1, "C": 2}
_MOST_ROWS_OF_A_BATCH = 512  # above, a matrix at a time fills the GPU


def _routine(library: str, name: str, a: Array) -> Callable[..., Any]:
    """cuSOLVER's or cuBLAS's routine for the array's dtype."""
    try:
        from cupy_backends.cuda.libs import cublas, cusolver
    except ImportError as error:  # a machine without these libraries
        raise NotImplementedError(f"CuPy finds no {library}: {error}") from error
    letter = _LETTERS[str(a.dtype)]
    if letter in "cz":
        base, *suffix = name.split("_")
        name = "_".join([_COMPLEX.get(base, base), *suffix])
    return getattr({"cublas": cublas, "cusolver": cusolver}[library], letter + name)


def _handle(library: str) -> int:
    from cupy.cuda import device

    return getattr(device, f"get_{library}_handle")()


def _memory_for(name: str, a: Array, sizes: Sequence[Any]) -> Array:
    """The memory that a routine of cuSOLVER asks for, of numbers of the array's dtype."""
    import cupy

    count = _routine("cusolver", f"{name}_bufferSize", a)(_handle("cusolver"), *sizes)
    return cupy.empty(max(count, 1), dtype=a.dtype)


def _solve(name: str, a: Array, sizes: Sequence[Any], arguments: Sequence[Any]) -> None:
    """One call of cuSOLVER, with the memory that it asks for: behind what goes before `info`."""
    work = _memory_for(name, a, sizes)
    *given, info = arguments
    _routine("cusolver", name, a)(_handle("cusolver"), *given, work.data.ptr, work.size, info)


def _places(a: Array, dims: int) -> list[int]:
    """Where each matrix, vector or number of a batch begins: its last `dims` dimensions."""
    batch = len(a.shape) - dims
    steps = ([i * s for i in range(n)] for n, s in zip(a.shape[:batch], a.strides, strict=False))
    return [a.data.ptr + sum(step) for step in itertools.product(*steps)]


def _addresses(places: list[int]) -> Array:
    """Them in the GPU's memory."""
    import cupy

    return cupy.asarray(places, dtype="uint64")


def _leading(a: Array) -> int:
    return max(1, a.shape[-2])


def _in_batches(a: Array) -> bool:
    square = a.shape[-2] == a.shape[-1]
    return a.ndim > 2 and square and a.shape[-1] < _MOST_ROWS_OF_A_BATCH


def _somewhere() -> Any:
    """For the info of routines that can only complain of their arguments."""
    import cupy

    return cupy.empty(1, dtype="int32")


# cuBLAS's numbers for a triangle, a side and a diagonal.
def _triangle(upper: bool) -> int:
    return int(upper)


def _side(left: bool) -> int:
    return 0 if left else 1


def potrf(a: Array, info: Array, *, upper: bool) -> tuple[()]:
    """Cholesky factors; the other triangle is left undefined."""
    n, leading = a.shape[-1], _leading(a)
    places = _places(a, 2)
    if _in_batches(a):
        table = _addresses(places)
        _routine("cusolver", "potrfBatched", a)(
            _handle("cusolver"), _triangle(upper), n, table.data.ptr, leading, info.data.ptr,
            len(places),
        )  # fmt: skip
        return ()
    for place, at in zip(places, _places(info, 0), strict=True):
        given = (_triangle(upper), n, place, leading)
        _solve("potrf", a, given, (*given, at))
    return ()


def potrs(a: Array, b: Array, *, upper: bool) -> tuple[()]:
    """Solves with Cholesky factors, in place of `b`."""
    info = _somewhere()
    solve = _routine("cusolver", "potrs", a)
    for factors, sides in zip(_places(a, 2), _places(b, 2), strict=True):
        solve(
            _handle("cusolver"), _triangle(upper), a.shape[-1], b.shape[-1], factors, _leading(a),
            sides, _leading(b), info.data.ptr,
        )  # fmt: skip
    return ()


def getrf(a: Array, pivots: Array, info: Array) -> tuple[()]:
    """LU factors with partial pivoting; pivots count from 1."""
    rows, columns = a.shape[-2:]
    leading = _leading(a)
    places = _places(a, 2)
    if _in_batches(a):
        table = _addresses(places)
        _routine("cublas", "getrfBatched", a)(
            _handle("cublas"), rows, table.data.ptr, leading, pivots.data.ptr, info.data.ptr,
            len(places),
        )  # fmt: skip
        return ()
    factor = _routine("cusolver", "getrf", a)
    for place, order, at in zip(places, _places(pivots, 1), _places(info, 0), strict=True):
        given = (rows, columns, place, leading)
        work = _memory_for("getrf", a, given)
        factor(_handle("cusolver"), *given, work.data.ptr, order, at)
    return ()


def getrs(a: Array, pivots: Array, b: Array, *, transpose: str) -> tuple[()]:
    """Solves with LU factors, in place of `b`."""
    info = _somewhere()
    solve = _routine("cusolver", "getrs", a)
    each = zip(_places(a, 2), _places(pivots, 1), _places(b, 2), strict=True)
    for factors, order, sides in each:
        solve(
            _handle("cusolver"), _TRANSPOSES[transpose], a.shape[-1], b.shape[-1], factors,
            _leading(a), order, sides, _leading(b), info.data.ptr,
        )  # fmt: skip
    return ()


def trsm(
    a: Array, b: Array, *, left: bool, upper: bool, transpose: str, unit: bool
) -> tuple[()]:  # fmt: skip
    """Solves with triangular matrices, in place of `b`, which may be higher than they are wide."""
    import numpy

    rows = a.shape[-1] if left else b.shape[-2]
    one = numpy.ones(1, dtype=str(a.dtype))  # cuBLAS reads it on the host
    solve = _routine("cublas", "trsm", a)
    for factor, sides in zip(_places(a, 2), _places(b, 2), strict=True):
        solve(
            _handle("cublas"), _side(left), _triangle(upper), _TRANSPOSES[transpose], int(unit),
            rows, b.shape[-1], one.ctypes.data, factor, _leading(a), sides, _leading(b),
        )  # fmt: skip
    return ()


def geqrf(a: Array, tau: Array) -> tuple[()]:
    """Householder reflectors, R above them."""
    rows, columns = a.shape[-2:]
    info = _somewhere()
    for place, scales in zip(_places(a, 2), _places(tau, 1), strict=True):
        given = (rows, columns, place, _leading(a))
        _solve("geqrf", a, given, (*given, scales, info.data.ptr))
    return ()


def orgqr(a: Array, tau: Array) -> tuple[()]:
    """The reflectors multiplied out, in their place."""
    rows, columns = a.shape[-2:]
    info = _somewhere()
    for place, scales in zip(_places(a, 2), _places(tau, 1), strict=True):
        given = (rows, columns, tau.shape[-1], place, _leading(a), scales)
        _solve("orgqr", a, given, (*given, info.data.ptr))
    return ()


def ormqr(a: Array, tau: Array, c: Array, *, left: bool, transpose: str) -> tuple[()]:
    """The reflectors' product times `c`, or `c` times it, in place of `c`."""
    rows, columns = c.shape[-2:]
    info = _somewhere()
    each = zip(_places(a, 2), _places(tau, 1), _places(c, 2), strict=True)
    for place, scales, other in each:
        given = (
            _side(left), _TRANSPOSES[transpose], rows, columns, tau.shape[-1], place, _leading(a),
            scales, other, _leading(c),
        )  # fmt: skip
        _solve("ormqr", a, given, (*given, info.data.ptr))
    return ()


def syevd(a: Array, values: Array, info: Array, *, upper: bool, vectors: bool) -> tuple[()]:
    """Eigenvalues of Hermitian matrices, ascending, and the eigenvectors in their place."""
    each = zip(_places(a, 2), _places(values, 1), _places(info, 0), strict=True)
    for place, found, at in each:
        given = (int(vectors), _triangle(upper), a.shape[-1], place, _leading(a), found)
        _solve("syevd", a, given, (*given, at))
    return ()


def gesvd(
    a: Array, s: Array, info: Array, u: Array | None = None, vh: Array | None = None
) -> tuple[()]:
    """Singular values, and vectors where they are given: of matrices at least as high as wide."""
    rows, columns = a.shape[-2:]
    factor = _routine("cusolver", "gesvd", a)
    work = _memory_for("gesvd", a, (rows, columns))
    places = _places(a, 2)
    nowhere = [0] * len(places)
    job = ord("N") if u is None else ord("A" if u.shape[-1] == rows else "S")
    lefts, rights = (nowhere if m is None else _places(m, 2) for m in (u, vh))
    right_rows = max(1, columns)
    for place, values, left, right, at in zip(
        places, _places(s, 1), lefts, rights, _places(info, 0), strict=True
    ):
        factor(
            _handle("cusolver"), job, job, rows, columns, place, _leading(a), values, left,
            max(1, rows), right, right_rows, work.data.ptr, work.size, 0, at,
        )  # fmt: skip
    return ()


# Padé's approximant of degree 13 and the norm that it is good for: Higham, "The scaling and
# squaring method for the matrix exponential revisited" (2005).
_PADE = (
    64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000,
    10559470521600, 670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1,
)  # fmt: skip
_PADE_NORM = 5.371920351148152


def matrix_exp(a: Array) -> Array:
    """exp of square matrices, by scaling and squaring."""
    xp = module_of(a)
    if a.size == 0:
        return a.copy()
    size = float(xp.max(xp.sum(xp.abs(a), axis=-2)))
    squarings = 0
    while size > _PADE_NORM and size != float("inf"):
        size, squarings = size / 2, squarings + 1
    a = a / 2**squarings
    one = xp.broadcast_to(xp.eye(a.shape[-1], dtype=a.dtype), a.shape)
    a2 = xp.matmul(a, a)
    a4 = xp.matmul(a2, a2)
    a6 = xp.matmul(a4, a2)
    b = [float(c) / _PADE[0] for c in _PADE]

    def part(first: int) -> Array:
        high = b[first + 12] * a6 if first + 12 < len(b) else 0 * a6
        high = high + b[first + 10] * a4 + b[first + 8] * a2
        low = b[first + 6] * a6 + b[first + 4] * a4 + b[first + 2] * a2 + b[first] * one
        return xp.matmul(a6, high) + low

    # Odd powers 1 .. 13 begin at b[1]: their highest, b[13], multiplies a6 a6 a.
    odd = xp.matmul(a, part(1))
    even = part(0)
    result = xp.linalg.solve(even - odd, even + odd)
    for _ in range(squarings):
        result = xp.matmul(result, result)
    return result.astype(a.dtype, copy=False)
