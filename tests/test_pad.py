"""Padding by a constant, reflection, replication: dimensions, dtypes, layouts, gradients, input."""

import random

import pytest
import torch
import torch.nn.functional as F
from agreement import (
    FLOATING,
    assert_agrees,
    assert_same_error,
    check_op_samples,
    noncontiguous,
    op_samples,
)

OTHERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.complex64]
MODES = ["reflect", "replicate", "circular"]


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(
        [
            "constant_pad_nd",
            "nn.functional.pad.constant",
            "nn.functional.pad.reflect",
            "nn.functional.pad.replicate",
            "nn.functional.pad.replicate_negative",
            "nn.functional.pad.circular",
        ],
        [*FLOATING, *OTHERS],
    ),
)
def test_samples(op, dtype):
    check_op_samples(op, dtype, most=30)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_random_pads(mode, dimensions):
    choose = random.Random(f"{mode}{dimensions}")
    for case in range(30):
        sizes = [choose.randint(2, 6) for _ in range(dimensions)]
        # Reflection may not reach the edge; negative padding cuts.
        pads = [choose.randint(-1, min(sizes) - 1) for _ in range(2 * dimensions)]
        if mode == "circular":
            pads = [abs(p) for p in pads]
        for i, size in enumerate(reversed(sizes)):
            if size + pads[2 * i] + pads[2 * i + 1] < 1:
                pads[2 * i] = 0
        outer = [2, 3] if case % 2 or mode == "circular" else [3]
        x = torch.randn(*outer, *sizes, dtype=torch.float64, requires_grad=True)
        if case % 3 == 0:
            x = noncontiguous(x)
        assert_agrees(lambda t, p=tuple(pads): F.pad(t, p, mode=mode), x, double_backward=True)


@pytest.mark.parametrize("value", [0, 2.5])
@pytest.mark.parametrize(
    ("shape", "pads"),
    [
        ((3, 4, 130), (1, 0, 0, 2, 3, 1)),
        ((5, 200), (0, 0, 2, 1)),
        ((300,), (4, 5)),
        ((2, 3, 4, 5, 150), (0, 0, 1, 1, 0, 2, 3, 0)),
        ((2, 3, 140), (0, 3, 0, 0, 1, 0)),
        ((2, 3, 140), (-1, 3, 1, 1)),
        ((17, 64, 65, 61), (1, 2, 3, 1)),  # short rows, written past the caches in blocks
        ((3, 2, 3_000, 1_001), (3, 1, 0, 2)),  # long ones
        ((129, 37_003), (2, 2)),
    ],
    ids=str,
)
def test_constant(shape, pads, value):
    x = torch.randn(shape, requires_grad=sum(shape) < 1_000)
    assert_agrees(lambda t: F.pad(t, pads, value=value), x)


@pytest.mark.parametrize("dtype", [*FLOATING, *OTHERS, torch.bool], ids=str)
def test_constant_of_any_dtype(dtype):
    x = torch.randint(0, 2, (3, 4, 600)).to(dtype)
    for value in (0, 1):
        assert_agrees(lambda t, v=value: F.pad(t, (1, 2, 0, 1), value=v), x)
        assert_agrees(lambda t, v=value: F.pad(t.mT, (1, 2, 0, 1), value=v), x)
    assert_agrees(lambda t: F.pad(t.conj() if t.is_complex() else t, (1, 1)), x)


def test_constant_of_channels_last():
    x = torch.randn(2, 3, 40, 50).to(memory_format=torch.channels_last)
    assert_agrees(lambda t: F.pad(t, (1, 2, 3, 4), value=7.0), x)
    assert_agrees(lambda t: F.pad(t[:, :1], (1, 2, 3, 4)), x)


def test_constant_errors():
    pad = torch.constant_pad_nd
    x = torch.ones(3, 600)
    assert_same_error(pad, x, [1])
    assert_same_error(pad, x, [1, 1, 1, 1, 1, 1])
    assert_same_error(pad, x, [-400, -300])
    assert_same_error(lambda t: pad(t.to(torch.int8), [1, 1], 300), x)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
@pytest.mark.parametrize(
    ("dimensions", "memory_format"), [(2, torch.channels_last), (3, torch.channels_last_3d)]
)
def test_channels_last(mode, dimensions, memory_format):
    x = torch.randn(2, 5, *[4] * dimensions).to(memory_format=memory_format).requires_grad_()
    assert_agrees(lambda t: F.pad(t, [2, 1] * dimensions, mode=mode), x)


def test_gradients_of_half_types_are_added_in_float():
    x = torch.zeros(1, 1, 1, dtype=torch.float16, device="alt", requires_grad=True)
    F.pad(x, (0, 4095), mode="replicate").sum().backward()
    assert x.grad.item() == 4096


@pytest.mark.parametrize("name", ["reflection_pad2d", "replication_pad2d", "reflection_pad1d"])
def test_out(name):
    operator = getattr(torch.ops.aten, name)
    pads = [1, 2] * int(name[-2])
    x = torch.randn(2, 3, *[4] * int(name[-2]))
    sizes = [2, 3, *[7] * int(name[-2])]
    assert_agrees(lambda t, out: operator.out(t, pads, out=out), x, torch.empty(sizes))
    spread = noncontiguous(torch.zeros(sizes))
    assert_agrees(lambda t, out: operator.out(t, pads, out=out), x, spread)


@pytest.mark.parametrize(
    ("shape", "pads", "mode"),
    [
        ((2, 3, 4), (4, 0), "reflect"),
        ((2, 3, 4, 4), (1, 4, 0, 0), "reflect"),
        ((2, 3, 4, 4), (0, 0, 4, 1), "reflect"),
        ((2, 3, 4, 4, 4), (0, 0, 0, 0, 4, 1), "reflect"),
        ((2, 0, 4, 4), (1, 1, 1, 1), "reflect"),
        ((2, 0, 4), (1, 1), "replicate"),
        ((2, 3, 4), (-2, -2), "replicate"),
        ((4, 4), (1, 1, 1, 1), "reflect"),
    ],
)
def test_bad_sizes(shape, pads, mode):
    assert_same_error(lambda t: F.pad(t, pads, mode=mode), torch.randn(shape))


def test_bad_gradients_and_dtypes():
    aten = torch.ops.aten
    x = torch.randn(2, 3, 4, 5)
    for backward in (aten.reflection_pad2d_backward, aten.replication_pad2d_backward):
        assert_same_error(lambda t, f=backward: f(t, t, [1, 1, 1, 1]), x)
        fitting = torch.ones(2, 3, 6, 7)
        assert_same_error(lambda g, t, f=backward: f(g, t, [1, 1, 1, 1]), fitting.long(), x.long())
    assert_same_error(lambda t: aten.replication_pad2d_backward(t, t, [1, 1, 1]), x)
    assert_same_error(lambda t: F.pad(t, (1, 1), mode="reflect"), torch.ones(2, 3, 4).bool())


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_empty_batch(mode):
    x = torch.randn(0, 3, 4, 4, requires_grad=True)
    assert_agrees(lambda t: F.pad(t, (1, 1, 1, 1), mode=mode), x)
