"""Cumulative operators, held against cpu."""

import pytest
import torch
from agreement import assert_agrees, assert_same_results

DEVICE = "alt"
NAN, INF = float("nan"), float("inf")
FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGRAL = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool]


def sample(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(shape, generator=generator, dtype=torch.float64) * 3
    return x > 0 if dtype is torch.bool else x.to(dtype)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 300, 70), (3, 1, 9)])
class TestSums:
    @pytest.mark.parametrize("dtype", [*FLOATING, *INTEGRAL, torch.complex64, torch.complex128])
    def test_bits(self, shape, dim, dtype):
        """Sums are the same bits: the running value is as wide and the order the same."""
        x = sample(*shape, dtype=dtype)
        assert_same_results(lambda x: x.cumsum(dim), x)
        assert_same_results(lambda x: x.mT.cumsum(dim), x)
        if not dtype.is_complex:
            assert_same_results(lambda x: x.cumprod(dim), x)
        if dtype is not torch.bool:
            assert_same_results(lambda x: x[:, ::2].clone().cumsum_(dim), x)

    @pytest.mark.parametrize("dtype", FLOATING)
    def test_logarithms(self, shape, dim, dtype):
        tolerance = 1e-12 if dtype is torch.float64 else 1e-6
        tolerance = torch.finfo(dtype).eps if torch.finfo(dtype).bits == 16 else tolerance
        assert_same_results(
            lambda x: x.logcumsumexp(dim), sample(*shape, dtype=dtype), tolerance=tolerance
        )

    @pytest.mark.parametrize("dtype", [*FLOATING, *INTEGRAL])
    def test_extremes(self, shape, dim, dtype):
        x = sample(*shape, dtype=dtype)
        assert_same_results(lambda x: x.cummax(dim), x)
        assert_same_results(lambda x: x.cummin(dim), x)
        assert_same_results(lambda x: x.mT.cummax(dim), x)


def test_special_values():
    x = torch.tensor([1.0, INF, NAN, 2.0, -INF, 3.0])
    for method in ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"):
        assert_same_results(lambda x, m=method: getattr(x, m)(0), x)
        assert_same_results(lambda x, m=method: getattr(x, m)(0), x[:2])
        assert_same_results(lambda x, m=method: getattr(x, m)(0), x[4:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int32])
@pytest.mark.parametrize("n", [4 * 4096 - 1, 4 * 4096, 12 * 4096 + 17])
def test_long_lanes(n, dtype):
    """Scanned in segments, whose sums are joined: not the same bits as one by one."""
    x = sample(n, dtype=dtype) / (1 if dtype is torch.int32 else 3)
    x = x.to(dtype)
    assert_agrees(lambda x: x.cumsum(0), x)
    assert_agrees(lambda x: x.clone().cumsum_(0), x)
    assert_agrees(lambda x: x.view(1, -1).cumsum(1), x)
    near_one = (1 + sample(n) * 1e-4).to(dtype)
    assert_agrees(lambda x: x.cumprod(0), near_one)
    many = torch.where(torch.arange(n) == n // 2, torch.tensor(INF), x.double()).to(torch.float32)
    assert_agrees(lambda x: x.cumsum(0), many)


@pytest.mark.parametrize(
    ("shape", "dim"),
    [
        ((5_000_003,), 0),
        ((3, 70_001), 1),
        ((4_500, 1_001), 1),
        ((4_500, 1_024), 0),
        ((4_500, 1_001), 0),
        ((17, 999, 256), 1),
        ((70_000, 7), 0),
        ((70_000, 7), 1),
        ((9, 40), 1),
    ],
    ids=str,
)
def test_floats_in_lanes(shape, dim):
    """Segments of few long rows, blocks of columns, results written past the caches."""
    x = torch.rand(shape)
    assert_agrees(lambda x: x.cumsum(dim), x)
    assert_agrees(lambda x: x.clone().cumsum_(dim), x)
    exact = (x * 8).round()  # whole numbers, of which every order has the same sums
    ours = exact.to("alt").cumsum(dim).cpu()
    assert torch.equal(ours, exact.double().cumsum(dim).float())
    if x.dim() == 1:  # memory that begins between lines
        assert torch.equal(
            exact.to("alt")[3:].cumsum(0).cpu(), exact[3:].double().cumsum(0).float()
        )


def test_scalars_and_empty():
    for x in (torch.tensor(3.0), torch.empty(0), torch.empty(2, 0)):
        for method in ("cumsum", "cumprod", "cummax", "logcumsumexp"):
            assert_same_results(lambda x, m=method: getattr(x, m)(0), x)


def test_dtype_and_out():
    x = sample(5, 6)
    assert_same_results(lambda x: x.cumsum(0, dtype=torch.float64), x)
    assert_same_results(lambda x: (x > 0).cumsum(1), x)

    def into(x):
        out = torch.empty(6, 5, device=x.device).t()
        torch.cumsum(x, 1, out=out)
        return out

    assert_same_results(into, x)


@pytest.mark.parametrize("method", ["cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"])
def test_backward(method):
    def gradient(x):
        x = x.clone().requires_grad_()
        result = getattr(x, method)(1)
        result = result if isinstance(result, torch.Tensor) else result.values
        result.pow(2).sum().backward()
        return x.grad

    assert_same_results(gradient, sample(4, 7, dtype=torch.float64), tolerance=1e-10)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.cumsum(3),
        lambda x: x.to(torch.complex64).cummax(0),
        lambda x: x.long().logcumsumexp(0),
    ],
)
def test_errors(call):
    with pytest.raises(Exception) as expected:
        call(torch.ones(4))
    with pytest.raises(type(expected.value)) as raised:
        call(torch.ones(4, device=DEVICE))
    assert str(raised.value).splitlines()[0] == str(expected.value).splitlines()[0]
