"""The CUDA engine's grid_sample, simulated, against stock torch."""

from __future__ import annotations

import itertools

import pytest
import torch
from cuda_kernels import Family
from cuda_simulator import Guarded, assert_near

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("grid_sample")


def problem(dimensions: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    image = torch.randn(2, 3, *(2, 5, 4)[3 - dimensions :], dtype=dtype)
    grid = 2.5 * torch.rand(2, *(2, 3, 4)[3 - dimensions :], dimensions, dtype=dtype) - 1.25
    points = grid.view(-1, dimensions)
    points[0], points[1], points[2] = 1, -1, 0  # the borders and the middle
    points[3] = 7  # reflected more than once
    return image, grid


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_agrees_with_stock(family: Family, dimensions: int, dtype: torch.dtype) -> None:
    image, grid = problem(dimensions, dtype)
    bound = 1e-4 if dtype == torch.float32 else 1e-10
    for mode, padding, aligned in itertools.product(range(3), range(3), (False, True)):
        if dimensions == 3 and MODES[mode] == "bicubic":
            continue
        where = f"{MODES[mode]} {PADDINGS[padding]} {aligned}"
        image.requires_grad_(), grid.requires_grad_()
        y = torch.nn.functional.grid_sample(
            image, grid, MODES[mode], PADDINGS[padding], align_corners=aligned
        )
        gradient = torch.randn(y.shape, dtype=dtype)
        of_image, of_grid = torch.autograd.grad(y, (image, grid), gradient)
        x, points = image.detach(), grid.detach()
        extent = (1, *x.shape[2:])[-3:]
        each = points[0, ..., 0].numel()
        integers = [dimensions, 2, 3, each, *extent, mode, padding, int(aligned)]
        found = Guarded(y.shape, dtype)
        family.run("grid_sample", (dtype,), [found, x, points], integers)
        assert_near(found.tensor, y.detach(), bound, where)
        found = Guarded(x.shape, dtype)
        found.tensor.zero_()
        given = [found, gradient, points]
        family.run("grid_sample_backward_image", (dtype,), given, integers, backwards=True)
        assert_near(found.tensor, of_image, bound, f"image, {where}")
        if MODES[mode] != "nearest":
            found = Guarded(points.shape, dtype)
            given = [found, gradient, x, points]
            family.run("grid_sample_backward_points", (dtype,), given, integers)
            assert_near(found.tensor, of_grid, bound, f"points, {where}")


def test_points_that_are_no_numbers(family: Family) -> None:
    x = torch.randn(1, 1, 3, 4)
    grid = torch.tensor([[[[float("nan"), 0.0], [0.0, 0.5]], [[0.1, float("nan")], [0.0, 9.0]]]])
    for mode, padding in itertools.product(range(3), range(3)):
        where = f"{MODES[mode]} {PADDINGS[padding]}"
        expected = torch.ops.aten.grid_sampler_2d(x, grid, mode, padding, False)
        found = Guarded(expected.shape, torch.float32)
        integers = [2, 1, 1, 4, 1, 3, 4, mode, padding, 0]
        family.run("grid_sample", (torch.float32,), [found, x, grid], integers)
        finite = ~grid.isnan().any(-1)[:, None]
        assert_near(found.tensor[finite], expected[finite], 1e-5, where)
