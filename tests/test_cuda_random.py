"""The CUDA engine's random numbers and dropout, simulated."""

from __future__ import annotations

import math

import pytest
import torch
from cuda_kernels import Family
from cuda_simulator import Guarded

UNIFORM, NORMAL, LOG_NORMAL, EXPONENTIAL, GEOMETRIC, CAUCHY, BERNOULLI, INTEGER = range(8)
KEY = 0x123456789ABCDEF


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("random")


def philox(key: int, counter: int) -> list[int]:
    """Philox4x32-10 in Python's integers."""
    k = [key & 0xFFFFFFFF, key >> 32]
    w = [counter & 0xFFFFFFFF, counter >> 32, 0, 0]
    for _ in range(10):
        a, b = 0xD2511F53 * w[0], 0xCD9E8D57 * w[2]
        w = [(b >> 32) ^ w[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ w[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return w


def test_philox_itself() -> None:
    """The known answers that Random123 comes with, for a counter and a key of zeros."""
    assert philox(0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def drawn(family: Family, kind: int, dtype: torch.dtype, *numbers: float, n: int = 4000, **more):
    found = Guarded((n,), dtype)
    integers = [KEY, kind, more.get("range", 0), more.get("base", 0)]
    family.run(
        "random_fill", (dtype,), [found, more.get("p")], integers, numbers, grid=(2,), block=(256,)
    )
    return found.tensor.clone()


def test_words_are_philox(family: Family) -> None:
    found = drawn(family, INTEGER, torch.int64, n=50)
    for i, value in enumerate(found.tolist()):
        w = philox(KEY, i)
        assert value % 2**64 == w[0] << 32 | w[1]


def test_strides_do_not_change_the_numbers(family: Family) -> None:
    plain = drawn(family, NORMAL, torch.float32, 0.0, 1.0, n=60).view(6, 10)
    wide = torch.zeros(20, 6)
    spread = wide[::2].t()
    family.run("random_fill", (torch.float32,), [spread, None], [KEY, NORMAL], [0.0, 1.0])
    assert torch.equal(spread, plain)
    assert not wide[1::2].any()


CONTINUOUS = {
    UNIFORM: ((-2.0, 3.0), lambda x: (x + 2) / 5),
    NORMAL: ((1.0, 2.0), lambda x: 0.5 * (1 + torch.erf((x - 1) / 2 / math.sqrt(2)))),
    LOG_NORMAL: (
        (0.5, 0.5),
        lambda x: 0.5 * (1 + torch.erf((x.log() - 0.5) / 0.5 / math.sqrt(2))),
    ),
    EXPONENTIAL: ((3.0, 0.0), lambda x: 1 - torch.exp(-3 * x)),
    CAUCHY: ((1.0, 2.0), lambda x: torch.atan((x - 1) / 2) / math.pi + 0.5),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("kind", list(CONTINUOUS))
def test_distributions(family: Family, kind: int, dtype: torch.dtype) -> None:
    """Kolmogorov and Smirnov: the largest distance of the two distribution functions."""
    numbers, cumulative = CONTINUOUS[kind]
    x = drawn(family, kind, dtype, *numbers).double().sort().values
    n = x.numel()
    steps = torch.arange(1, n + 1, dtype=torch.float64) / n
    distance = (cumulative(x) - steps).abs().max().item()
    assert distance < 2.0 / math.sqrt(n)
    if kind == UNIFORM:
        assert x.min() >= -2 and x.max() < 3


def test_integers(family: Family) -> None:
    x = drawn(family, INTEGER, torch.int32, range=7, base=-3)
    counts = torch.bincount(x + 3, minlength=7)
    assert x.min() == -3 and x.max() == 3
    assert (counts - 4000 / 7).abs().max() < 5 * math.sqrt(4000 / 7)


def test_bernoulli(family: Family) -> None:
    assert abs(drawn(family, BERNOULLI, torch.float32, 0.3).mean().item() - 0.3) < 0.03
    p = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat(20)
    assert torch.equal(drawn(family, BERNOULLI, torch.bool, n=40, p=p), p.bool())


def test_geometric(family: Family) -> None:
    x = drawn(family, GEOMETRIC, torch.int64, 0.25).double()
    assert x.min() == 1
    assert abs(x.mean().item() - 4) < 0.25


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masked_scale(dtype: torch.dtype) -> None:
    family = Family("dropout")
    x = torch.randn(100).to(dtype)
    x[3], x[4] = float("inf"), float("nan")
    mask = torch.arange(100) % 3 > 0
    found = Guarded(x.shape, dtype)
    family.run("masked_scale", (dtype,), [found, x, mask], [100], [1.25])
    expected = (x.float() * mask * 1.25).to(dtype)
    torch.testing.assert_close(found.tensor, expected, equal_nan=True, rtol=0, atol=0)
