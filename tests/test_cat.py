"""Concatenation and stacking, held against cpu."""

import pytest
import torch

DEVICE = "alt"


def sample(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randint(0, 9, shape, generator=generator).to(dtype)


def assert_same(function, *tensors):
    expected = function(*tensors)
    result = function(*(t.to(DEVICE) for t in tensors))
    assert result.device.type == DEVICE
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    assert result.stride() == expected.stride()
    assert torch.equal(result.cpu(), expected)


@pytest.mark.parametrize(
    "dtype",
    [
        torch.bool,
        torch.uint8,
        torch.int16,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.complex64,
        torch.complex128,
    ],
)
@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_every_dimension(dim, dtype):
    shapes = [[3, 4, 5] for _ in range(3)]
    for k, shape in enumerate(shapes):
        shape[dim] = k + 1
    tensors = [sample(*shape, dtype=dtype) for shape in shapes]
    assert_same(lambda *t: torch.cat(t, dim), *tensors)
    assert_same(lambda *t: torch.stack(t, dim), *[sample(3, 4, 5, dtype=dtype)] * 3)


def test_promotion():
    assert_same(
        lambda *t: torch.cat(t),
        sample(3, dtype=torch.int32),
        sample(2, dtype=torch.float16),
        sample(4, dtype=torch.float64),
    )


def test_strided():
    assert_same(lambda a, b: torch.cat([a.t(), b[::2]]), sample(5, 4), sample(6, 5))
    assert_same(lambda a: torch.cat([a[:, :2], a[:, 2:], a.flip(1)], 1), sample(6, 5))


@pytest.mark.parametrize("dim", [0, 1, 2, 3])
def test_channels_last(dim):
    assert_same(
        lambda a: torch.cat([a, a + 1], dim),
        sample(2, 3, 4, 5).to(memory_format=torch.channels_last),
    )


def test_empty():
    assert_same(lambda a: torch.cat([a.new_empty(0), a, a.new_empty(0, 4)]), sample(3, 4))
    assert_same(lambda a: torch.cat([a.new_empty(0), a.new_empty(0)]), sample(3))


def test_scalars_stacked():
    assert_same(lambda a: torch.stack(list(a)), sample(500))
    assert_same(lambda a: torch.stack([a, a + 1], -1), sample(100, 70))


def test_large():
    assert_same(lambda a, b: torch.cat([a, b]), sample(300_000), sample(200_001))
    assert_same(lambda a, b: torch.cat([a, b], 1), sample(3000, 100), sample(3000, 33))
    assert_same(lambda a: torch.cat([a[k] for k in range(64)]), sample(64, 3000))


def test_out():
    def into(a, b):
        out = torch.empty(5, 7, device=a.device).t()
        torch.cat([a, b], out=out)
        return out.contiguous()

    assert_same(into, sample(3, 5), sample(4, 5))

    def cast(a, b):
        out = torch.empty(7, 5, dtype=torch.float64, device=a.device)
        torch.cat([a, b], out=out)
        return out

    assert_same(cast, sample(3, 5), sample(4, 5))


def test_backward():
    def gradient(a, b):
        a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
        (torch.cat([a, b * 2, a], 1).pow(2).sum() + torch.stack([a, a]).sum()).backward()
        return torch.cat([a.grad, b.grad], 1)

    assert_same(gradient, sample(3, 4), sample(3, 2))


def test_relatives():
    assert_same(lambda a: torch.hstack([a, a]), sample(3, 4))
    assert_same(lambda a: torch.vstack([a, a]), sample(3, 4))
    assert_same(lambda a: torch.dstack([a, a]), sample(3, 4))
    assert_same(lambda a: torch.block_diag(a, a), sample(3, 4))
    assert_same(lambda a: torch.cartesian_prod(a, a), sample(3))


@pytest.mark.parametrize(
    "call",
    [
        lambda d: torch.cat([]),
        lambda d: torch.cat([torch.ones(2, 3, device=d), torch.ones(2, 4, device=d)]),
        lambda d: torch.cat([torch.ones(2, 3, device=d), torch.ones(3, device=d)]),
        lambda d: torch.cat([torch.ones(2, device=d)], 1),
        lambda d: torch.cat([torch.tensor(1.0, device=d)]),
        lambda d: torch.stack([torch.ones(2, device=d), torch.ones(3, device=d)]),
    ],
)
def test_errors(call):
    with pytest.raises(Exception) as expected:
        call("cpu")
    with pytest.raises(type(expected.value)) as raised:
        call(DEVICE)
    assert str(raised.value).splitlines()[0] == str(expected.value).splitlines()[0]


def test_devices_do_not_mix():
    with pytest.raises(RuntimeError, match="same device"):
        torch.cat([torch.ones(2, device=DEVICE), torch.ones(2)])
