"""The CUDA engine's operators on arrays, with NumPy standing in for CuPy, against stock torch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agreement import TOLERANCE, noncontiguous
from cuda_engine import on_cuda, simulated

from altbackend.cuda import fft, linalg, scan, sort, unique


def array(value: Any) -> Any:
    return value.detach().resolve_conj().numpy() if isinstance(value, torch.Tensor) else value


def assert_like(ours: Any, theirs: Any, factor: float = 1) -> None:
    ours = ours if isinstance(ours, tuple) else (ours,)
    theirs = (theirs,) if isinstance(theirs, torch.Tensor) else tuple(theirs)
    for a, b in zip(ours, theirs, strict=True):
        b = b.detach().resolve_conj()
        bound = factor * TOLERANCE.get(b.dtype, 0)
        given = torch.from_numpy(np.array(a, order="C"))
        torch.testing.assert_close(given, b, rtol=bound, atol=bound, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_matrix_exp(dtype: torch.dtype) -> None:
    for shape, scale in (((4, 4), 0.01), ((3, 5, 5), 1), ((2, 1, 3, 3), 4), ((2, 6, 6), 12)):
        a = scale * torch.randn(shape, dtype=dtype)
        wide = torch.complex128 if dtype.is_complex else torch.float64
        expected = torch.linalg.matrix_exp(a.to(wide)).to(dtype)
        size = expected.abs().amax((-1, -2), keepdim=True)
        for given in (a, noncontiguous(a)):
            assert_like(linalg.matrix_exp(array(given)) / size.numpy(), expected / size, 100)


@simulated
@pytest.mark.parametrize("library", ["cusolver", "cublas"])
def test_the_played_routines_take_cupys_arguments(library: str) -> None:
    """CuPy's module itself cannot be imported where there is no GPU."""
    import cupy_backends

    folder = Path(cupy_backends.__file__).parent / "cuda" / "libs"
    (binding,) = folder.glob(f"{library}.*.so")
    text = binding.read_bytes().decode("ascii", "replace")
    code = f"""
        import json
        from cupy_backends.cuda.libs import {library}
        print(json.dumps({library}.arguments()))
    """
    played = json.loads(on_cuda(code))
    assert len(played) >= 8
    for name, arguments in played.items():
        found = re.search(rf"\b{name}\(([^()]*)\)", text)
        assert found is not None, name
        theirs = [argument.split()[-1] for argument in found[1].split(",")]
        if isinstance(arguments, int):
            assert len(theirs) == arguments, name
        else:
            assert theirs == arguments, name


@pytest.mark.parametrize("normalization", [0, 1, 2])
@pytest.mark.parametrize("dim", [[0], [1, 2], [2, 0], []])
def test_fft(dim: list[int], normalization: int) -> None:
    aten = torch.ops.aten
    x = torch.randn(4, 5, 6, dtype=torch.complex64)
    for forward in (True, False):
        ours = fft.c2c(array(x), dim, normalization, forward)
        assert ours.dtype == np.complex64
        assert_like(ours, aten._fft_c2c(x, dim, normalization, forward), 4)
    if not dim:
        return
    for onesided in (True, False):
        ours = fft.r2c(array(x.real), dim, normalization, onesided)
        assert_like(ours, aten._fft_r2c(x.real, dim, normalization, onesided), 4)
    half = aten._fft_r2c(x.real, dim, 0, True)
    size = x.shape[dim[-1]]
    ours = fft.c2r(array(half), dim, normalization, size)
    assert_like(ours, aten._fft_c2r(half, dim, normalization, size), 16)


KINDS = [torch.float32, torch.int64, torch.bool]


def numbers(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(shape))
    x = torch.randint(-3, 4, shape, generator=generator).to(dtype)  # with equals
    if dtype.is_floating_point and x.dim() > 1:
        x[0, 1] = x[1, 0] = float("nan")
        x[1, 1] = float("inf")
    return x


SHAPES = [((4, 9), 0), ((4, 9), 1), ((2, 3, 5), 1), ((7,), 0), ((), 0)]


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
@pytest.mark.parametrize("dtype", KINDS)
def test_sort(dtype: torch.dtype, shape: tuple[int, ...], dim: int) -> None:
    x = numbers(shape, dtype)
    for given in (x, noncontiguous(x) if x.dim() else x):
        for descending in (False, True):
            expected = torch.sort(given, dim=dim, descending=descending, stable=True)
            assert_like(sort.sort(array(given), dim, descending=descending), expected)
            if dtype != torch.bool:
                k = min(2, x.shape[dim]) if x.dim() else 1
                values, places = sort.topk(array(given), k, dim, largest=descending)
                assert_like(values, torch.topk(given, k, dim, largest=descending).values)
                where = torch.from_numpy(np.ascontiguousarray(places)).reshape(places.shape)
                assert_like(values, given.gather(dim, where) if x.dim() else given)


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_selection(dtype: torch.dtype, shape: tuple[int, ...], dim: int) -> None:
    x = numbers(shape, dtype)
    k = min(3, x.shape[dim]) if x.dim() else 1
    assert_like(sort.kthvalue(array(x), k, dim)[0], torch.kthvalue(x, k, dim).values)
    for ignore, stock in ((False, torch.median), (True, torch.nanmedian)):
        found, where = sort.median(array(x), dim, ignore_nan=ignore)
        assert_like(found, stock(x, dim).values)
        place = torch.from_numpy(np.asarray(where))
        picked = x.gather(dim, place.unsqueeze(dim)).squeeze(dim) if x.dim() else x
        assert_like(found, picked)


@pytest.mark.parametrize("shape", [(4, 5), (3,), (), (0, 3)])
@pytest.mark.parametrize("dtype", KINDS)
def test_nonzero_and_unique(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.randint(-3, 4, shape).to(dtype)
    assert_like(sort.nonzero(array(x)), torch.nonzero(x).T)
    expected = torch.unique(x, return_inverse=True, return_counts=True)
    assert_like(unique.unique(array(x)), expected)
    expected = torch.unique_consecutive(x, return_inverse=True, return_counts=True)
    assert_like(unique.unique_consecutive(array(x)), expected)


@pytest.mark.parametrize("right", [False, True])
def test_searchsorted(right: bool) -> None:
    row = torch.tensor([1.0, 2.0, 2.0, 5.0])
    values = torch.tensor([[0.0, 2.0, 9.0], [1.0, 5.0, 3.0]])
    assert_like(
        sort.searchsorted(array(row), array(values), right=right),
        torch.searchsorted(row, values, right=right),
    )
    stacked = torch.stack([row, row + 1])
    assert_like(
        sort.searchsorted(array(stacked), array(values), right=right),
        torch.searchsorted(stacked, values, right=right),
    )


def test_bincount() -> None:
    x, weights = torch.tensor([1, 4, 1, 0]), torch.rand(4, dtype=torch.float64)
    assert_like(unique.bincount(array(x), least=7), torch.bincount(x, minlength=7))
    assert_like(unique.bincount(array(x), array(weights)), torch.bincount(x, weights))


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_logcumsumexp_of_complex_numbers(shape: tuple[int, ...], dim: int) -> None:
    x = torch.randn(shape, dtype=torch.complex64)
    assert_like(scan.logcumsumexp(array(x), dim), torch.logcumsumexp(x, dim))
    x[...] = -torch.inf
    assert_like(scan.logcumsumexp(array(x), dim), torch.logcumsumexp(x, dim))


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_scans(dtype: torch.dtype, shape: tuple[int, ...], dim: int) -> None:
    x = numbers(shape, dtype)
    for given in (x, noncontiguous(x) if x.dim() else x):
        assert_like(scan.cumsum(array(given), dim), torch.cumsum(given, dim))
        assert_like(scan.cumprod(array(given), dim), torch.cumprod(given, dim))
        assert_like(scan.cummax(array(given), dim), torch.cummax(given, dim))
        assert_like(scan.cummin(array(given), dim), torch.cummin(given, dim))
        if dtype.is_floating_point:
            assert_like(scan.logcumsumexp(array(given), dim), torch.logcumsumexp(given, dim))
