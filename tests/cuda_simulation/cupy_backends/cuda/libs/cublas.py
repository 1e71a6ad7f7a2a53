"""cuBLAS, played by NumPy and BLAS: what altbackend/cuda/blas.py and linalg.py call."""

from __future__ import annotations

import ctypes
import functools
import inspect

import cupy
import numpy

from cupy_backends.cuda.libs import lapack
from cupy_backends.cuda.libs.lapack import DIAGONALS, SIDES, TRANSPOSES, TRIANGLES, at

# By cudaDataType_t: what memory holds, and what is computed in.
_TYPES = {
    0: ("float32", "float32"),
    1: ("float64", "float64"),
    2: ("float16", "float32"),
    4: ("complex64", "complex64"),
    5: ("complex128", "complex128"),
    14: ("uint16", "float32"),
}
_BFLOAT16 = 14
_COMPUTE = {"float32": 68, "float64": 70, "complex64": 68, "complex128": 70}


def _matrices(
    address: int, kind: int, shape: tuple[int, int, int], strides: tuple[int, int, int]
) -> cupy.ndarray:
    """A batch of matrices where they lie; strides are in elements."""
    item = numpy.dtype(_TYPES[kind][0]).itemsize
    size = (1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))) * item
    memory = cupy.cuda.UnownedMemory(address, size, None)
    pointer = cupy.cuda.MemoryPointer(memory, 0)
    steps = tuple(s * item for s in strides)
    return cupy.ndarray(shape, _TYPES[kind][0], pointer, steps)


def _read(matrices: cupy.ndarray, kind: int) -> numpy.ndarray:
    given = numpy.array(matrices, subok=False)
    if kind == _BFLOAT16:
        return (given.astype(numpy.uint32) << 16).view(numpy.float32)
    return given.astype(_TYPES[kind][1])


def _write(matrices: cupy.ndarray, kind: int, values: numpy.ndarray) -> None:
    if kind == _BFLOAT16:
        bits = numpy.ascontiguousarray(values, numpy.float32).view(numpy.uint32)
        values = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    matrices[...] = values


def _number(address: int, dtype: str) -> numpy.generic:
    held = ctypes.string_at(address, numpy.dtype(dtype).itemsize)
    return numpy.frombuffer(held, dtype)[0]


def gemmStridedBatchedEx(
    handle: int, transa: int, transb: int, m: int, n: int, k: int,
    alpha: int, a: int, a_type: int, lda: int, stride_a: int,
    b: int, b_type: int, ldb: int, stride_b: int,
    beta: int, c: int, c_type: int, ldc: int, stride_c: int,
    batch: int, compute_type: int, algorithm: int,
) -> None:  # fmt: skip
    """c = alpha a b + beta c for column-major matrices."""
    computed = _TYPES[c_type][1]
    assert handle == 7 and algorithm == -1 and a_type == b_type == c_type
    assert compute_type == _COMPUTE[computed]
    assert lda >= (k if transa else m) and ldb >= (n if transb else k) and ldc >= m
    left = _matrices(a, a_type, (batch, m, k), (stride_a, *((lda, 1) if transa else (1, lda))))
    right = _matrices(b, b_type, (batch, k, n), (stride_b, *((ldb, 1) if transb else (1, ldb))))
    target = _matrices(c, c_type, (batch, m, n), (stride_c, 1, ldc))
    result = numpy.matmul(_read(left, a_type), _read(right, b_type)) * _number(alpha, computed)
    kept = _number(beta, computed)
    if kept != 0:
        result = result + kept * _read(target, c_type)
    _write(target, c_type, result.astype(computed, copy=False))


def _trsm(
    letter: str, handle: int, side: int, uplo: int, trans: int, diag: int, m: int, n: int,
    alpha: int, Aarray: int, lda: int, Barray: int, ldb: int,
) -> None:  # fmt: skip
    lapack.run(
        f"{letter}trsm", SIDES[side], TRIANGLES[uplo], TRANSPOSES[trans], DIAGONALS[diag], m, n,
        at(alpha), at(Aarray), lda, at(Barray), ldb,
    )  # fmt: skip


def _getrfBatched(
    letter: str, handle: int, n: int, Aarray: int, lda: int, PivotArray: int, infoArray: int,
    batchSize: int,
) -> None:  # fmt: skip
    infos = []
    for i, matrix in enumerate(lapack.addresses(Aarray, batchSize)):
        pivots = at(PivotArray + 4 * n * i)
        infos.append(lapack.call(f"{letter}getrf", n, n, at(matrix), lda, pivots))
    lapack.put(infoArray, infos)


_routines = {
    letter + routine.__name__.removeprefix("_"): functools.partial(routine, letter)
    for letter in "sdcz"
    for routine in (_trsm, _getrfBatched)
}
globals().update(_routines)


def arguments() -> dict[str, list[str]]:
    """The names of each routine's arguments."""
    return {
        name: list(inspect.signature(routine).parameters) for name, routine in _routines.items()
    }
