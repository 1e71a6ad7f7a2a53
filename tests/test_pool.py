"""Pooling: windows, ceil_mode, padding, NaN, indices, dtypes, memory formats, errors."""

import random

import pytest
import torch
import torch.nn.functional as F
from agreement import FLOATING, assert_agrees, assert_same_error, check_op_samples, op_samples

CASES = 40
aten = torch.ops.aten


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(
        [
            "nn.functional.max_pool1d",
            "nn.functional.max_pool2d",
            "nn.functional.max_pool3d",
            "nn.functional.avg_pool1d",
            "nn.functional.avg_pool2d",
            "nn.functional.avg_pool3d",
            "nn.functional.adaptive_avg_pool1d",
            "nn.functional.adaptive_avg_pool2d",
            "nn.functional.adaptive_avg_pool3d",
            "nn.functional.adaptive_max_pool1d",
            "nn.functional.adaptive_max_pool2d",
            "nn.functional.adaptive_max_pool3d",
            "nn.functional.fractional_max_pool2d",
            "nn.functional.fractional_max_pool3d",
            "nn.functional.max_unpool1d",
            "nn.functional.max_unpool2d",
            "nn.functional.max_unpool3d",
        ],
        [*FLOATING, torch.int64],
    ),
)
def test_samples(op, dtype):
    check_op_samples(op, dtype)


def image(choose: random.Random, dimensions: int, dtype: torch.dtype) -> torch.Tensor:
    """Random numbers in one of the formats and with or without a batch dimension."""
    shape = [
        choose.randint(1, 3),
        choose.randint(2, 5),
        *(choose.randint(5, 9) for _ in range(dimensions)),
    ]
    if not dtype.is_floating_point:
        return torch.randint(0, 9, shape, dtype=dtype)
    # Few values, so that equal maxima are common.
    x = torch.randint(-8, 8, shape, dtype=torch.float64).div(2).to(dtype)
    last = torch.channels_last if dimensions == 2 else torch.channels_last_3d
    layout = choose.choice(
        [lambda: x, lambda: x[0], lambda: x.mT, lambda: x.contiguous(memory_format=last)]
    )
    return layout().requires_grad_()


def window(choose: random.Random, dimensions: int) -> tuple[list[int], list[int], list[int]]:
    kernel = [choose.randint(1, 3) for _ in range(dimensions)]
    stride = [choose.randint(1, 3) for _ in range(dimensions)]
    padding = [choose.randint(0, k // 2) for k in kernel]
    return kernel, stride, padding


@pytest.mark.parametrize("dtype", [*FLOATING, torch.int64, torch.int32, torch.uint8], ids=str)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_max_pool(dimensions, dtype):
    choose = random.Random(f"{dimensions} {dtype}")
    function = [F.max_pool2d, F.max_pool3d][dimensions - 2]
    for _ in range(CASES):
        x = image(choose, dimensions, dtype)
        kernel, stride, padding = window(choose, dimensions)
        keywords = {
            "dilation": choose.choice([1, 1, 2]),
            "ceil_mode": choose.random() < 0.5,
            "return_indices": dtype.is_floating_point,
        }
        assert_agrees(
            lambda t, a=(kernel, stride, padding), k=keywords: function(t, *a, **k),
            x,
        )


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_max_pool_of_values_that_compare_badly(value):
    torch.manual_seed(0)
    for fraction in (0.3, 1.0):
        x = torch.randn(2, 3, 9, 9)
        x[torch.rand(x.shape) < fraction] = value
        for dtype in FLOATING:
            y = x.to(dtype).requires_grad_()
            assert_agrees(lambda t: F.max_pool2d(t, 3, 2, 1, return_indices=True), y)
            assert_agrees(lambda t: F.max_pool3d(t, 3, 2, 1, return_indices=True), y)
            assert_agrees(lambda t: F.adaptive_max_pool2d(t, 4, return_indices=True), y)


@pytest.mark.parametrize("dtype", [*FLOATING, torch.int64], ids=str)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_avg_pool(dimensions, dtype):
    choose = random.Random(f"{dimensions} {dtype}")
    function = [F.avg_pool2d, F.avg_pool3d][dimensions - 2]
    if dimensions == 3 and dtype in (torch.float16, torch.bfloat16):
        assert function(torch.ones(1, 1, 2, 2, 2, dtype=dtype, device="alt"), 2).item() == 1
        return  # stock has no such kernel to compare with
    for _ in range(CASES):
        x = image(choose, dimensions, dtype)
        keywords = {
            "ceil_mode": choose.random() < 0.5,
            "count_include_pad": choose.random() < 0.5,
            "divisor_override": choose.choice([None, None, 3]),
        }
        arguments = window(choose, dimensions)
        assert_agrees(lambda t, a=arguments, k=keywords: function(t, *a, **k), x)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_adaptive_pool(dimensions, dtype):
    choose = random.Random(f"{dimensions} {dtype}")
    average = [aten._adaptive_avg_pool2d, aten._adaptive_avg_pool3d][dimensions - 2]
    maximum = [F.adaptive_max_pool2d, F.adaptive_max_pool3d][dimensions - 2]
    for _ in range(CASES // 2):
        x = image(choose, dimensions, dtype)
        size = [choose.randint(1, 7) for _ in range(dimensions)]
        assert_agrees(lambda t, s=size: average(t, s), x)
        assert_agrees(lambda t, s=size: maximum(t, s, return_indices=True), x)


def test_large():
    """Enough planes and rows for several threads."""
    x = torch.randn(8, 16, 50, 60, requires_grad=True)
    assert_agrees(lambda t: F.max_pool2d(t, 2), x)
    assert_agrees(lambda t: F.avg_pool2d(t, 3, 2, 1), x)
    assert_agrees(lambda t: F.adaptive_avg_pool2d(t, (7, 7)), x)


def test_empty_batch():
    x = torch.randn(0, 3, 8, 8, requires_grad=True)
    assert_agrees(lambda t: F.max_pool2d(t, 2), x)
    assert_agrees(lambda t: F.avg_pool2d(t, 2), x)
    assert_agrees(lambda t: F.adaptive_avg_pool2d(t, 2), x)
    assert_agrees(lambda t: F.max_pool3d(t[:, :, None], (1, 2, 2)), x)


def test_double_backward():
    x = torch.randn(2, 3, 7, 7, dtype=torch.float64, requires_grad=True)
    for function in (
        lambda t: F.max_pool2d(t, 2) ** 2,
        lambda t: F.avg_pool2d(t, 2) ** 2,
        lambda t: F.adaptive_avg_pool2d(t, 3) ** 2,
        lambda t: F.adaptive_max_pool2d(t, 3) ** 2,
        lambda t: F.max_pool3d(t, 2) ** 2,
    ):
        assert_agrees(function, x, double_backward=True)


def test_out():
    x = torch.randn(2, 3, 6, 6)
    out = torch.empty(0)
    assert_agrees(lambda t, o: aten.avg_pool2d.out(t, [2, 2], out=o), x, out)
    assert_agrees(lambda t, o: aten.adaptive_avg_pool2d.out(t, [2, 2], out=o), x, out)
    indices = torch.empty(0, dtype=torch.int64)
    assert_agrees(
        lambda t, o, i: aten.max_pool3d_with_indices.out(t, [2, 2, 2], out=o, indices=i),
        x, out, indices,
    )  # fmt: skip


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.max_pool2d(x, 9),
        lambda x: F.max_pool2d(x, 2, padding=2),
        lambda x: F.max_pool2d(x, 0),
        lambda x: F.max_pool2d(x[0, 0], 2),
        lambda x: F.max_pool2d(x.bool(), 2),
        lambda x: F.max_pool3d(x, 9),
        lambda x: F.max_pool3d(x, 2, padding=2),
        lambda x: F.max_pool3d(x, (2, 2)),
        lambda x: F.max_pool3d(x[0], 2),
        lambda x: F.max_pool3d(x.bool(), 2),
        lambda x: F.avg_pool2d(x, 2, divisor_override=0),
        lambda x: F.avg_pool2d(x.int(), 2),
        lambda x: F.avg_pool2d(x, 2, padding=2),
        lambda x: F.avg_pool3d(x, 2, divisor_override=0),
        lambda x: F.adaptive_avg_pool2d(x, (2,)),
        lambda x: F.adaptive_avg_pool2d(x, (-1, 2)),
        lambda x: F.adaptive_avg_pool2d(x[:, :, :0], (2, 2)),
        lambda x: F.adaptive_avg_pool2d(x.long(), (2, 2)),
        lambda x: F.adaptive_avg_pool3d(x, (2, 2)),
        lambda x: F.adaptive_max_pool2d(x.long(), 2),
    ],
)
def test_errors(function):
    assert_same_error(function, torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize(
    "function",
    [
        lambda x, i: aten.max_unpool2d(x, i.int(), [8, 8]),
        lambda x, i: aten.max_unpool2d(x, i, [8]),
        lambda x, i: aten.max_unpool2d(x[0, 0], i[0, 0], [8, 8]),
        lambda x, i: aten.max_unpool2d(x, i[:, :1], [8, 8]),
        lambda x, i: aten.max_unpool2d(x[:, :0], i[:, :0], [8, 8]),
        lambda x, i: aten.max_unpool2d(x, i, [-8, 8]),
        lambda x, i: aten.max_unpool2d(x.long(), i * 0, [8, 8]),
    ],
)
def test_unpool_errors(function):
    assert_same_error(function, torch.randn(2, 3, 4, 4), torch.arange(96).view(2, 3, 4, 4))


def test_unpool_index_out_of_range():
    x, i = torch.randn(2, 3, 4, 4), torch.arange(96).view(2, 3, 4, 4)
    for shift in (0, -17):
        assert_same_error(
            lambda t, p, s=shift: aten.max_unpool2d(t, p + s, [8, 8]),
            x,
            i,
            text="Found an invalid max index",
        )


def test_unpool_keeps_channels_last():
    x = torch.randn(2, 3, 6, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    assert_agrees(lambda t: F.max_unpool2d(*F.max_pool2d(t, 2, return_indices=True), 2), x)


def test_index_out_of_range():
    """Stock writes past the plane; ours is an error."""
    x = torch.randn(1, 1, 4, 4, device="alt")
    for index in (16, -1):
        indices = torch.full((1, 1, 2, 2), index, device="alt")
        with pytest.raises(IndexError, match="out of range"):
            aten.max_pool2d_with_indices_backward(
                x[:, :, :2, :2], x, [2, 2], [2, 2], [0, 0], [1, 1], False, indices
            )
