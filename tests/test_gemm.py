"""Matrix products: layouts, empty sides, alpha and beta, dtypes, out=, threads, errors."""

import itertools

import pytest
import torch
from agreement import (
    FLOATING,
    assert_agrees,
    assert_same,
    assert_same_error,
    check_op_samples,
    copy_to,
    op_samples,
    use_threads,
)

import altbackend

INTEGRAL = [torch.uint8, torch.int8, torch.int32, torch.int64]
COMPLEX = [torch.complex64, torch.complex128]
# m, k, n; the last is cut into strips, the others are not.
SIZES = [
    (3, 4, 5),
    (1, 1, 1),
    (1, 7, 1),
    (6, 5, 1),
    (1, 5, 6),
    (0, 3, 2),
    (3, 0, 2),
    (150, 90, 130),
]


def random(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    if dtype.is_floating_point or dtype.is_complex:
        wide = torch.complex128 if dtype.is_complex else torch.float64
        return torch.randn(shape, dtype=wide).to(dtype)
    return torch.randint(0 if dtype == torch.uint8 else -9, 9, shape, dtype=dtype)


def layouts(*shape: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Matrices: rows contiguous, columns contiguous, part of another, neither, a single row.

    The last is expanded on the device, as memory that overlaps itself cannot be copied to.
    """
    batch, rows, columns = shape[:-2], shape[-2], shape[-1]
    return [
        random(*shape, dtype=dtype),
        random(*batch, columns, rows, dtype=dtype).mT,
        random(*batch, rows + 1, columns + 3, dtype=dtype)[..., 1:, 3:],
        random(*batch, 2 * rows, 2 * columns, dtype=dtype)[..., ::2, ::2],
        random(*batch, 1, columns, dtype=dtype),
    ]


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(
        [
            "mm",
            "addmm",
            "addmm.decomposed",
            "bmm",
            "baddbmm",
            "addbmm",
            "addmv",
            "addr",
            "mv",
            "dot",
            "vdot",
            "matmul",
            "__rmatmul__",
            "inner",
            "outer",
            "einsum",
            "tensordot",
            "linalg.vecdot",
            "linalg.multi_dot",
            "nn.functional.linear",
            "nn.functional.bilinear",
        ],
        [*FLOATING, torch.int64, torch.complex64, torch.complex128],
    ),
)
def test_samples(op, dtype):
    check_op_samples(op, dtype, factor=4)


@pytest.mark.parametrize("dtype", FLOATING + INTEGRAL + COMPLEX, ids=str)
@pytest.mark.parametrize("batch", [(), (3,), (40,)], ids=str)
def test_layouts(batch, dtype):
    torch.manual_seed(0)
    add = torch.baddbmm if batch else torch.addmm
    factors = itertools.cycle([(1, 1), (2, 3), (0, 2), (1, 0)])  # beta and alpha
    for size in SIZES:
        m, k, n = size
        left, right = (*batch, m, k), (*batch, k, n)

        def product(x, y, left=left, right=right):
            return x.expand(left) @ y.expand(right)

        def sum_with_product(s, x, y, beta, alpha, left=left, right=right):
            return add(s, x.expand(left), y.expand(right), beta=beta, alpha=alpha)

        pairs = itertools.product(layouts(*left, dtype=dtype), layouts(*right, dtype=dtype))
        # Every pair for the first size, every sixth (a diagonal) for the others.
        for a, b in itertools.islice(pairs, 0, None, 1 if size == SIZES[0] else 6):
            assert_agrees(product, a, b, factor=16)
            bias = random(n, dtype=dtype)
            assert_agrees(sum_with_product, bias, a, b, *next(factors), factor=32)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.complex64, torch.int32], ids=str
)
def test_out(dtype):
    torch.manual_seed(0)
    a, b = random(5, 6, dtype=dtype), random(6, 7, dtype=dtype)
    for out in layouts(5, 7, dtype=dtype)[:4]:
        assert_agrees(lambda o, x, y: torch.mm(x, y, out=o), out, a, b, factor=4)
        assert_agrees(lambda o, x, y: o.addmm_(x, y, beta=2), out, a, b, factor=4)
        assert_agrees(lambda o, x, y: torch.addmm(y[0], x, y, out=o), out, a, b, factor=4)
        assert_agrees(lambda o, x, y: torch.bmm(x[None], y[None], out=o[None]), out, a, b, factor=4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("k", [1, 2, 17, 64, 1030])
@pytest.mark.parametrize("m", [1, 3, 8, 130, 700])
def test_vectors(m, k, dtype):
    """A matrix by a vector, from either side, and outer products (gemm_vector.cpp)."""
    torch.manual_seed(m * k)
    for matrix in (random(m, k, dtype=dtype), random(k, m, dtype=dtype).mT):
        x, y = random(k, dtype=dtype), random(m, dtype=dtype)
        assert_agrees(torch.mv, matrix, x, factor=16)
        assert_agrees(torch.mm, matrix, x[:, None], factor=16)
        assert_agrees(torch.mm, matrix, x.repeat_interleave(2)[::2, None], factor=16)
        assert_agrees(torch.mm, y[None], matrix, factor=16)
        assert_agrees(torch.addmv, y, matrix, x, factor=16)
        assert_agrees(lambda s, a, b: s.addmv_(a, b), y, matrix, x, factor=16)
        assert_agrees(torch.outer, x, y)
        assert_agrees(lambda s, a, b: s.addmm_(a[:, None], b[None]), matrix, y, x, factor=16)
    wide = random(m, 2 * k, dtype=dtype)
    assert_agrees(
        lambda a, b: (a[:, ::2] @ b, a[:, :k] @ b), wide, random(k, dtype=dtype), factor=16
    )


def test_beta_zero_does_not_read():
    nan = torch.full((4, 4), float("nan"))
    a = torch.randn(4, 4)
    for function in (
        lambda s, x: torch.addmm(s, x, x, beta=0),
        lambda s, x: torch.baddbmm(s[None], x[None], x[None], beta=0),
        lambda s, x: torch.addbmm(s, x[None], x[None], beta=0),
        lambda s, x: torch.addmv(s[0], x, x[0], beta=0),
        lambda s, x: torch.addmm(s, x[:, :0], x[:0], beta=0),
        lambda s, x: torch.addmv(s[0], x[:, :0], x[0, :0], beta=0),
    ):
        assert_agrees(function, nan, a)


@pytest.mark.parametrize("dtype", FLOATING + INTEGRAL + COMPLEX, ids=str)
def test_dot(dtype):
    torch.manual_seed(0)
    for n in (0, 1, 5, 1000):
        x, y = random(2 * n, dtype=dtype)[::2], random(n, dtype=dtype)
        assert_agrees(torch.dot, x, y, factor=64)
        assert_agrees(torch.vdot, x, y, factor=64)
    assert_agrees(
        lambda x, y: torch.dot(x.expand(9), y),
        random(1, dtype=dtype),
        random(9, dtype=dtype),
        factor=8,
    )


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("n", [1, 33, 8191, 100_003])
def test_long_dot(n, dtype):
    """In vectors where both are contiguous, as exact as a sum in float allows; else in a loop."""
    torch.manual_seed(0)
    x, y = (torch.randn(2 * n, dtype=torch.float64).to(dtype) for _ in range(2))
    for a, b in ((x[:n], y[n:]), (x[::2], y[:n])):
        found = torch.dot(a.to("alt"), b.to("alt")).cpu()
        exact = torch.dot(a.double(), b.double())
        scale = a.double().abs().dot(b.double().abs())
        assert found.dtype == dtype
        sums = 1e-15 if dtype == torch.float64 else 1e-6
        assert (found.double() - exact).abs() <= torch.finfo(dtype).eps * exact.abs() + sums * scale


@pytest.mark.parametrize(
    ("m", "k", "n"),
    [(1, 1, 1), (5, 31, 7), (17, 64, 33), (130, 1030, 70), (70, 513, 200)],
)
def test_bfloat16_in_any_layout(m, k, n):
    """Pairs along k, side by side or not, on an even address or not, the last one a half."""
    torch.manual_seed(0)

    def draw(rows, columns):
        return torch.randn(rows, columns).bfloat16().to("alt")

    def layouts(rows, columns):
        yield draw(rows, columns)
        yield draw(columns, rows).t()
        yield draw(rows, columns + 3)[:, 1:-2]
        yield draw(columns, rows + 3)[:, 1:-2].t()

    for a, b in itertools.product(layouts(m, k), layouts(k, n)):
        exact = a.cpu().double() @ b.cpu().double()
        scale = a.cpu().double().abs() @ b.cpu().double().abs()
        error = (torch.mm(a, b).cpu().double() - exact).abs()
        assert (error <= 2**-8 * exact.abs() + 1e-6 * scale).all()


def test_conjugate_and_negative_views():
    a, b = torch.randn(4, 5, dtype=torch.complex64), torch.randn(4, 6, dtype=torch.complex64)
    assert_agrees(lambda x, y: x.mH @ y, a, b)
    assert_agrees(lambda x, y: x.conj().imag.mT @ y.imag, a, b)
    assert_agrees(lambda x, y: torch.dot(x[0].conj(), y[0, :5]), a, b)


@pytest.mark.parametrize("use_gelu", [False, True])
def test_addmm_activation(use_gelu):
    arguments = torch.randn(7), torch.randn(3, 5), torch.randn(5, 7)
    assert_agrees(lambda *a: torch._addmm_activation(*a, use_gelu=use_gelu), *arguments)


def test_many_threads_give_the_same_bits():
    """Which thread computes a strip of the product changes nothing."""
    a, b = copy_to((torch.randn(700, 300), torch.randn(300, 500)), "alt")
    first = a @ b
    for _ in range(5):
        assert torch.equal(a @ b, first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("m", "k", "n"),
    [
        (301, 530, 170),
        (90, 700, 333),
        (2000, 65, 70),
        # B is read in place: of one panel and more, by rows and by columns.
        (130, 90, 64),
        (97, 300, 176),
        (33, 270, 1200),
        # Few columns, and far from a whole vector: turned where A is transposed.
        (310, 300, 28),
        (130, 777, 9),
    ],
)
def test_large_products_in_any_layout(m, k, n, dtype):
    """What our own product takes: several ranges of k and panels, rows or columns shared out."""
    torch.manual_seed(0)
    a, b, c = (torch.randn(*size, dtype=dtype) for size in ((m, k), (k, n), (m, n)))
    exact = c.double() + a.double() @ b.double()
    layouts = [lambda t: t, lambda t: t.t().contiguous().t()]
    for turn_a, turn_b in itertools.product(layouts, layouts):
        operands = [t.to("alt") for t in (c, turn_a(a), turn_b(b))]
        results = []
        for threads in (1, 3):
            with use_threads(threads):
                results.append(torch.addmm(*operands).cpu())
        assert torch.equal(*results)
        bound = 1e-3 if dtype == torch.float32 else 1e-11
        assert (results[0] - exact).abs().max() < bound


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("m", "k", "n"),
    [(2, 33, 300), (3, 48, 1023), (5, 100, 200), (7, 1100, 50), (33, 300, 1000), (64, 530, 40)],
)
def test_few_rows_by_the_rows_of_a_weight(m, k, n, dtype):
    """Inner products (gemm_inner.cpp): blocks cut short, several ranges of k, rows apart."""
    torch.manual_seed(0)
    x, weight = torch.randn(m, k + 5, dtype=dtype)[:, :k], torch.randn(n, k + 3, dtype=dtype)[:, 3:]
    weight[n - 1, k // 2] = torch.nan
    before = torch.randn(m + 1, n + 1, dtype=dtype)
    exact = (x.double() @ weight.double().t())[:, :-1]
    bound = 1e-4 if dtype == torch.float32 else 1e-12
    for threads in (1, 3):
        with use_threads(threads):
            device_x, device_weight, out = (t.to("alt") for t in (x, weight, before))
            inside = out[:m, :n]
            torch.mm(device_x, device_weight.t(), out=inside)
            once = inside.clone()
            inside.addmm_(device_x, device_weight.t())
        assert (once[:, :-1].cpu() - exact).abs().max() < bound
        assert (inside[:, :-1].cpu() - 2 * exact).abs().max() < 2 * bound
        assert inside[:, -1].isnan().all()
        assert_same(out[m:], before[m:])
        assert_same(out[:, n:], before[:, n:])
    # An element's bits depend on k alone.
    assert torch.equal(once[-2:, :-1], (device_x[-2:] @ device_weight.t())[:, :-1])


def test_gradient_through_a_linear_layer():
    x = torch.randn(2, 3, 5, requires_grad=True)
    weight, bias = torch.randn(4, 5, requires_grad=True), torch.randn(4, requires_grad=True)
    assert_agrees(torch.nn.functional.linear, x, weight, bias, double_backward=True)


def test_single_columns_of_a_wide_matrix():
    """A vector whose elements are far apart reaches BLAS as a matrix with one column."""
    wide = torch.randn(50, 4000)
    assert_agrees(lambda w: torch.mv(w.t(), w[:, 7]), wide, factor=8)
    assert_agrees(lambda w: w[:, 3:4] @ w[:1, :9], wide)


@pytest.mark.parametrize(
    "function",
    [
        lambda a, d: torch.mm(a, d),
        lambda a, d: torch.addmm(d, a, a),
        lambda a, d: torch.bmm(a[None], d[None]),
        lambda a, d: torch.baddbmm(d[None], a[None], a[None]),
        lambda a, d: torch.mv(a, d[0]),
        lambda a, d: torch.dot(a[0], d[0]),
        lambda a, d: torch.mm(a, a[:1]),
        lambda a, d: torch.mm(a, a[0]),
        lambda a, d: torch.bmm(a[None], a[None, :1]),
        lambda a, d: torch.addmm(torch.ones(3, device=a.device), a, a),
        lambda a, d: torch.addmv(torch.ones(3, device=a.device), a, a[0]),
        lambda a, d: torch.dot(a, a),
        lambda a, d: torch.dot(a[0], a[0, :1]),
        lambda a, d: torch.vdot(a[0], a[0, :1]),
        lambda a, d: torch.mm(a.bool(), a.bool()),
        lambda a, d: torch.bmm(a[None].bool(), a[None].bool()),
        lambda a, d: torch.mv(a.bool(), a[0].bool()),
        lambda a, d: torch.dot(a[0].bool(), a[0].bool()),
        lambda a, d: torch.mm(a, a, out=d),
        lambda a, d: torch.addmm(a, a, a, alpha=1j),
    ],
)
def test_errors(function):
    a = torch.randn(2, 2)
    assert_same_error(function, a, a.double())


def test_error_leaves_the_result_alone():
    out = torch.ones(2, 2, device="alt")
    with pytest.raises(RuntimeError):
        torch.mm(out, out[:1], out=out)
    assert_same(out, torch.ones(2, 2))


def test_products_of_two_devices():
    with pytest.raises(RuntimeError, match="same device"):
        torch.mm(torch.ones(2, 2, device="alt"), torch.ones(2, 2))
    with altbackend.no_fallback():
        torch.mm(torch.ones(2, 2, device="alt"), torch.ones(2, 2, device="alt"))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8])
def test_int_mm(dtype):
    low = 0 if dtype == torch.uint8 else -128
    a = torch.randint(low, 127, (20, 40), dtype=dtype)
    b = torch.randint(-128, 127, (33, 40), dtype=torch.int8).t()
    assert_agrees(torch._int_mm, a, b)
    assert_agrees(torch._int_mm, a[:, :0], b[:0])
    out = torch.zeros(20, 33, dtype=torch.int32)
    assert_agrees(lambda x, y, o: torch._int_mm(x, y, out=o), a, b, out)


def test_int_mm_refuses():
    a = torch.ones(20, 8, dtype=torch.int8)
    assert_same_error(torch._int_mm, a, a)
    assert_same_error(torch._int_mm, a, a.t().float())
    assert_same_error(torch._int_mm, a.float(), a.t())
    assert_same_error(torch._int_mm, a[0], a)
    for out in (torch.zeros(3, 20, dtype=torch.int32), torch.zeros(20, 20, dtype=torch.int8)):
        assert_same_error(lambda x, o: torch._int_mm(x, x.t(), out=o), a, out)


def test_vdot_with_a_lazy_conjugate_is_one():
    x, y = (torch.randn(5, dtype=torch.complex64) for _ in range(2))
    for a, b in ((x, y), (x.conj(), y), (x, y.conj()), (x.conj(), y.conj())):
        on_alt = [t.to("alt") if not t.is_conj() else t.conj().to("alt").conj() for t in (a, b)]
        expected, actual = torch.vdot(a, b), torch.vdot(*on_alt)
        assert actual.is_conj() == expected.is_conj()
        torch.testing.assert_close(actual.cpu(), expected)
