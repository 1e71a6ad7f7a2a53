"""Sorting, selection, unique elements and search, held against cpu."""

import pytest
import torch
from agreement import assert_same_results

DEVICE = "alt"
NAN, INF = float("nan"), float("inf")
INTEGRAL = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def sample(*shape, dtype=torch.float32, bound=50):
    """Values with many ties."""
    generator = torch.Generator().manual_seed(sum(shape))
    low = 0 if dtype in (torch.uint8, torch.bool) else -bound
    x = torch.randint(low, bound + 1, shape, generator=generator)
    return x > 0 if dtype is torch.bool else x.to(dtype)


def distinct(*shape, dtype=torch.float32):
    """The numbers 0, 1, 2 ..., shuffled."""
    numel = torch.Size(shape).numel()
    generator = torch.Generator().manual_seed(numel)
    return (torch.randperm(numel, generator=generator) - numel // 2).reshape(shape).to(dtype)


@pytest.mark.parametrize("descending", [False, True])
class TestSort:
    @pytest.mark.parametrize("dtype", [*INTEGRAL, *FLOATING, torch.bool])
    @pytest.mark.parametrize("length", [1, 2, 17, 1000, 5000])
    def test_lengths(self, length, dtype, descending):
        x = sample(3, length, dtype=dtype)
        assert_same_results(lambda x: torch.sort(x, stable=True, descending=descending), x)
        assert_same_results(
            lambda x: torch.sort(x, dim=0, stable=True, descending=descending).values, x
        )

    @pytest.mark.parametrize("dtype", FLOATING)
    def test_special_values(self, dtype, descending):
        x = torch.tensor([0.0, NAN, -0.0, INF, -INF, 1.0, NAN, -1.0, 0.0], dtype=dtype)
        for long in (x, x.repeat(300)):
            assert_same_results(lambda x: torch.sort(x, stable=True, descending=descending), long)
            assert_same_results(
                lambda x: torch.sort(x, stable=True, descending=descending).values.signbit(), long
            )

    @pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.bfloat16, torch.float32])
    @pytest.mark.parametrize("length", [16, 17, 300, 40_000])
    def test_unstable_order_of_equals(self, length, dtype, descending):
        """Not promised by torch, but it is the order that a script sees on cpu."""
        x = sample(length, dtype=dtype, bound=5)
        assert_same_results(lambda x: x.sort(descending=descending), x)
        assert_same_results(lambda x: x.view(4, -1).sort(1, descending), x[: length // 4 * 4])

    def test_extreme_integers(self, descending):
        x = torch.tensor([2**63 - 1, -(2**63), 0, -1, 1])
        for long in (x, x.repeat(500)):
            assert_same_results(lambda x: torch.sort(x, stable=True, descending=descending), long)

    def test_strided(self, descending):
        x = sample(5, 6, 7)
        assert_same_results(
            lambda x: x.permute(2, 0, 1).sort(dim=1, descending=descending, stable=True), x
        )
        assert_same_results(lambda x: x[:, ::2].sort(dim=0, descending=descending, stable=True), x)
        assert_same_results(
            lambda x: torch.argsort(x, dim=1, descending=descending, stable=True), x
        )

    def test_shapes(self, descending):
        for x in (torch.tensor(3.0), torch.empty(0), torch.empty(3, 0), torch.empty(0, 3)):
            assert_same_results(lambda x: x.sort(descending=descending), x)

    def test_backward(self, descending):
        def gradient(x):
            x = x.clone().requires_grad_()
            values, _ = x.sort(-1, descending)
            (values * torch.arange(5.0, device=x.device)).sum().backward()
            return x.grad

        assert_same_results(gradient, distinct(4, 5))


@pytest.mark.parametrize("largest", [False, True])
class TestTopk:
    @pytest.mark.parametrize("dtype", [*INTEGRAL[2:], *FLOATING])
    def test_dtypes(self, dtype, largest):
        x = distinct(4, 30, dtype=dtype)
        for k in (1, 5, 30):
            assert_same_results(lambda x, k=k: x.topk(k, largest=largest), x)
            assert_same_results(lambda x: x.topk(2, 0, largest=largest), x)

    def test_ties(self, largest):
        assert_same_results(lambda x: x.topk(7, largest=largest), sample(20, 40, bound=3))
        assert_same_results(lambda x: x.topk(3, largest=largest), sample(5, 400, bound=3))

    @pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32, torch.float64])
    def test_long_lanes(self, largest, dtype):
        """Lanes that are cut into pieces, with few and with many candidates."""
        x = distinct(150_001, dtype=dtype)
        for k in (1, 7, 100, 20_000):
            assert_same_results(lambda x, k=k: x.topk(k, largest=largest), x)
        assert_same_results(lambda x: x[::2].topk(100, largest=largest), x)
        assert_same_results(lambda x: (x // 3).topk(100, largest=largest), x)

    def test_nan(self, largest):
        x = torch.tensor([1.0, NAN, 3.0, -INF, INF])
        assert_same_results(lambda x: x.topk(3, largest=largest), x)
        assert_same_results(lambda x: x.repeat(9).topk(3, largest=largest), x)
        assert_same_results(lambda x: x.topk(70, largest=largest), distinct(300).sqrt())

    def test_unsorted(self, largest):
        assert_same_results(
            lambda x: x.topk(9, largest=largest, sorted=False).values.sort().values,
            distinct(5, 40),
        )

    def test_backward(self, largest):
        def gradient(x):
            x = x.clone().requires_grad_()
            x.topk(2, largest=largest).values.pow(2).sum().backward()
            return x.grad

        assert_same_results(gradient, distinct(4, 5))


class TestSelection:
    @pytest.mark.parametrize("dtype", [*INTEGRAL, *FLOATING])
    @pytest.mark.parametrize("keepdim", [False, True])
    def test_dtypes(self, dtype, keepdim):
        x = sample(5, 31, dtype=dtype)
        for dim in (0, 1):
            assert_same_results(lambda x, d=dim: x.median(d, keepdim), x)
            assert_same_results(lambda x, d=dim: x.mode(d, keepdim), x)
            for k in (1, 3, 5):
                assert_same_results(lambda x, d=dim, k=k: x.kthvalue(k, d, keepdim), x)
        assert_same_results(lambda x: x.median(), x)
        assert_same_results(lambda x: x.t()[::2].median(), x)

    @pytest.mark.parametrize("dtype", [*INTEGRAL, *FLOATING])
    @pytest.mark.parametrize("n", [4096, 4097, 70001])
    def test_median_of_many(self, n, dtype):
        """By radix: of values spread over all digits, over the last ones, and over none."""
        generator = torch.Generator().manual_seed(n)
        x = torch.randn(n, generator=generator, dtype=torch.float64) * 50
        assert_same_results(lambda x: x.median(), x.abs().to(dtype))
        assert_same_results(lambda x: x.median(), torch.full((n,), 3).to(dtype))
        if dtype != torch.uint8:
            assert_same_results(lambda x: x.median(), (x * 1e-3).to(dtype))
            assert_same_results(lambda x: x.median(), x.to(dtype).view(-1)[1:])
        if dtype.is_floating_point:
            x[::3] = NAN
            assert_same_results(lambda x: x.nanmedian(), x.to(dtype))
            assert_same_results(lambda x: x.median(), x.to(dtype))
            x[::2] = INF
            assert_same_results(lambda x: x.nanmedian(), x.to(dtype))
            assert_same_results(lambda x: x.nanmedian(), torch.full((n,), NAN, dtype=dtype))

    def test_nan(self):
        x = torch.tensor([[1.0, NAN, 3.0, 2.0], [NAN, NAN, NAN, NAN], [4.0, 3.0, 2.0, 1.0]])
        assert_same_results(lambda x: x.median(), x)
        assert_same_results(lambda x: x.nanmedian(), x)
        assert_same_results(lambda x: x.median(1), x)
        assert_same_results(lambda x: x.nanmedian(1).values, x)
        assert_same_results(lambda x: x.kthvalue(2, 1).values, x)
        assert_same_results(lambda x: x.nanquantile(0.3, 1), x)
        assert_same_results(lambda x: x.quantile(0.3, 1), x)

    def test_scalars_and_empty(self):
        assert_same_results(lambda x: x.median(0), torch.tensor(3.0))
        assert_same_results(lambda x: x.kthvalue(1), torch.tensor(3.0))
        assert_same_results(lambda x: x.mode(), torch.tensor(3.0))
        assert_same_results(lambda x: x.median(), torch.empty(0))
        assert_same_results(lambda x: x.median(1), torch.empty(0, 3))


class TestUnique:
    @pytest.mark.parametrize("dtype", [*INTEGRAL, *FLOATING, torch.bool])
    def test_dtypes(self, dtype):
        x = sample(6, 40, dtype=dtype, bound=9)
        full = {"return_inverse": True, "return_counts": True}
        assert_same_results(lambda x: torch.unique(x), x)
        assert_same_results(lambda x: torch.unique(x, **full), x)
        assert_same_results(lambda x: torch.unique(x.t(), **full), x)
        assert_same_results(lambda x: torch.unique_consecutive(x, **full), x)
        for dim in (0, 1):
            repeated = x[:, :3].repeat(2, 2)
            assert_same_results(lambda x, d=dim: torch.unique(x, dim=d, **full), repeated)
            assert_same_results(
                lambda x, d=dim: torch.unique_consecutive(x, dim=d, **full), repeated
            )

    def test_special_values(self):
        x = torch.tensor([NAN, 1, NAN, 1, -INF])
        assert_same_results(lambda x: torch.unique(x, return_counts=True), x)
        assert_same_results(lambda x: torch.unique(x, return_inverse=True), torch.empty(0))
        assert_same_results(lambda x: torch.unique(x, dim=1), torch.empty(3, 0))

    def test_errors(self):
        with pytest.raises(RuntimeError, match="There are 0 sized dimensions"):
            torch.unique(torch.empty(3, 0, device=DEVICE), dim=0)


class TestSearch:
    @pytest.mark.parametrize("dtype", [torch.int32, torch.int64, *FLOATING])
    @pytest.mark.parametrize("right", [False, True])
    def test_dtypes(self, dtype, right):
        edges = torch.tensor([-20, -3, -3, 0, 5, 30]).to(dtype)
        x = sample(7, 8, dtype=dtype)
        assert_same_results(lambda x, e: torch.bucketize(x, e, right=right), x, edges)
        assert_same_results(
            lambda x, e: torch.bucketize(x, e, right=right, out_int32=True), x, edges
        )
        assert_same_results(lambda x, e: torch.searchsorted(e, x.t(), right=right), x, edges)
        assert_same_results(lambda e: torch.searchsorted(e, 3, right=right), edges)

    def test_rows_and_sorter(self):
        edges = sample(4, 9)
        assert_same_results(
            lambda e, x: torch.searchsorted(e, x, sorter=e.argsort(stable=True)),
            edges,
            sample(4, 5),
        )
        assert_same_results(
            lambda e, x: torch.searchsorted(e.sort(1).values, x, side="right"), edges, sample(4, 5)
        )
        assert_same_results(
            lambda e, x: torch.bucketize(x, e),
            torch.tensor([1.0, 2.0, NAN]),
            torch.tensor([NAN, 1.5]),
        )

    def test_isin_and_bincount(self):
        x = sample(30, dtype=torch.int64, bound=9)
        assert_same_results(lambda x, t: torch.isin(x, t), x, torch.tensor([1, 3]))
        assert_same_results(lambda x, t: torch.isin(x, t, invert=True), x, torch.arange(-5, 90))
        assert_same_results(lambda x: torch.bincount(x.abs()), x)
        assert_same_results(lambda x: torch.bincount(x.abs(), minlength=20), x)
        assert_same_results(lambda x: torch.bincount(x.abs(), weights=x.float()), x)
        assert_same_results(lambda x: torch.bincount(x.abs(), weights=x), x)

    @pytest.mark.parametrize("dtype", INTEGRAL)
    @pytest.mark.parametrize("largest_at", [0, 70_000, -1])
    def test_bincount_of_many(self, dtype, largest_at):
        """So many that threads count parts of them."""
        x = sample(200_003, dtype=dtype).abs()
        x[largest_at] = 120
        assert_same_results(lambda x: torch.bincount(x), x)
        assert_same_results(lambda x: torch.bincount(x, minlength=1000), x)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.topk(9),
        lambda x: (x > 0).topk(1),
        lambda x: x.kthvalue(9),
        lambda x: x.new_empty(0, 2).kthvalue(1, 0),
        lambda x: x.new_empty(0, 2).median(0),
        lambda x: x.sort(5),
        lambda x: x.to(torch.complex64).sort(),
        lambda x: (x > 0).median(),
        lambda x: torch.bincount(x),
        lambda x: torch.bincount(-torch.ones_like(x).long()),
        lambda x: torch.searchsorted(x, torch.ones(2, 3, device=x.device), side="top"),
        lambda x: torch.bucketize(x, torch.ones(2, 2, device=x.device)),
    ],
)
def test_errors(call):
    with pytest.raises(Exception) as expected:
        call(torch.ones(4))
    with pytest.raises(type(expected.value)):
        call(torch.ones(4, device=DEVICE))


def test_histc():
    x = torch.linspace(-3, 4, 200).pow(2)
    assert_same_results(lambda x: x.histc(), x)
    assert_same_results(lambda x: x.histc(7, 1, 9), x)
    assert_same_results(lambda x: x.double().histc(5), x)
    assert_same_results(lambda x: x[:0].histc(3), x)
    with pytest.raises(RuntimeError, match="max must be larger than min"):
        x.to(DEVICE).histc(3, 2, 1)
