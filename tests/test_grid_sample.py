"""grid_sample: modes, paddings, alignment, two and three dimensions, dtypes, layouts, bad input."""

import pytest
import torch
import torch.nn.functional as F
from agreement import (
    assert_agrees,
    assert_same_error,
    check_op_samples,
    noncontiguous,
    op_samples,
)

PADDINGS = ["zeros", "border", "reflection"]


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(
        ["nn.functional.grid_sample", "grid_sampler_2d", "grid_sampler_3d"],
        [torch.float32, torch.float64],
    ),
)
def test_samples(op, dtype):
    check_op_samples(op, dtype, most=6, factor=4)


def image_and_grid(dimensions: int, dtype: torch.dtype, channels: int = 10):
    """Channels for more than one task, points for more than one chunk, some outside the image."""
    generator = torch.Generator().manual_seed(dimensions)
    image = torch.randn(2, channels, *[5, 6, 4][:dimensions], generator=generator, dtype=dtype)
    shape = (2, *[7, 9, 5][:dimensions], dimensions)
    grid = torch.rand(shape, generator=generator, dtype=dtype) * 4 - 2
    return image.requires_grad_(), grid.requires_grad_()


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(
    ("mode", "dimensions"),
    [("bilinear", 2), ("nearest", 2), ("bicubic", 2), ("bilinear", 3), ("nearest", 3)],
)
def test_modes(mode, dimensions, padding, align_corners):
    image, grid = image_and_grid(dimensions, torch.float64)

    def sample(x, g):
        return F.grid_sample(x, g, mode, padding, align_corners)

    assert_agrees(sample, image, grid)
    assert_agrees(sample, noncontiguous(image), noncontiguous(grid))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_half_types_compute_in_float(dtype, mode):
    """Stock's coordinates are rounded at every step, so float64 is the measure."""
    image, grid = (t.detach().to(dtype) for t in image_and_grid(2, torch.float32))
    wanted = [t.double().requires_grad_() for t in (image, grid)]
    given = [t.to("alt").requires_grad_() for t in (image, grid)]
    results = []
    for x, g in (wanted, given):
        out = F.grid_sample(x, g, mode, align_corners=False)
        results.append([out, *torch.autograd.grad(out.sum(), (x, g))])
    for truth, ours in zip(*results, strict=True):
        assert ours.dtype == dtype
        error = torch.finfo(dtype).eps
        torch.testing.assert_close(ours.cpu().double(), truth, rtol=error, atol=error)


def test_only_the_gradients_that_are_asked_for():
    image, grid = image_and_grid(2, torch.float64)
    assert_agrees(lambda x, g: F.grid_sample(x, g, align_corners=False), image.detach(), grid)
    assert_agrees(lambda x, g: F.grid_sample(x, g, align_corners=False), image, grid.detach())


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_coordinates_that_are_far_away_or_no_number(mode):
    image = torch.randn(1, 2, 4, 5)
    far = torch.tensor([1e30, -1e30, 3e9, -5.0]).reshape(1, 2, 1, 2)
    for padding in ("zeros", "border"):
        assert_agrees(lambda x, g, p=padding: F.grid_sample(x, g, mode, p, False), image, far)
    none = torch.full((1, 1, 1, 2), float("nan"))
    assert_agrees(lambda x, g: F.grid_sample(x, g, mode, "zeros", False), image, none)


@pytest.mark.parametrize(
    ("image", "grid"),
    [((0, 3, 4, 4), (0, 2, 2, 2)), ((2, 0, 4, 4), (2, 2, 2, 2)), ((2, 3, 4, 4), (2, 0, 2, 2))],
)
def test_empty(image, grid):
    assert_agrees(
        lambda x, g: F.grid_sample(x, g, align_corners=False),
        torch.randn(image, requires_grad=True),
        torch.randn(grid),
    )


def test_bad_input():
    image, grid = (t.detach() for t in image_and_grid(2, torch.float32))

    def sample(x, g):
        return F.grid_sample(x, g, align_corners=False)

    assert_same_error(sample, image, grid[:1])
    assert_same_error(sample, image, grid[..., :1])
    assert_same_error(sample, image, grid.double())
    assert_same_error(sample, image.long(), grid.long())
    assert_same_error(sample, torch.randn(2, 3, 0, 4), grid)
    assert_same_error(sample, torch.randn(2, 3, 4), grid)
    volume, points = (t.detach() for t in image_and_grid(3, torch.float32))
    assert_same_error(lambda x, g: F.grid_sample(x, g, "bicubic"), volume, points)
