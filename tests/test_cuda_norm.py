"""The CUDA engine's layer, group and batch norm, simulated, against stock torch."""

from __future__ import annotations

import pytest
import torch
from agreement import TOLERANCE
from cuda_kernels import Family
from cuda_simulator import Guarded, assert_near

from altbackend.cuda import kernels

DTYPES = [torch.float32, torch.float64, torch.bfloat16]
EPSILON = 1e-5
# Kind: sizes of (outer, channels, inner) and how statistics are shared.
CASES = {
    "layer": (6, 37, 1),
    "layer-long": (2, 600, 1),
    "group": (3, 8, 5),
    "batch": (4, 5, 9),
    "batch-long": (2, 3, 500),
}


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("norm")


def integers(kind: str, outer: int, channels: int, inner: int) -> list[int]:
    shared = {"layer": (1, channels, 0), "group": (4, channels // 4, 1), "batch": (0, 1, 1)}
    return [0, outer, channels, inner, *shared[kind.split("-")[0]]]


def stock(kind: str, x, weight, bias):
    """The output, and the mean and 1 / deviation that stock saves."""
    aten = torch.ops.aten
    outer, channels, inner = x.shape
    if kind.startswith("layer"):
        y, mean, scale = aten.native_layer_norm(x[..., 0], [channels], weight, bias, EPSILON)
        return y[..., None], mean, scale
    if kind.startswith("group"):
        return aten.native_group_norm(x, weight, bias, outer, channels, inner, 4, EPSILON)
    return aten.native_batch_norm(x, weight, bias, None, None, True, 0.1, EPSILON)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("kind", list(CASES))
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_stock(family: Family, dtype: torch.dtype, kind: str, affine: bool) -> None:
    outer, channels, inner = CASES[kind]
    torch.manual_seed(0)
    x = (3 + 2 * torch.randn(outer, channels, inner)).to(dtype).requires_grad_()
    # Statistics and weights as float, which stock's cpu takes beside a half input too.
    kept = torch.float32 if dtype == torch.bfloat16 else dtype
    weight = torch.randn(channels, dtype=kept).requires_grad_() if affine else None
    bias = torch.randn(channels, dtype=kept).requires_grad_() if affine else None
    y, mean, scale = stock(kind, x, weight, bias)
    given = integers(kind, outer, channels, inner)
    bound = TOLERANCE[dtype]
    types = (kept, dtype)

    stats = mean.numel()
    shared = x.numel() // stats
    grid, block = kernels.row_block(stats, shared)
    means, scales = Guarded((stats,), kept), Guarded((stats,), kept)
    for backwards in (False, True):
        family.run(
            "norm_moments",
            types,
            [means, scales, x.detach()],
            given,
            [EPSILON],
            grid=(grid,),
            block=block,
            backwards=backwards,
        )
        assert_near(means.tensor, mean.flatten().to(kept), bound, "mean")
        assert_near(scales.tensor, scale.flatten().to(kept), bound, "1 / deviation")

    found = Guarded(x.shape, dtype)
    w, b = (None if t is None else t.detach() for t in (weight, bias))
    family.run("norm_apply", types, [found, x.detach(), means, scales, w, b], given)
    assert_near(found.tensor, y.detach(), 2 * bound, "output")

    gradient = torch.randn(y.shape).to(dtype)
    leaves = [t for t in (x, weight, bias) if t is not None]
    wanted = torch.autograd.grad(y, leaves, gradient)
    to = Guarded(x.shape, dtype)
    family.run(
        "norm_backward",
        types,
        [to, gradient, x.detach(), means, scales, w],
        given,
        grid=(grid,),
        block=block,
    )
    assert_near(to.tensor, wanted[0], 8 * bound, "gradient of the input")
    if affine:
        across = inner == 1
        grid, block = kernels.row_block(channels, outer * inner, across=across)
        dw, db = Guarded((channels,), kept), Guarded((channels,), kept)
        family.run(
            "norm_weight_backward",
            types,
            [dw, db, gradient, x.detach(), means, scales],
            [int(across), *given[1:]],
            grid=(grid,),
            block=block,
        )
        assert_near(dw.tensor, wanted[1], 16 * bound, "gradient of the weight")
        assert_near(db.tensor, wanted[2], 16 * bound, "gradient of the bias")


def test_batch_norm_with_given_statistics(family: Family) -> None:
    """In eval mode the statistics are constants: the gradient passes through the scale alone."""
    x = torch.randn(3, 4, 5)
    mean, scale, weight = torch.randn(4), torch.rand(4) + 0.5, torch.randn(4)
    gradient = torch.randn(3, 4, 5)
    to = Guarded(x.shape, torch.float32)
    given = integers("batch", 3, 4, 5)
    given[0] = -1
    family.run(
        "norm_backward",
        (torch.float32, torch.float32),
        [to, gradient, x, mean, scale, weight],
        given,
        grid=(4,),
        block=(16, 1),
    )
    assert_near(to.tensor, gradient * (scale * weight)[None, :, None], 1e-5, "")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_running_statistics(family: Family, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = 2 + torch.randn(3, 4, 5, dtype=dtype)
    mean, variance = x.mean((0, 2)), x.var((0, 2), unbiased=False)
    running = [Guarded((4,), dtype) for _ in range(2)]
    expected = [torch.rand(4, dtype=dtype) for _ in range(2)]
    for ours, theirs in zip(running, expected, strict=True):
        ours.tensor.copy_(theirs)
    torch.nn.functional.batch_norm(x, *expected, training=True, momentum=0.3)
    scale = Guarded((4,), dtype)
    tensors = [scale, mean, variance, *running]
    family.run("norm_finish", (dtype,), tensors, [4, 15], [EPSILON, 0.3])
    assert_near(scale.tensor, (variance + EPSILON).rsqrt(), TOLERANCE[dtype], "1 / deviation")
    for ours, theirs in zip(running, expected, strict=True):
        assert_near(ours.tensor, theirs, TOLERANCE[dtype], "running statistics")
    # Given statistics: only the scale is wanted, and no variance and no epsilon make it infinite.
    family.run("norm_finish", (dtype,), [scale, None, torch.zeros(4, dtype=dtype)], [4], [0.0])
    assert bool(scale.tensor.isinf().all())
