"""Upsampling: every mode, sizes and scales, align_corners, dtypes, memory formats, errors."""

import random

import pytest
import torch
import torch.nn.functional as F
from agreement import FLOATING, assert_agrees, assert_same_error, check_op_samples, op_samples

CASES = 40
MODES = [
    ("nearest", 1),
    ("nearest", 2),
    ("nearest", 3),
    ("nearest-exact", 1),
    ("nearest-exact", 2),
    ("nearest-exact", 3),
    ("linear", 1),
    ("bilinear", 2),
    ("trilinear", 3),
    ("bicubic", 2),
]


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(
        [
            "nn.functional.interpolate.nearest",
            "nn.functional.interpolate.nearest-exact",
            "nn.functional.interpolate.linear",
            "nn.functional.interpolate.bilinear",
            "nn.functional.interpolate.bicubic",
            "nn.functional.interpolate.trilinear",
            "nn.functional.interpolate.area",
            "nn.functional.upsample_nearest",
            "nn.functional.upsample_bilinear",
        ],
        FLOATING,
    ),
)
def test_samples(op, dtype):
    check_op_samples(op, dtype)


def random_arguments(choose: random.Random, mode: str, sizes: list[int]) -> dict:
    """A size, equal or double or neither, or a scale factor that the sizes do not show."""
    keywords: dict = {"mode": mode}
    kind = choose.randrange(5)
    if kind == 0:
        keywords["size"] = sizes
    elif kind == 1:
        keywords["size"] = [2 * s for s in sizes]
    elif kind == 2:
        keywords["size"] = [choose.randint(1, 12) for _ in sizes]
    else:
        keywords["scale_factor"] = [choose.choice([0.6, 1.05, 1.5, 2, 2.05, 3.3]) for _ in sizes]
        keywords["recompute_scale_factor"] = choose.choice([None, True])
    if "nearest" not in mode:
        keywords["align_corners"] = choose.random() < 0.5
    return keywords


@pytest.mark.parametrize(
    ("mode", "dimensions", "dtype"),
    [
        *((*mode, dtype) for mode in MODES for dtype in FLOATING),
        *((*mode, torch.uint8) for mode in MODES if "nearest" in mode[0]),
    ],
)
def test_interpolate(mode, dimensions, dtype):
    choose = random.Random(f"{mode} {dimensions} {dtype}")
    torch.manual_seed(0)
    for _ in range(CASES):
        sizes = [choose.randint(2, 9) for _ in range(dimensions)]
        x = torch.randn(2, choose.choice([3, 5]), *sizes, dtype=torch.float64)
        x = x.mul(20).to(dtype) if dtype == torch.uint8 else x.to(dtype).requires_grad_()
        if dimensions > 1 and choose.random() < 0.3:
            last = torch.channels_last if dimensions == 2 else torch.channels_last_3d
            x = x.detach().contiguous(memory_format=last).requires_grad_(x.requires_grad)
        keywords = random_arguments(choose, mode, sizes)
        assert_agrees(lambda t, k=keywords: F.interpolate(t, **k), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_antialias(mode, dtype):
    choose = random.Random(f"{mode} {dtype}")
    torch.manual_seed(0)
    for _ in range(CASES):
        sizes = [choose.randint(2, 30) for _ in range(2)]
        x = torch.randn(2, 3, *sizes, dtype=dtype, requires_grad=True)
        # Stock gets it wrong when a contiguous image becomes one column wide.
        size = [choose.randint(1, 20), choose.randint(2, 20)]
        keywords = {"size": size, "mode": mode, "align_corners": choose.random() < 0.3}
        assert_agrees(lambda t, k=keywords: F.interpolate(t, antialias=True, **k), x)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_bytes(mode, antialias):
    choose = random.Random(f"{mode} {antialias}")
    torch.manual_seed(0)
    for _ in range(CASES):
        sizes = [choose.randint(2, 30) for _ in range(2)]
        x = torch.randint(0, 256, (2, choose.choice([1, 3, 5]), *sizes), dtype=torch.uint8)
        if choose.random() < 0.5:
            x = x.contiguous(memory_format=torch.channels_last)
        keywords = random_arguments(choose, mode, sizes)
        assert_agrees(lambda t, k=keywords: F.interpolate(t, antialias=antialias, **k), x)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_large(mode):
    """Enough rows for several threads, and for stock's other kernel."""
    x = torch.randn(3, 5, 40, 50, requires_grad=True)
    assert_agrees(lambda t: F.interpolate(t, scale_factor=2.05, mode=mode), x, factor=4)
    assert_agrees(lambda t: F.interpolate(t, size=(90, 100), mode=mode), x, factor=4)


def test_double_backward():
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    for mode in ("nearest", "bilinear", "bicubic"):
        assert_agrees(
            lambda t, m=mode: F.interpolate(t, scale_factor=2, mode=m) ** 2, x, double_backward=True
        )


def test_module():
    x = torch.randn(1, 2, 3, 3, requires_grad=True)
    assert_agrees(torch.nn.Upsample(scale_factor=2), x)
    assert_agrees(torch.nn.Upsample(size=(5, 7), mode="bilinear", align_corners=True), x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.interpolate(x, size=(0, 3)),
        lambda x: F.interpolate(x, size=(3, 3, 3)),
        lambda x: F.interpolate(x, size=3, mode="linear"),
        lambda x: F.interpolate(x[:, :, :0], size=3),
        lambda x: F.interpolate(x.bool(), size=3, mode="bicubic"),
        lambda x: F.interpolate(x[0].bool(), size=3, mode="linear"),
        lambda x: F.interpolate(x),
    ],
)
def test_errors(function):
    assert_same_error(function, torch.randn(2, 3, 8, 8))


@pytest.mark.skipif(not hasattr(torch._C._nn, "_upsample_lanczos2d_aa"), reason="torch 2.13 has it")
@pytest.mark.parametrize("sizes", [(4, 13), (20, 30), (9, 5)])
def test_lanczos(sizes):
    def resize(x):
        return F.interpolate(x, sizes, mode="lanczos", antialias=True)

    for dtype in (torch.float32, torch.float64):
        assert_agrees(resize, torch.randn(2, 3, 9, 11, dtype=dtype, requires_grad=True), factor=4)
    assert_agrees(resize, torch.randint(0, 256, (2, 3, 9, 11), dtype=torch.uint8))
    last = torch.randn(2, 3, 9, 11).to(memory_format=torch.channels_last)
    assert_agrees(resize, last, factor=4)
