"""im2col and col2im: unfold and fold with every geometry, dtype and layout, and bad input."""

import itertools

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

GEOMETRIES = list(itertools.product([(2, 3), (1, 1)], [(1, 1), (2, 1)], [(0, 0), (1, 2)], [(2, 1)]))


@pytest.mark.parametrize(
    ("op", "dtype"), op_samples(["nn.functional.unfold"], [*FLOATING, torch.complex64, torch.bool])
)
def test_samples(op, dtype):
    check_op_samples(op, dtype, most=40)


@pytest.mark.parametrize(("kernel", "dilation", "padding", "stride"), GEOMETRIES)
def test_unfold_and_fold(kernel, dilation, padding, stride):
    geometry = {"dilation": dilation, "padding": padding, "stride": stride}
    for x in (
        torch.randn(2, 3, 7, 6),
        torch.randn(3, 7, 6),
        noncontiguous(torch.randn(2, 3, 7, 6)),
    ):
        x = x.double().requires_grad_()
        assert_agrees(lambda t: F.unfold(t, kernel, **geometry), x, double_backward=True)
        columns = F.unfold(x, kernel, **geometry).detach().requires_grad_()
        assert_agrees(lambda t: F.fold(t, (7, 6), kernel, **geometry), columns)


@pytest.mark.parametrize("dtype", [*FLOATING, torch.complex64, torch.complex128, torch.bool])
def test_fold_dtypes(dtype):
    columns = torch.randn(2, 12, 20).to(dtype)
    assert_agrees(lambda t: F.fold(t, (5, 6), 2), columns)
    assert_agrees(lambda t: F.fold(t, (5, 6), 2), noncontiguous(columns))


def test_fold_of_booleans_does_not_wrap():
    columns = torch.ones(1, 16 * 17, 17 * 16, dtype=torch.bool)
    assert_agrees(lambda t: F.fold(t, (32, 32), (16, 17)), columns)


@pytest.mark.parametrize("spread", [False, True])
def test_out(spread):
    """Stock writes a result with gaps as if it had none, so it is held against the functional."""
    aten = torch.ops.aten
    sizes = ([2, 2], [1, 1], [0, 0], [1, 1])
    x = torch.randn(2, 3, 4, 5, device="alt")
    columns = torch.zeros(2, 12, 12, device="alt") if spread else torch.empty(0, device="alt")
    columns = noncontiguous(columns) if spread else columns
    assert torch.equal(aten.im2col.out(x, *sizes, out=columns), aten.im2col(x, *sizes))
    image = torch.zeros(2, 3, 4, 5, device="alt") if spread else torch.empty(0, device="alt")
    image = noncontiguous(image) if spread else image
    folded = aten.col2im(columns, [4, 5], *sizes)
    assert torch.equal(aten.col2im.out(columns, [4, 5], *sizes, out=image), folded)


def test_bad_input():
    x = torch.randn(2, 3, 4, 5)
    assert_same_error(lambda t: F.unfold(t, (5, 5)), x)
    assert_same_error(lambda t: F.unfold(t, 2, padding=-1), x)
    assert_same_error(lambda t: F.unfold(t, 2, stride=0), x)
    assert_same_error(lambda t: F.unfold(t, 2), torch.randn(2, 3, 0, 5))
    assert_same_error(lambda t: F.unfold(t, 2), x.long())
    assert_same_error(lambda t: F.fold(t, (4, 5), 2), torch.randn(2, 13, 12))
    assert_same_error(lambda t: F.fold(t, (4, 5), 2), torch.randn(2, 12, 13))
    assert_same_error(lambda t: F.fold(t, (4, 5), 2), torch.ones(2, 12, 12).long())
