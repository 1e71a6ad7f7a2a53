"""softmax and log_softmax: any dimension, size and dtype, gradients, infinities, out=, errors."""

import pytest
import torch
import torch.nn.functional as F
from agreement import (
    FLOATING,
    assert_agrees,
    assert_same,
    assert_same_error,
    check_op_samples,
    copy_to,
    noncontiguous,
    op_samples,
)

import altbackend

SHAPES = [
    (5,),
    (3, 7),
    (4, 1000),
    (2, 3, 4),
    (2, 9, 5, 6),
    (3, 17, 130),
    (2, 20000),
    (0, 3),
    (2, 0),
]


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(
        [
            "softmax",
            "softmax.with_dtype",
            "log_softmax",
            "log_softmax.with_dtype",
            "nn.functional.softmin",
            "nn.functional.cross_entropy",
            "logsumexp",
        ],
        [torch.float32, torch.float64],
    ),
)
def test_op_samples(op, dtype):
    check_op_samples(op, dtype)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_every_dimension(function, shape, dtype):
    torch.manual_seed(0)
    x = (3 * torch.randn(shape)).to(dtype).requires_grad_()
    for dim in range(-len(shape), len(shape)):
        assert_agrees(function, x, dim)
        assert_agrees(function, noncontiguous(x), dim, strides=False)


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_scalar(function):
    assert_agrees(function, torch.tensor(3.0, requires_grad=True), 0)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_infinities_and_nan(function, dim, dtype):
    inf = float("inf")
    x = torch.full((6, 5), -inf, dtype=dtype)
    x[1, 2] = 1
    x[2, 1] = inf
    x[3] = torch.arange(5)
    x[4, 4] = float("nan")
    x[5] = torch.finfo(dtype).max
    assert_agrees(function, x, dim)


def test_large_row_sums_stay_accurate():
    torch.manual_seed(0)
    x = torch.randn(1, 3_000_000)
    truth = torch.softmax(x.double(), 1)
    ours = torch.softmax(x.to("alt"), 1).cpu().double()
    assert ((ours - truth).abs() / truth).max() < 1e-6
    assert abs(ours.sum() - 1) < 1e-6


@pytest.mark.parametrize("name", ["_softmax", "_log_softmax"])
def test_out(name):
    torch.manual_seed(0)
    x = torch.randn(4, 6, 5)
    function = getattr(torch, name)
    expected = function(x, 1, False)
    with altbackend.no_fallback():
        for out in (torch.empty(4, 6, 5), torch.empty(6, 5, 4).permute(2, 0, 1)):
            ours = copy_to(out, "alt")
            assert function(x.to("alt"), 1, False, out=ours) is ours
            assert_same(ours, expected, strides=False)
            assert ours.stride() == out.stride()


def test_double_backward():
    torch.manual_seed(0)
    for function in (F.softmax, F.log_softmax):
        x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
        assert_agrees(function, x, 1, double_backward=True)


def test_half_to_float():
    torch.manual_seed(0)
    half = torch.randn(4, 9, dtype=torch.float16)
    for name in ("_softmax", "_log_softmax"):
        ours = getattr(torch, name)(half.to("alt"), 1, True)
        assert_same(ours, getattr(torch, name)(half.float(), 1, False))
    # Stock has no such kernel on cpu, but the gradient's narrow output is the same arithmetic.
    grad, output = torch.randn(4, 9), torch.softmax(half.float(), 1)
    ours = torch._softmax_backward_data(grad.to("alt"), output.to("alt"), 1, torch.float16)
    assert_same(ours, torch._softmax_backward_data(grad, output, 1, torch.float32).half())


def test_errors():
    x = torch.randn(2, 3)
    assert_same_error(lambda t: torch.softmax(t, 2), x)
    assert_same_error(lambda t: torch.log_softmax(t, -3), x)
    assert_same_error(lambda t: torch.softmax(t, 0), x.long(), text="not implemented for 'Long'")


@pytest.mark.parametrize("dim", [0, 1])
def test_softmax_of_large_numbers_is_exact_to_a_few_ulp(dim):
    torch.manual_seed(0)
    x = torch.randn(33, 35) * 30
    expected = torch.softmax(x.double(), dim)
    ours = torch.softmax(x.to("alt"), dim).cpu().double()
    normal = expected > 2**-125
    ulp = (ours - expected).abs() / expected * 2**23
    assert ulp[normal].max() < 4  # stock's: 33


@pytest.mark.parametrize("function", [torch.softmax, torch.log_softmax])
@pytest.mark.parametrize(
    ("shape", "dim"),
    [
        ((4_001, 1_101), 1),
        ((4_001, 1_101), 0),
        ((9_000, 500), 0),  # more exponentials in a block of columns than a thread keeps memory for
        ((3, 21, 270, 257), 1),
    ],
    ids=str,
)
def test_results_that_no_cache_holds(function, shape, dim):
    torch.manual_seed(0)
    x = torch.randn(shape, requires_grad=True)
    assert_agrees(lambda x: function(x, dim), x)
    with torch.no_grad():
        assert_agrees(lambda x: function(x.bfloat16(), dim), x)
