"""Factorizations, solvers and what PyTorch composes of them, against cpu."""

from __future__ import annotations

import itertools

import pytest
import torch
from agreement import (
    assert_agrees,
    assert_same_error,
    check_op_samples,
    noncontiguous,
    op_samples,
    runs_on_stock,
)

import altbackend

DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]
BATCHES = [(), (3,), (2, 1, 3), (0,)]
linalg = torch.linalg


def matrices(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    """Well conditioned: every factorization of them is stable and its signs are not in doubt."""
    m, n = shape[-2:]
    return torch.randn(shape, dtype=dtype) + 2 * torch.eye(m, n, dtype=dtype)


def positive(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    a = torch.randn(shape, dtype=dtype)
    return a @ a.mH + torch.eye(shape[-1], dtype=dtype)


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(
        [
            "cholesky",
            "cholesky_inverse",
            "cholesky_solve",
            "geqrf",
            "linalg.cholesky",
            "linalg.cholesky_ex",
            "linalg.cond",
            "linalg.det",
            "linalg.eigh",
            "linalg.eigvals",
            "linalg.eigvalsh",
            "linalg.householder_product",
            "linalg.inv",
            "linalg.inv_ex",
            "linalg.ldl_factor",
            "linalg.ldl_factor_ex",
            "linalg.ldl_solve",
            "linalg.lstsq",
            "linalg.lstsq.grad_oriented",
            "linalg.lu",
            "linalg.lu_factor",
            "linalg.lu_factor_ex",
            "linalg.lu_solve",
            "linalg.matrix_norm",
            "linalg.matrix_power",
            "linalg.matrix_rank",
            "linalg.matrix_rank.hermitian",
            "linalg.norm",
            "linalg.pinv",
            "linalg.pinv.hermitian",
            "linalg.qr",
            "linalg.slogdet",
            "linalg.solve",
            "linalg.solve_ex",
            "linalg.solve_triangular",
            "linalg.svd",
            "linalg.svdvals",
            "linalg.tensorinv",
            "linalg.tensorsolve",
            "linalg.vander",
            "logdet",
            "lu",
            "lu_solve",
            "lu_unpack",
            "matrix_exp",
            "ormqr",
            "pinverse",
            "qr",
            "svd",
            "triangular_solve",
        ],
        [torch.float64, torch.complex64],
    ),
)
def test_samples(op, dtype):
    check_op_samples(op, dtype, factor=64, most=16)


# The functions of a square matrix, a positive one and a tall one, each with the results that count.
SQUARE = {
    "lu_factor": linalg.lu_factor,
    "lu": linalg.lu,
    "det": linalg.det,
    "slogdet": linalg.slogdet,
    "inv": linalg.inv,
    "inv_ex": linalg.inv_ex,
    "eig": linalg.eig,
    "eigvals": linalg.eigvals,
    "matrix_exp": linalg.matrix_exp,
    "solve": lambda a: linalg.solve(a, a.mT),
    "solve_right": lambda a: linalg.solve(a, a.mT, left=False),
    "solve_upper": lambda a: linalg.solve_triangular(a, a.mT, upper=True),
    "solve_lower_unit": lambda a: linalg.solve_triangular(
        a, a.mH, upper=False, left=False, unitriangular=True
    ),
    "ldl_factor": lambda a: linalg.ldl_factor(a + a.mT),
    "ldl_factor_hermitian": lambda a: linalg.ldl_factor(a + a.mH, hermitian=True),
}
POSITIVE = {
    "cholesky": linalg.cholesky,
    "cholesky_upper": lambda a: linalg.cholesky(a, upper=True),
    "cholesky_old": torch.cholesky,
    "cholesky_inverse": torch.cholesky_inverse,
    "cholesky_inverse_upper": lambda a: torch.cholesky_inverse(a, upper=True),
    "cholesky_solve": lambda a: torch.cholesky_solve(a.mT, a),
    "eigh": linalg.eigh,
    "eigh_upper": lambda a: linalg.eigh(a, UPLO="U"),
    "eigvalsh": linalg.eigvalsh,
    "matrix_rank": lambda a: linalg.matrix_rank(a, hermitian=True),
}
RECTANGULAR = {
    "qr": linalg.qr,
    "qr_complete": lambda a: linalg.qr(a, "complete"),
    "qr_r": lambda a: linalg.qr(a, "r"),
    "geqrf": torch.geqrf,
    "ormqr": lambda a: torch.ormqr(*torch.geqrf(a), a, transpose=True),
    "svd": lambda a: linalg.svd(a, full_matrices=False),
    "svd_full": linalg.svd,
    "svdvals": linalg.svdvals,
    "pinv": linalg.pinv,
    "cond": linalg.cond,
    "lu_factor": linalg.lu_factor,
    "lu": linalg.lu,
    "lstsq": lambda a: linalg.lstsq(a, a),
}


def check(function, *arguments):
    assert_agrees(function, *arguments, factor=64)
    spread = [noncontiguous(a) for a in arguments]
    if runs_on_stock(function, spread):  # matrix_exp views its input
        assert_agrees(function, *spread, factor=64, strides=False)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", SQUARE)
def test_square(name, dtype):
    torch.manual_seed(0)
    for batch, n in itertools.product(BATCHES, [1, 4, 9]):
        check(SQUARE[name], matrices(*batch, n, n, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", POSITIVE)
def test_positive(name, dtype):
    torch.manual_seed(0)
    for batch, n in itertools.product(BATCHES, [1, 4, 9]):
        check(POSITIVE[name], positive(*batch, n, n, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", RECTANGULAR)
def test_rectangular(name, dtype):
    torch.manual_seed(0)
    for batch, (m, n) in itertools.product(BATCHES, [(5, 3), (3, 5), (4, 4)]):
        check(RECTANGULAR[name], matrices(*batch, m, n, dtype=dtype))


@pytest.mark.parametrize("name", [*SQUARE, *POSITIVE])
def test_no_rows(name):
    function = SQUARE.get(name) or POSITIVE[name]
    for batch in [(), (3,)]:
        assert_agrees(function, torch.empty(*batch, 0, 0))


@pytest.mark.parametrize("name", sorted(set(RECTANGULAR) - {"cond", "lstsq"}))
def test_no_rows_or_columns(name):
    for shape in [(0, 3), (3, 0), (2, 0, 3)]:
        assert_agrees(RECTANGULAR[name], torch.empty(shape))


@pytest.mark.parametrize("n", [200])
def test_large_batch_and_large_matrix(n):
    """Whole matrices in each thread, and one matrix in the library's threads."""
    torch.manual_seed(0)
    for function in (linalg.inv, linalg.slogdet, lambda a: linalg.solve(a, a[..., :2])):
        assert_agrees(function, matrices(n, n, dtype=torch.float64) + n * torch.eye(n), factor=64)
        assert_agrees(function, matrices(300, 8, 8, dtype=torch.float64) + 8 * torch.eye(8))
    assert_agrees(linalg.eigvalsh, positive(300, 8, 8, dtype=torch.float64), factor=64)
    assert_agrees(linalg.svdvals, matrices(300, 8, 5, dtype=torch.complex128), factor=64)
    assert_agrees(lambda a: linalg.qr(a)[1].abs(), matrices(300, 8, 5, dtype=torch.float64))


def test_broadcast():
    torch.manual_seed(0)
    a = matrices(2, 1, 4, 4, dtype=torch.float64)
    b = torch.randn(3, 4, 2, dtype=torch.float64)
    lu, pivots = linalg.lu_factor(a)
    for adjoint in (False, True):
        assert_agrees(lambda x, p, y, t=adjoint: linalg.lu_solve(x, p, y, adjoint=t), lu, pivots, b)
    assert_agrees(linalg.solve, a, b)
    assert_agrees(lambda x, y: linalg.solve_triangular(x, y, upper=True), a, b)
    assert_agrees(lambda x, y: torch.triangular_solve(y, x, transpose=True), a, b)
    assert_agrees(lambda x, y: torch.cholesky_solve(y, x), a, b)
    # Stock reads past the end of factors that broadcast, so here they are of the whole batch.
    ld, order = linalg.ldl_factor((a + a.mT).expand(2, 3, 4, 4))
    assert_agrees(linalg.ldl_solve, ld, order, b)
    expected = linalg.ldl_solve(ld, order, b)
    actual = linalg.ldl_solve(ld[:, :1].to("alt"), order[:, :1].to("alt"), b.to("alt"))
    torch.testing.assert_close(actual.cpu(), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("driver", [None, "gels", "gelsy", "gelsd", "gelss"])
def test_lstsq(driver, dtype):
    torch.manual_seed(0)

    def solve(a, b):
        return tuple(linalg.lstsq(a, b, driver=driver))

    shapes = [((5, 3), (5, 2)), ((3, 5), (3, 2)), ((4, 4), (4,)), ((2, 5, 3), (2, 5))]
    shapes += [((1, 5, 3), (4, 5, 2)), ((4, 5, 3), (1, 5, 2))]
    shapes += [((0, 3), (0, 2)), ((2, 3, 0), (2, 3))]
    for left, right in shapes:
        a, b = torch.randn(left, dtype=dtype), torch.randn(right, dtype=dtype)
        assert_agrees(solve, a, b, factor=16)
        assert_agrees(solve, noncontiguous(a), noncontiguous(b), factor=16, strides=False)
    flat = torch.ones(5, 3, dtype=dtype)
    if driver != "gels":
        assert_agrees(solve, flat, torch.randn(5, 2, dtype=dtype), factor=16)
        # Stock's gelsy reads memory that nobody wrote, and may find another rank than 2.
        diagonal = torch.diag(torch.tensor([4.0, 1.0, 3.0])).to("alt", dtype)
        sides = torch.ones(3, 1, dtype=dtype, device="alt")
        assert linalg.lstsq(diagonal, sides, rcond=0.5, driver=driver).rank == 2


def test_out():
    torch.manual_seed(0)
    a = matrices(3, 3, dtype=torch.float64)
    empties = [(0,), (3, 3), (3,)]
    for vectors, values in itertools.product(empties[:2], [(0,), (3,)]):
        assert_agrees(
            lambda x, w, v: linalg.eig(x, out=(w, v)),
            a,
            torch.empty(values, dtype=torch.complex128),
            torch.empty(vectors, dtype=torch.complex128),
            factor=16,
        )
    for shape in empties[:2]:
        out = torch.empty(shape, dtype=torch.float64)
        spread = noncontiguous(torch.zeros(3, 3, dtype=torch.float64))
        for target in (out, spread):
            assert_agrees(lambda x, o: linalg.inv(x, out=o), a, target, factor=16)
            assert_agrees(lambda x, o: linalg.cholesky(x @ x.mT, out=o), a, target, factor=16)
            assert_agrees(lambda x, o: linalg.solve(x, x.mT, out=o), a, target, factor=16)
            assert_agrees(lambda x, o: torch.cholesky_solve(x, x.mT, out=o), a, target, factor=16)
            assert_agrees(
                lambda x, o: linalg.solve_triangular(x, x.mT, upper=True, out=o), a, target
            )
    assert_agrees(
        lambda x, s, r, k, v: linalg.lstsq(x, x, driver="gelsd", out=(s, r, k, v)),
        a,
        torch.empty(3, 3, dtype=torch.float64),
        torch.empty(0, dtype=torch.float64),
        torch.empty((), dtype=torch.int64),
        torch.empty(3, dtype=torch.float64),
        factor=16,
    )
    assert_agrees(
        lambda x, o: linalg.eigvals(x, out=o), a, torch.empty(0, dtype=torch.complex128), factor=16
    )


def test_gradients():
    torch.manual_seed(0)
    a = matrices(2, 4, 4, dtype=torch.float64).requires_grad_()
    tall = matrices(2, 5, 3, dtype=torch.float64).requires_grad_()
    b = torch.randn(2, 5, 2, dtype=torch.float64).requires_grad_()
    for function in (linalg.inv, linalg.det, linalg.slogdet, linalg.matrix_exp, linalg.lu):
        assert_agrees(function, a, double_backward=True, factor=64)
    assert_agrees(lambda x: linalg.cholesky(x @ x.mT), a, double_backward=True, factor=64)
    assert_agrees(lambda x: linalg.eigh(x @ x.mT)[0], a, factor=64)
    # An eigenvector is known up to a factor of modulus 1.
    assert_agrees(lambda x: [t.abs() for t in linalg.eig(x)], a, factor=64)
    assert_agrees(linalg.qr, tall, factor=64)
    assert_agrees(linalg.svdvals, tall, factor=64)
    assert_agrees(linalg.pinv, tall, factor=64)
    assert_agrees(lambda x, y: linalg.lstsq(x, y).solution, tall, b, factor=64)
    tau = torch.rand(2, 3, dtype=torch.float64).requires_grad_()
    assert_agrees(linalg.householder_product, tall, tau, factor=64)


def test_lazily_conjugated():
    torch.manual_seed(0)
    a = matrices(2, 4, 4, dtype=torch.complex128)
    for function in (
        lambda x: linalg.inv(x.conj()),
        lambda x: linalg.solve(x.mH, x),
        lambda x: linalg.solve_triangular(x.mH, x.conj(), upper=False),
        lambda x: linalg.eigvals(x.mH),
        lambda x: linalg.svdvals(x.conj()),
        lambda x: linalg.cholesky((x @ x.mH).conj()),
        lambda x: linalg.lstsq(x.conj(), x.mH).solution,
    ):
        assert_agrees(function, a, factor=64, strides=False)


NAN = torch.full((3, 3), float("nan"))
BAD_INPUT = {
    "cholesky": lambda x: linalg.cholesky(x - 4 * torch.eye(3, device=x.device)),
    "cholesky_old": lambda x: torch.cholesky(x - 4 * torch.eye(3, device=x.device)),
    "cholesky_batch": lambda x: linalg.cholesky(torch.stack([x + x.mT, -x])),
    "cholesky_check": lambda x: linalg.cholesky_ex(-x, check_errors=True),
    "inv": lambda x: linalg.inv(torch.zeros_like(x)),
    "inv_batch": lambda x: linalg.inv(torch.stack([x, torch.zeros_like(x)])),
    "solve": lambda x: linalg.solve(torch.ones_like(x), x),
    "cholesky_inverse": lambda x: torch.cholesky_inverse(torch.zeros_like(x)),
    "svd": lambda x: linalg.svd(x * NAN.to(x.device)),
    "eig": lambda x: linalg.eig(x * NAN.to(x.device)),
    "eigh": lambda x: linalg.eigh(x * NAN.to(x.device)),
    "eigh_uplo": lambda x: linalg.eigh(x, UPLO="X"),
    "not_square": lambda x: linalg.inv(x[:2]),
    "eig_not_square": lambda x: linalg.eig(x[:2]),
    "eigvals_vector": lambda x: linalg.eigvals(x[0]),
    "eig_half": lambda x: linalg.eig(x.half()),
    "eig_int": lambda x: linalg.eig(x.int()),
    "eig_out": lambda x: linalg.eigvals(x, out=torch.empty(0, device=x.device)),
    "svd_half": lambda x: linalg.svd(x.half()),
    "svd_int": lambda x: linalg.svd(x.int()),
    "svd_driver": lambda x: linalg.svd(x, driver="gesvd"),
    "qr_mode": lambda x: linalg.qr(x, "both"),
    "lu_pivot": lambda x: linalg.lu_factor(x, pivot=False),
    "lu_solve_low": lambda x: linalg.lu_solve(x, x[0].int() * 0, x),
    "lu_solve_high": lambda x: linalg.lu_solve(x, x[0].int() * 0 + 4, x),
    "lu_unpack": lambda x: torch.lu_unpack(x, x[0].int() * 0 + 4),
    "lstsq_driver": lambda x: linalg.lstsq(x, x, driver="qr"),
    "lstsq_dtype": lambda x: linalg.lstsq(x, x.double()),
    "lstsq_rows": lambda x: linalg.lstsq(x, x[:2]),
    "lstsq_vector": lambda x: linalg.lstsq(x, x[0, :2]),
    "lstsq_1d": lambda x: linalg.lstsq(x[0], x),
    "lstsq_0d": lambda x: linalg.lstsq(x, x[0, 0]),
    "lstsq_dims": lambda x: linalg.lstsq(x[None, None], x),
    "lstsq_half": lambda x: linalg.lstsq(x.half(), x.half()),
    "triangular": lambda x: linalg.solve_triangular(x, x[:2], upper=True),
    "ldl_hermitian": lambda x: linalg.ldl_solve(x, x[0].int(), x[:2]),
    "householder": lambda x: linalg.householder_product(x[:2], x[0]),
    "ormqr": lambda x: torch.ormqr(x, x[0], x[:2]),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input(name):
    torch.manual_seed(0)
    assert_same_error(BAD_INPUT[name], matrices(3, 3, dtype=torch.float32))


def test_eigvals_refuses_what_crashes_lapack():
    """Stock's process ends in MKL here, where it has no gradient to compute."""
    with pytest.raises(RuntimeError, match="should not contain infs or NaNs"):
        linalg.eigvals(NAN.to("alt"))


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.complex128], ids=str
)
def test_matrix_exp_of_all_norms(dtype):
    """Every degree of the approximation, and squarings. Of the half types stock makes nonsense."""
    torch.manual_seed(0)
    a = torch.randn(5, 5, dtype=dtype if dtype.is_complex else torch.float64)
    a = a / linalg.matrix_norm(a, ord=1)
    for scale in (0, 1e-3, 0.1, 0.5, 1.5, 4, 30):
        x = (scale * a).to(dtype)
        if dtype.itemsize > 2:
            assert_agrees(linalg.matrix_exp, x, factor=256, strides=False)
        else:
            expected = linalg.matrix_exp(x.double()).to(dtype)
            torch.testing.assert_close(linalg.matrix_exp(x.to("alt")).cpu(), expected)
    assert linalg.matrix_exp(NAN.to("alt")).isnan().all()


def test_failed_factorization_is_caught():
    with pytest.raises(torch.linalg.LinAlgError):
        linalg.cholesky(-torch.eye(3, device="alt"))
    info = linalg.cholesky_ex(-torch.eye(3, device="alt")).info
    assert info.device.type == "alt"
    assert info.item() == 1


def test_composites():
    """What the library has in Python and C++ above the factorizations."""
    torch.manual_seed(0)
    a = matrices(6, 4, dtype=torch.float64)
    with altbackend.no_fallback():
        assert_agrees(lambda x: linalg.tensorinv(x.reshape(2, 2, 4), ind=2), a[:4], factor=64)
        assert_agrees(lambda x: linalg.tensorsolve(x[:4].reshape(2, 2, 4), x[:2, :2]), a, factor=64)
        assert_agrees(lambda x: linalg.multi_dot([x, x.mT, x]), a)
        assert_agrees(lambda x: linalg.matrix_power(x[:4], -3), a, factor=64)
        assert_agrees(lambda x: linalg.matrix_norm(x, ord="nuc"), a)
        assert_agrees(lambda x: linalg.matrix_norm(x, ord=-2), a)
        assert_agrees(lambda x: torch.logdet(x.mT @ x), a)
        assert_agrees(lambda x: torch.pinverse(x), a)
        assert_agrees(lambda x: torch.svd(x)[1], a)
        assert_agrees(lambda x: torch.corrcoef(x), a)
