"""gather and the scatter family, held against cpu."""

import pytest
import torch

DEVICE = "alt"
FLOATING = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
DTYPES = [*FLOATING, torch.int64, torch.int32, torch.uint8, torch.complex64]


def sample(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randint(1, 9, shape, generator=generator).to(dtype)


def index(*shape, below):
    generator = torch.Generator().manual_seed(sum(shape) + below)
    return torch.randint(0, below, shape, generator=generator)


def assert_same(function, *tensors):
    expected = function(*tensors)
    result = function(*(t.to(DEVICE) for t in tensors))
    assert result.device.type == DEVICE
    assert result.dtype == expected.dtype
    torch.testing.assert_close(result.cpu(), expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_every_dimension(dim, dtype):
    x = sample(5, 6, 7, dtype=dtype)
    i = index(4, 5, 6, below=5)
    source = sample(5, 6, 8, dtype=dtype)
    assert_same(lambda x, i: x.gather(dim, i), x, i)
    assert_same(lambda x, i: x.gather(dim, i.int()), x, i)
    assert_same(lambda x, i: x.permute(2, 0, 1).gather(dim, i), x, i)
    assert_same(lambda x, i, s: x.scatter(dim, i, s), x, i, source)
    assert_same(lambda x, i: x.scatter(dim, i, 3), x, i)
    assert_same(lambda x, i, s: x.scatter_add(dim, i, s), x, i, source)
    assert_same(lambda x, i, s: x.scatter(dim, i, s, reduce="add"), x, i, source)
    assert_same(lambda x, i, s: x.scatter(dim, i, s, reduce="multiply"), x, i, source)
    assert_same(lambda x, i: x.scatter(dim, i, 2, reduce="multiply"), x, i)
    assert_same(lambda x, i, s: x.mT.scatter_add(dim, i, s.clone()), x.mT.contiguous(), i, source)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
def test_reduce(reduce, include_self, dtype):
    x = sample(5, 6, dtype=dtype)
    i = index(4, 6, below=5)
    source = sample(4, 6, dtype=dtype)
    for dim in (0, 1):
        assert_same(
            lambda x, i, s, d=dim: x.scatter_reduce(d, i, s, reduce, include_self=include_self),
            x,
            i,
            source,
        )
    if reduce != "sum":
        assert_same(
            lambda x, i, s: x.index_reduce(0, i, s, reduce, include_self=include_self),
            x,
            torch.tensor([1, 1, 4, 0]),
            source,
        )


def test_one_dimension():
    x, i, source = sample(50), index(20000, below=50), sample(20000)
    assert_same(lambda x, i: x.gather(0, i), x, i)
    assert_same(lambda x, i, s: x.scatter_add(0, i, s), x, i, source)
    assert_same(lambda x, i, s: x.scatter(0, i, s), x, i, source)
    assert_same(lambda x, i: x.gather(0, i), torch.tensor(3.0), torch.tensor(0))
    assert_same(lambda x, i: x.scatter(0, i, 5.0), torch.tensor(3.0), torch.tensor(0))


def test_large():
    x, i = sample(300, 200), index(400, 200, below=300)
    source = sample(400, 200)
    assert_same(lambda x, i: x.gather(0, i), x, i)
    assert_same(lambda x, i, s: x.scatter_add(0, i, s), x, i, source)
    assert_same(lambda x, i, s: x.t().scatter_add(1, i.t(), s.t()), x, i, source)


def test_expanded_index():
    i = index(30, 1, below=10).expand(30, 16)
    assert_same(lambda x, s: x.scatter_add(0, i.to(x.device), s), sample(10, 16), sample(30, 16))
    assert_same(lambda x: x.gather(0, i.to(x.device)), sample(10, 16))


def test_nan_stays():
    x = torch.zeros(3)
    source = torch.tensor([1.0, float("nan"), 2.0, -1.0])
    i = torch.tensor([0, 0, 0, 1])
    for reduce in ("amax", "amin", "sum"):
        assert_same(lambda x, i, s, r=reduce: x.scatter_reduce(0, i, s, r), x, i, source)


def test_backward():
    def gradient(x, i, s):
        x, s = x.clone().requires_grad_(), s.clone().requires_grad_()
        (x.gather(0, i).pow(2).sum() + x.scatter_add(0, i, s).pow(2).sum()).backward()
        return torch.cat([x.grad.flatten(), s.grad.flatten()])

    assert_same(gradient, sample(5, 6), index(4, 6, below=5), sample(4, 6))


@pytest.mark.parametrize(
    "call",
    [
        lambda x, i: x.gather(0, i),
        lambda x, i: x.scatter_(0, i, 3.0),
        lambda x, i: x.scatter_(0, i, x.clone()),
        lambda x, i: x.scatter_add_(0, i, x.clone()),
        lambda x, i: x.scatter_reduce_(0, i, x.clone(), "amax"),
    ],
)
@pytest.mark.parametrize("value", [-1, 5])
def test_out_of_range(call, value):
    x = sample(5, 2)
    i = torch.tensor([[0, 1], [1, value]])
    with pytest.raises(RuntimeError) as expected:
        call(x.clone(), i)
    moved = x.to(DEVICE)
    with pytest.raises(RuntimeError) as raised:
        call(moved, i.to(DEVICE))
    assert str(raised.value).splitlines()[0] == str(expected.value).splitlines()[0]
    assert torch.equal(moved.cpu(), x)
