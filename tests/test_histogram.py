"""histogram, histogramdd and histc: edges given and found, weights, density, dtypes, bad input."""

import pytest
import torch
from agreement import (
    FLOATING,
    assert_agrees,
    assert_same_error,
    check_op_samples,
    noncontiguous,
    op_samples,
)


@pytest.mark.parametrize(
    ("op", "dtype"), op_samples(["histogram", "histogramdd", "histc"], FLOATING)
)
def test_samples(op, dtype):
    check_op_samples(op, dtype, most=40)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("density", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_many_points(dtype, density, weighted):
    """Enough of them for several parts, which are added up."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(100_000, generator=generator, dtype=dtype)
    weight = torch.rand(100_000, generator=generator, dtype=dtype) if weighted else None
    assert_agrees(
        lambda t, w: torch.histogram(t, 50, range=(-2.0, 2.0), weight=w, density=density), x, weight
    )
    edges = torch.tensor([-3.0, -1.0, -0.9, 0.0, 0.0, 2.5], dtype=dtype)
    assert_agrees(
        lambda t, e, w: torch.histogram(t, e, weight=w, density=density), x, edges, weight
    )


def test_edges_belong_to_the_right_bin():
    x = torch.cat([torch.linspace(0, 1, 11), torch.linspace(0, 1, 11).nextafter(torch.tensor(2.0))])
    assert_agrees(lambda t: torch.histogram(t, 10, range=(0.0, 1.0)), x)
    assert_agrees(lambda t: torch.histogram(t, torch.linspace(0, 1, 11).to(t.device)), x)
    special = torch.tensor([float("nan"), float("inf"), -1.0, 0.5, 1.0])
    assert_agrees(lambda t: torch.histogram(t, 4, range=(0.0, 1.0)), special)


def test_many_dimensions():
    x = torch.rand(6, 50, 3, dtype=torch.float64)
    weight = torch.rand(6, 50, dtype=torch.float64)
    for layout in (x, noncontiguous(x)):
        assert_agrees(lambda t, w: torch.histogramdd(t, [3, 4, 5], weight=w), layout, weight)
        assert_agrees(
            lambda t: torch.histogramdd(t, [2, 3, 2], range=[0.1, 0.9, 0, 1, 0.2, 2], density=True),
            layout,
        )
    edges = [torch.tensor([0.0, 0.3, 0.4], dtype=torch.float64) for _ in range(3)]
    assert_agrees(lambda t, *e: torch.histogramdd(t, e), x, *edges)


@pytest.mark.parametrize("dtype", FLOATING)
def test_histc(dtype):
    x = torch.randn(500).to(dtype)
    assert_agrees(lambda t: torch.histc(t, 13), x)
    assert_agrees(lambda t: torch.histc(t, 7, -1, 1), noncontiguous(x.reshape(20, 25)))
    assert_agrees(lambda t: torch.histc(t, 5), torch.empty(0, dtype=dtype))
    assert_agrees(lambda t: torch.histc(t, 5), torch.full((4,), 2.0, dtype=dtype))


def test_counts_of_half_types_do_not_saturate():
    assert torch.histc(torch.zeros(4096, dtype=torch.float16, device="alt"), 1).item() == 4096


def test_out():
    x = torch.rand(30)
    hist, edges = noncontiguous(torch.zeros(4)), noncontiguous(torch.zeros(5))
    assert_agrees(lambda t, h, e: torch.histogram(t, 4, out=(h, e)), x, hist, edges)
    assert_agrees(lambda t, h: torch.histc(t, 4, out=h), x, hist)


def test_bad_input():
    x = torch.rand(10)
    assert_same_error(lambda t: torch.histogram(t, 0), x)
    assert_same_error(lambda t: torch.histogram(t, 4, range=(1.0, 0.0)), x)
    assert_same_error(lambda t: torch.histogram(t, 4, range=(0.0, float("inf"))), x)
    assert_same_error(lambda t: torch.histogram(t, 4), x.half())
    assert_same_error(lambda t: torch.histogram(t, 4), x.long())
    assert_same_error(lambda t: torch.histogram(t, 4, weight=t[:3]), x)
    assert_same_error(lambda t: torch.histogram(t, t.double()), x)
    assert_same_error(lambda t: torch.histogramdd(t, [3]), torch.rand(4, 2))
    assert_same_error(lambda t: torch.histc(t, 0), x)
    assert_same_error(lambda t: torch.histc(t, 3, 1, -1), x)
    assert_same_error(lambda t: torch.histc(t, 3), x.long())
    assert_same_error(lambda t: torch.histc(t, 3), torch.tensor([1.0, float("inf")]))
