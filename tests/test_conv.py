"""Convolutions: geometry, groups, transposed, dtypes, memory formats, double backward, errors."""

import random

import pytest
import torch
import torch.nn.functional as F
from agreement import (
    FLOATING,
    assert_agrees,
    assert_same_error,
    check_op_samples,
    copy_to,
    op_samples,
    use_threads,
)
from torch import nn

import altbackend

CASES = 60


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(
        [
            "nn.functional.conv1d",
            "nn.functional.conv2d",
            "nn.functional.conv3d",
            "nn.functional.conv_transpose1d",
            "nn.functional.conv_transpose2d",
            "nn.functional.conv_transpose3d",
        ],
        [*FLOATING, torch.int64, torch.complex64],
    ),
)
def test_samples(op, dtype):
    # Stock sums a transposed convolution of float16 in float16, ours in float32.
    check_op_samples(op, dtype, factor=16 if dtype == torch.float16 else 4)


def random_case(choose: random.Random) -> tuple[dict, bool, tuple[list, list, list | None]]:
    """Keyword arguments, whether transposed, and the shapes of input, weight and bias."""
    dimensions = choose.choice([1, 2, 2, 3])
    transposed = choose.random() < 0.4
    groups = choose.choice([1, 1, 2, 3])
    channels, features = groups * choose.randint(1, 3), groups * choose.randint(1, 4)
    if choose.random() < 0.2:  # depthwise
        groups, features = channels, channels * choose.randint(1, 2)

    def each(low: int, high: int) -> list[int]:
        return [choose.randint(low, high) for _ in range(dimensions)]

    kernel, stride, dilation = each(1, 3), each(1, 3), each(1, 2)
    keywords = {
        "stride": stride,
        "padding": each(0, 2),
        "dilation": dilation,
        "groups": groups,
    }
    if transposed:
        keywords["output_padding"] = [
            choose.randint(0, max(pair) - 1) for pair in zip(stride, dilation, strict=True)
        ]
    sides = [channels, features // groups] if transposed else [features, channels // groups]
    image = [choose.randint(1, 4), channels, *each(6, 9 if dimensions > 1 else 70)]
    bias = [features] if choose.random() < 0.6 else None
    return keywords, transposed, (image, [*sides, *kernel], bias)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
def test_random_geometry(dtype):
    choose = random.Random(f"{dtype}")
    torch.manual_seed(0)
    for _ in range(CASES):
        keywords, transposed, shapes = random_case(choose)
        function = (
            [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d]
            if transposed
            else [F.conv1d, F.conv2d, F.conv3d]
        )[len(shapes[0]) - 3]
        tensors = [
            torch.randn(s, dtype=torch.float64).to(dtype).requires_grad_() if s else None
            for s in shapes
        ]
        # op_db's one_dnn results in half types are rounded in other places than ours.
        assert_agrees(
            lambda *t, f=function, k=keywords: f(*t, **k), *tensors, factor=4, strides=False
        )


# Large enough for strips of the image, blocks of channels and slices of the batch.
@pytest.mark.parametrize(
    ("image", "weight", "keywords"),
    [
        ((2, 16, 60, 70), (24, 16, 3, 3), {"padding": 1}),
        ((1, 40, 50, 50), (8, 40, 5, 5), {"padding": 2, "stride": 2}),
        ((16, 3, 32, 32), (8, 3, 3, 3), {}),
        ((3, 64, 20, 20), (32, 64, 1, 1), {}),
        ((2, 64, 20, 20), (64, 1, 3, 3), {"groups": 64, "padding": 1}),
        ((1, 700, 6, 6), (20, 700, 3, 3), {"padding": 1}),
        ((2, 4, 12, 20, 20), (6, 4, 3, 3, 3), {"padding": 1}),
        ((4, 8, 3000), (16, 8, 9), {"dilation": 3}),
    ],
)
def test_large(image, weight, keywords):
    torch.manual_seed(0)
    x = torch.randn(image, requires_grad=True)
    w = torch.randn(weight).div(weight[1] ** 0.5).requires_grad_()
    b = torch.randn(weight[0], requires_grad=True)
    function = [F.conv1d, F.conv2d, F.conv3d][len(image) - 3]
    assert_agrees(lambda *t: function(*t, **keywords), x, w, b, factor=16)
    transpose = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d][len(image) - 3]
    y = function(x, w, **keywords).detach().requires_grad_()
    assert_agrees(lambda *t: transpose(*t, **keywords), y, w, factor=64)


# What the blocks of the matrix core and of the direct kernels may stumble over.
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("image", "weight", "keywords"),
    [
        ((1, 300, 9, 9), (70, 300, 3, 3), {"padding": 1}),  # several ranges of k, a partial panel
        ((2, 20, 5, 2000), (17, 20, 3, 3), {"padding": 1}),  # rows cut into blocks
        ((1, 3, 40, 40), (33, 3, 31, 31), {"padding": 15}),  # a window wider than a block
        ((2, 5, 6, 6), (18, 5, 2, 2), {"padding": 4}),  # padding beyond the kernel
        ((2, 5, 6, 6), (18, 5, 2, 2), {"padding": (0, 5), "dilation": (3, 4)}),
        ((2, 20, 11, 12), (18, 20, 2, 2), {"stride": (3, 5)}),  # stride beyond the kernel
        ((2, 20, 11, 12), (40, 20, 1, 1), {"stride": (3, 2), "padding": (1, 2)}),
        ((2, 20, 11, 12), (40, 20, 1, 3), {"stride": (3, 2), "padding": (1, 2)}),
        ((2, 36, 10, 10), (54, 12, 3, 3), {"groups": 3, "stride": 2, "padding": 1}),
        ((2, 12, 9, 40), (24, 1, 3, 3), {"groups": 12, "stride": 2, "dilation": 2, "padding": 3}),
        ((2, 4, 3, 2100), (4, 1, 1, 5), {"groups": 4, "padding": (0, 2), "stride": (1, 3)}),
        ((1, 200, 33, 33), (3, 200, 3, 3), {"padding": 1}),  # few channels from many
    ],
)
def test_borders_of_blocks(image, weight, keywords, last):
    torch.manual_seed(0)
    x = torch.randn(image)
    w = torch.randn(weight) / (weight[1] * weight[2] * weight[3]) ** 0.5
    if last:
        x, w = (t.contiguous(memory_format=torch.channels_last) for t in (x, w))
    b = torch.randn(weight[0], requires_grad=True)
    x, w = x.requires_grad_(), w.requires_grad_()
    assert_agrees(lambda *t: F.conv2d(*t, **keywords), x, w, b, factor=32)
    y = F.conv2d(x, w, **keywords).detach().requires_grad_()
    assert_agrees(lambda *t: F.conv_transpose2d(*t, **keywords), y, w, factor=32)


def operands(
    source: tuple, weight: tuple, channels: int, features: int, dtype: torch.dtype, last: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An image, channels_last or not, a weight for so many channels of it, and a bias."""
    torch.manual_seed(0)
    x, w = torch.randn(source, dtype=dtype), torch.randn(weight, dtype=dtype)
    w /= (channels * weight[2] * weight[3]) ** 0.5
    if last:
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        x = x.contiguous(memory_format=formats[x.dim()])
    b = torch.randn(features, dtype=dtype)
    return x.requires_grad_(), w.requires_grad_(), b.requires_grad_()


# Many small images and few channels, in the result or in the input's gradient: images are lanes.
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("image", "weight", "keywords"),
    [
        ((64, 6, 14, 14), (16, 6, 5, 5), {}),
        ((50, 8, 9, 9), (5, 8, 5, 5), {"padding": 2}),  # the last vector is not full
        ((40, 12, 8, 8), (8, 6, 5, 5), {"groups": 2, "padding": (4, 2)}),
        ((61, 8, 6, 6), (3, 8, 3, 3), {"padding": 4}),  # places without a tap
        ((70, 8, 13, 13), (4, 8, 5, 4), {"stride": (2, 3), "dilation": (2, 1), "padding": 4}),
        ((49, 4, 5, 6, 7), (3, 4, 3, 3, 5), {"padding": (1, 2, 2)}),
    ],
)
def test_images_as_lanes(image, weight, keywords, dtype, last):
    x, w, b = operands(image, weight, weight[1], weight[0], dtype, last)
    function = [F.conv2d, F.conv3d][len(image) - 4]
    assert_agrees(lambda *t: function(*t, **keywords), x, w, b, factor=64, strides=not last)


# Few channels that many are spread over, a stride apart: the residues of the stride are channels.
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("source", "weight", "keywords"),
    [
        ((2, 64, 31, 33), (64, 3, 7, 7), {"stride": 2, "padding": 3, "output_padding": 1}),
        ((2, 16, 37, 41), (16, 3, 4, 3), {"stride": (3, 2), "padding": (0, 1)}),
        # Residues without a tap, and padding beyond the kernel.
        ((2, 32, 30, 30), (32, 4, 2, 5), {"stride": (4, 1), "padding": (0, 6)}),
        ((2, 16, 9, 12, 14), (16, 2, 3, 3, 3), {"stride": 2, "padding": (1, 0, 1)}),
    ],
)
def test_residues_of_a_stride(source, weight, keywords, dtype, last):
    x, w, b = operands(source, weight, weight[0], weight[1], dtype, last)
    transpose = [F.conv_transpose2d, F.conv_transpose3d][len(source) - 4]
    assert_agrees(lambda *t: transpose(*t, **keywords), x, w, b, factor=32, strides=not last)
    function = [F.conv2d, F.conv3d][len(source) - 4]
    keywords = {k: v for k, v in keywords.items() if k != "output_padding"}
    y = transpose(x, w, b, **keywords).detach().requires_grad_()
    assert_agrees(lambda *t: function(*t, **keywords), y, w, factor=64, strides=not last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize("channels", [1, 4])
def test_channels_last(channels, dtype):
    torch.manual_seed(0)
    x = torch.randn(2, channels, 7, 9, dtype=torch.float64).to(dtype)
    w = torch.randn(6, channels, 3, 3, dtype=torch.float64).to(dtype)
    last = {"memory_format": torch.channels_last}
    for image, weight in ((x.to(**last), w), (x, w.to(**last)), (x.to(**last), w.to(**last))):
        assert_agrees(F.conv2d, image.requires_grad_(), weight.requires_grad_(), factor=4)
    volume = x[:, :, None].contiguous(memory_format=torch.channels_last_3d)
    assert_agrees(F.conv3d, volume, w[:, :, None], factor=4)


# Of float, 3x3 and stride 1, with channels and places enough for Winograd's transform.
WINOGRAD = [
    ((2, 20, 13, 11), (40, 20), {"padding": 0}),  # partial vectors, an odd number of places
    ((2, 70, 16, 15), (33, 70), {"padding": 2}),  # several ranges of channels
    ((9, 130, 6, 6), (140, 130), {"padding": 1}),  # several images a block, several panels
    ((1, 32, 5, 700), (32, 32), {"padding": (1, 2)}),  # rows of tiles cut into blocks
    ((2, 48, 40, 42), (96, 24), {"padding": 1, "groups": 2}),
    ((4, 24, 33, 31), (80, 24), {"padding": 1}),  # a weight that is transformed once
]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("image", "channels", "keywords"), WINOGRAD)
def test_winograd_is_as_accurate(image, channels, keywords, last):
    torch.manual_seed(0)
    weight = (*channels, 3, 3)
    x, w, b = torch.randn(image), torch.randn(weight) / (9 * channels[1]) ** 0.5, torch.randn(1)
    if last:
        x, w = (t.contiguous(memory_format=torch.channels_last) for t in (x, w))
    b = b.expand(channels[0])

    def run(*operands: torch.Tensor) -> list[torch.Tensor]:
        leaves = [t.detach().requires_grad_() for t in operands]
        y = F.conv2d(*leaves, **keywords)
        torch.manual_seed(1)
        grad = torch.randn(y.shape).to(y)
        back = F.conv_transpose2d(grad, leaves[1], **keywords)
        grads = torch.autograd.grad(y, leaves, grad)
        return [t.detach().double().cpu() for t in (y, back, *grads)]

    exact = run(x.double(), w.double(), b.double())
    with altbackend.no_fallback():
        ours = run(*(t.to("alt") for t in (x, w, b)))
    for result, expected in zip(ours, exact, strict=True):
        assert (result - expected).abs().max() < 2e-6 * expected.abs().max()


def test_double_backward():
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    w = torch.randn(6, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    b = torch.randn(6, dtype=torch.float64, requires_grad=True)
    assert_agrees(lambda *t: F.conv2d(*t, groups=2, padding=1), x, w, b, double_backward=True)
    t = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert_agrees(lambda *a: F.conv_transpose2d(*a, stride=2), x, t, double_backward=True)


def test_gradients_of_some_operands_only():
    x, w, b = torch.randn(2, 3, 5, 5), torch.randn(4, 3, 3, 3), torch.randn(4)
    assert_agrees(F.conv2d, x.clone().requires_grad_(), w, b)
    assert_agrees(F.conv2d, x, w.clone().requires_grad_(), b)
    assert_agrees(F.conv2d, x, w, b.clone().requires_grad_())


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_module(mode, padding):
    torch.manual_seed(0)
    module = nn.Conv2d(3, 5, (3, 4), padding=padding, padding_mode=mode)
    parameters = [p.detach().requires_grad_() for p in module.parameters()]

    def run(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return module._conv_forward(x, weight, bias)

    assert_agrees(run, torch.randn(2, 3, 8, 8, requires_grad=True), *parameters)


def test_unbatched_and_empty():
    w = torch.randn(4, 3, 3, 3, requires_grad=True)
    assert_agrees(F.conv2d, torch.randn(3, 6, 6, requires_grad=True), w)
    assert_agrees(F.conv2d, torch.randn(0, 3, 6, 6, requires_grad=True), w)
    assert_agrees(F.conv_transpose2d, torch.randn(0, 4, 6, 6, requires_grad=True), w)


def test_noncontiguous():
    x = torch.randn(2, 9, 6, 3).permute(0, 3, 1, 2)[:, :, ::2]
    for w in (
        torch.randn(3, 3, 3, 4).permute(3, 0, 1, 2),
        torch.randn(3, 3, 4, 3).permute(2, 3, 1, 0),
        torch.randn(8, 6, 3, 6)[::2, ::2, :, ::2],
    ):
        assert_agrees(F.conv2d, x, w, strides=False)
        assert_agrees(F.conv2d, x.repeat_interleave(20, 3), w.repeat(8, 1, 1, 1), factor=4)
    w = torch.randn(4, 3, 1, 1)
    assert_agrees(lambda x, w: F.conv2d(x, w.expand(4, 3, 3, 3)), x, w, strides=False)


@pytest.mark.parametrize(
    ("image", "weight", "keywords"),
    [
        ((13, 4, 20, 20), (6, 4, 3, 3), {}),  # by places
        ((5, 24, 20, 20), (40, 24, 3, 3), {"padding": 1}),  # by channels
        ((30, 70, 3, 3), (70, 70, 3, 3), {"padding": 1}),  # several images at once
        ((4, 30, 9, 9), (30, 1, 3, 3), {"groups": 30, "stride": 2}),
        ((64, 6, 14, 14), (16, 6, 5, 5), {}),  # by images
        *((image, (*channels, 3, 3), keywords) for image, channels, keywords in WINOGRAD),
    ],
)
def test_bits_do_not_depend_on_threads(image, weight, keywords):
    x, w = copy_to((torch.randn(image), torch.randn(weight)), "alt")
    x, w = x.requires_grad_(), w.requires_grad_()

    def run(threads: int) -> list[torch.Tensor]:
        with use_threads(threads):
            y = F.conv2d(x, w, **keywords)
            return [y.detach(), *torch.autograd.grad(y.square().sum(), (x, w))]

    expected = run(1)
    for threads in (2, 3, 2):
        for a, b in zip(run(threads), expected, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: F.conv2d(x, w[:, :2]),
        lambda x, w: F.conv2d(x[:, :, :2], w),
        lambda x, w: F.conv2d(x[0, 0], w),
        lambda x, w: F.conv2d(x, w, x.new_ones(3)),
        lambda x, w: F.conv2d(x, w, stride=0),
        lambda x, w: F.conv2d(x, w, padding=-1),
        lambda x, w: F.conv2d(x, w, dilation=0),
        lambda x, w: F.conv2d(x, w, groups=2),
        lambda x, w: F.conv2d(x, w, x.new_ones(4, dtype=torch.float64)),
        lambda x, w: F.conv_transpose2d(x, w),
        lambda x, w: F.conv_transpose2d(x, w.transpose(0, 1), output_padding=1),
    ],
)
def test_errors(function):
    assert_same_error(function, torch.randn(2, 3, 6, 6), torch.randn(4, 3, 3, 3))


def test_mixed_dtypes_are_an_error():
    assert_same_error(
        F.conv2d,
        torch.randn(2, 3, 6, 6),
        torch.randn(4, 3, 3, 3).double(),
        text="should be the same",
    )
    assert_same_error(
        F.conv2d, torch.randn(2, 3, 6, 6).half(), torch.randn(4, 3, 3, 3), text="should be the same"
    )
