"""cuSOLVER, played by LAPACK: what altbackend/cuda/linalg.py calls, with CuPy's arguments.

Every routine is here for the four dtypes, by its letter: ``spotrf``, ``dpotrf``, ``cpotrf``,
``zpotrf``. tests/test_cuda_linalg.py compares the arguments with those of CuPy's own.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from cupy_backends.cuda.libs import lapack
from cupy_backends.cuda.libs.lapack import SIDES, TRANSPOSES, TRIANGLES, at, room

_HANDLE = 11  # as cupy.cuda.device gives it
_WORK = 5  # numbers that every routine asks for, to see that it gets them
_COMPLEX = {"orgqr": "ungqr", "ormqr": "unmqr", "syevd": "heevd"}
_routines: dict[str, Callable[..., Any]] = {}
_counts: dict[Callable[..., Any], int] = {}


def _routine(function: Callable[..., Any]) -> Callable[..., Any]:
    """Offers a function of a letter as the routines of the four dtypes."""
    base, *suffix = function.__name__.removeprefix("_").split("_")
    for letter in "sdcz":
        real = _COMPLEX.get(base, base) if letter in "cz" else base
        name = letter + "_".join([real, *suffix])
        _routines[name] = function
        globals()[name] = functools.partial(_checked, function, letter)
    return function


def _checked(function: Callable[..., Any], letter: str, handle: int, *arguments: Any) -> Any:
    assert handle == _HANDLE
    return function(letter, handle, *arguments)


def _named(letter: str, name: str) -> str:
    return letter + (_COMPLEX.get(name, name) if letter in "cz" else name)


def _size_of(routine: str, count: int) -> None:
    def size(letter: str, handle: int, *sizes: Any) -> int:
        assert len(sizes) == count, (routine, sizes)
        return _WORK

    size.__name__ = f"_{routine}_bufferSize"
    _routine(size)
    _counts[size] = 1 + count


for _name, _count in (("potrf", 4), ("getrf", 4), ("geqrf", 4), ("orgqr", 6), ("ormqr", 10)):
    _size_of(_name, _count)
for _name, _count in (("syevd", 6), ("gesvd", 2)):
    _size_of(_name, _count)


@_routine
def _potrf(
    letter: str, handle: int, uplo: int, n: int, A: int, lda: int, work: int, lwork: int,
    devInfo: int,
) -> None:  # fmt: skip
    assert lwork == _WORK
    info = lapack.call(f"{letter}potrf", TRIANGLES[uplo], n, at(A), lda)
    lapack.put(devInfo, [info])


@_routine
def _potrfBatched(
    letter: str, handle: int, uplo: int, n: int, Aarray: int, lda: int, infoArray: int,
    batchSize: int,
) -> None:  # fmt: skip
    lapack.put(
        infoArray,
        [
            lapack.call(f"{letter}potrf", TRIANGLES[uplo], n, at(matrix), lda)
            for matrix in lapack.addresses(Aarray, batchSize)
        ],
    )


@_routine
def _potrs(
    letter: str, handle: int, uplo: int, n: int, nrhs: int, A: int, lda: int, B: int, ldb: int,
    devInfo: int,
) -> None:  # fmt: skip
    info = lapack.call(f"{letter}potrs", TRIANGLES[uplo], n, nrhs, at(A), lda, at(B), ldb)
    lapack.put(devInfo, [info])


@_routine
def _getrf(
    letter: str, handle: int, m: int, n: int, A: int, lda: int, work: int, devIpiv: int,
    devInfo: int,
) -> None:  # fmt: skip
    info = lapack.call(f"{letter}getrf", m, n, at(A), lda, at(devIpiv))
    lapack.put(devInfo, [info])


@_routine
def _getrs(
    letter: str, handle: int, trans: int, n: int, nrhs: int, A: int, lda: int, devIpiv: int,
    B: int, ldb: int, devInfo: int,
) -> None:  # fmt: skip
    given = (TRANSPOSES[trans], n, nrhs, at(A), lda, at(devIpiv), at(B), ldb)
    lapack.put(devInfo, [lapack.call(f"{letter}getrs", *given)])


@_routine
def _geqrf(
    letter: str, handle: int, m: int, n: int, A: int, lda: int, tau: int, work: int, lwork: int,
    devInfo: int,
) -> None:  # fmt: skip
    assert lwork == _WORK
    space = room(letter, n)
    info = lapack.call(f"{letter}geqrf", m, n, at(A), lda, at(tau), space, max(1, n))
    lapack.put(devInfo, [info])


@_routine
def _orgqr(
    letter: str, handle: int, m: int, n: int, k: int, A: int, lda: int, tau: int, work: int,
    lwork: int, devInfo: int,
) -> None:  # fmt: skip
    assert lwork == _WORK and m >= n >= k
    space = room(letter, n)
    name = _named(letter, "orgqr")
    lapack.put(devInfo, [lapack.call(name, m, n, k, at(A), lda, at(tau), space, max(1, n))])


@_routine
def _ormqr(
    letter: str, handle: int, side: int, trans: int, m: int, n: int, k: int, A: int, lda: int,
    tau: int, C: int, ldc: int, work: int, lwork: int, devInfo: int,
) -> None:  # fmt: skip
    assert lwork == _WORK
    size = max(1, m, n)
    given = (SIDES[side], TRANSPOSES[trans], m, n, k, at(A), lda, at(tau), at(C), ldc)
    name = _named(letter, "ormqr")
    lapack.put(devInfo, [lapack.call(name, *given, room(letter, size), size)])


@_routine
def _syevd(
    letter: str, handle: int, jobz: int, uplo: int, n: int, A: int, lda: int, W: int, work: int,
    lwork: int, info: int,
) -> None:  # fmt: skip
    assert lwork == _WORK
    numbers = 1 + 6 * n + 2 * n * n
    real = {"s": "s", "d": "d", "c": "s", "z": "d"}[letter]
    spaces: list[Any] = [room(letter, numbers), numbers]
    if letter in "cz":
        spaces += [room(real, 1 + 5 * n + 2 * n * n), 1 + 5 * n + 2 * n * n]
    spaces += [room("s", 3 + 5 * n), 3 + 5 * n]
    name = _named(letter, "syevd")
    given = ("NV"[jobz], TRIANGLES[uplo], n, at(A), lda, at(W))
    lapack.put(info, [lapack.call(name, *given, *spaces)])


@_routine
def _gesvd(
    letter: str, handle: int, jobu: int, jobvt: int, m: int, n: int, A: int, lda: int, S: int,
    U: int, ldu: int, VT: int, ldvt: int, Work: int, lwork: int, rwork: int, devInfo: int,
) -> None:  # fmt: skip
    assert lwork == _WORK and m >= n and jobu == jobvt and chr(jobu) in "NSA"
    numbers = 4 * n * n + 9 * m + 100
    real = {"s": "s", "d": "d", "c": "s", "z": "d"}[letter]
    spaces: list[Any] = [room(letter, numbers), numbers]
    if letter in "cz":
        spaces.append(room(real, 5 * n * n + 7 * n + 2 * m * n + 2 * n * n + n))
    spaces.append(room("s", 8 * n))
    given = (chr(jobu), m, n, at(A), lda, at(S), at(U), ldu, at(VT), ldvt)
    lapack.put(devInfo, [lapack.call(f"{letter}gesdd", *given, *spaces)])


def arguments() -> dict[str, Any]:
    """The names of each routine's arguments, or only their count."""
    return {
        name: _counts.get(function) or list(inspect.signature(function).parameters)[1:]
        for name, function in _routines.items()
    }
