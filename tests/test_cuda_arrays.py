"""The CUDA engine's operators on arrays, with NumPy standing in for CuPy, against stock torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from agreement import TOLERANCE, noncontiguous

from altbackend.cuda import fft, linalg, scan, sort, unique

FLOATS = [torch.float32, torch.float64, torch.complex64]


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


def samples(name: str, dtype: torch.dtype) -> Iterator[Any]:
    from torch.testing._internal.common_methods_invocations import op_db

    op = next(o for o in op_db if o.name == name and not o.variant_test_name)
    if op.supports_dtype(dtype, "cpu"):
        taken = list(op.sample_inputs("cpu", dtype))
        yield from ((op, s) for s in taken[:: -(-len(taken) // 30) | 1])


def compared(name: str, dtype: torch.dtype, ours: Callable[[Any], Any], factor: float = 8) -> int:
    """Holds `ours(sample)` against the operator of op_db; how many samples there were."""
    count = 0
    for op, sample in samples(name, dtype):
        for spread in (False, True):
            given = sample
            if spread:
                given = sample.transform(
                    lambda t: noncontiguous(t) if isinstance(t, torch.Tensor) and t.dim() else t
                )
            expected = op.op(given.input, *given.args, **given.kwargs)
            found = ours(given)
            if found is None:
                continue
            assert_like(found, expected, factor)
            count += 1
    return count


def flat(sample: Any) -> tuple[list[Any], dict[str, Any]]:
    return [array(a) for a in (sample.input, *sample.args)], sample.kwargs


PLAIN: dict[str, Callable[..., Any]] = {
    "mm": linalg.mm,
    "bmm": linalg.bmm,
    "addmm": linalg.addmm,
    "baddbmm": linalg.baddbmm,
    "linalg.inv": linalg.inverse,
    "linalg.cholesky": linalg.cholesky,
    "linalg.solve": linalg.solve,
    "linalg.det": linalg.det,
    "linalg.slogdet": linalg.slogdet,
    "linalg.qr": linalg.qr,
    "matrix_exp": linalg.matrix_exp,
}
PRODUCTS = ("mm", "bmm", "addmm", "baddbmm")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", list(PLAIN))
def test_linear_algebra(name: str, dtype: torch.dtype) -> None:
    def ours(sample: Any) -> Any:
        given, named = flat(sample)
        return PLAIN[name](*given, **named)

    assert compared(name, dtype, ours, factor=8 if name in PRODUCTS else 100) > 0


@pytest.mark.parametrize("dtype", FLOATS)
def test_eigh(dtype: torch.dtype) -> None:
    x = torch.randn(3, 6, 6, dtype=dtype)
    a = x + x.mH
    for lower in (True, False):
        values, vectors = linalg.eigh(array(a), lower=lower)
        assert_like(values, torch.linalg.eigvalsh(a), 100)
        v = torch.from_numpy(vectors)
        torch.testing.assert_close(
            a @ v, v * torch.from_numpy(values)[:, None], rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 4, 4)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_svd(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    a = torch.randn(shape, dtype=dtype)
    for full in (False, True):
        u, s, vh = linalg.svd(array(a), full=full)
        expected = torch.linalg.svd(a, full_matrices=full)
        assert (u.shape, vh.shape) == (expected.U.shape, expected.Vh.shape)
        assert_like(s, expected.S, 100)
        n = s.shape[-1]
        again = (u[..., :n] * s[..., None, :]) @ vh[..., :n, :]
        np.testing.assert_allclose(again, array(a), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (2, 4, 4)])
def test_lstsq(shape: tuple[int, ...]) -> None:
    a = torch.randn(shape, dtype=torch.float64)
    b = torch.randn((*shape[:-1], 2), dtype=torch.float64)
    assert_like(linalg.lstsq(array(a), array(b)), torch.linalg.lstsq(a, b).solution, 100)


def test_addmm_does_not_look_at_what_beta_0_takes_out() -> None:
    nan = np.full((2, 2), np.nan, dtype=np.float32)
    one = np.eye(2, dtype=np.float32)
    assert np.array_equal(linalg.addmm(nan, one, one, beta=0, alpha=3), 3 * one)


def test_a_matrix_without_a_factorization_raises() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        linalg.cholesky(-np.eye(3))


def test_matrix_exp_of_large_matrices() -> None:
    a = 30 * torch.randn(2, 5, 5, dtype=torch.float64)
    expected = torch.linalg.matrix_exp(a)
    np.testing.assert_allclose(linalg.matrix_exp(array(a)), array(expected), rtol=1e-8)


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
    assert_like(sort.nonzero(array(x)), torch.nonzero(x))
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
