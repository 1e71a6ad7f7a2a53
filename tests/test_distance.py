"""cdist and pdist: norms, shapes, broadcasting, gradients, ties at zero, bad input."""

import pytest
import torch
import torch.nn.functional as F
from agreement import assert_agrees, assert_same_error, check_op_samples, op_samples

DOUBLES = [torch.float32, torch.float64]
NORMS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, float("inf")]


@pytest.mark.parametrize(("op", "dtype"), op_samples(["cdist", "nn.functional.pdist"], DOUBLES))
def test_samples(op, dtype):
    check_op_samples(op, dtype, most=30)


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("dtype", DOUBLES)
def test_cdist(p, dtype):
    """More columns and rows than a block holds, and a row that both matrices have."""
    a = torch.randn(3, 7, 70, dtype=dtype)
    b = torch.randn(3, 150, 70, dtype=dtype)
    b[:, 5] = a[:, 2]
    mode = "donot_use_mm_for_euclid_dist"
    a.requires_grad_()
    b.requires_grad_()
    assert_agrees(lambda x, y: torch.cdist(x, y, p=p, compute_mode=mode), a, b, factor=4)


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("dtype", DOUBLES)
def test_pdist(p, dtype):
    x = torch.randn(140, 5, dtype=dtype)
    x[7] = x[3]
    assert_agrees(lambda t: F.pdist(t, p=p), x.requires_grad_(), factor=4)


@pytest.mark.parametrize("mode", ["use_mm_for_euclid_dist", "use_mm_for_euclid_dist_if_necessary"])
def test_euclidean_by_product(mode):
    a = torch.randn(2, 30, 6, dtype=torch.float64, requires_grad=True)
    b = torch.randn(2, 27, 6, dtype=torch.float64, requires_grad=True)
    assert_agrees(lambda x, y: torch.cdist(x, y, compute_mode=mode), a, b)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((4, 3), (5, 3)),
        ((2, 1, 4, 3), (3, 5, 3)),
        ((0, 3), (5, 3)),
        ((4, 0), (5, 0)),
        ((0, 4, 3), (0, 5, 3)),
        ((4, 1), (1, 1)),
    ],
)
def test_shapes(first, second):
    a = torch.randn(first, requires_grad=True)
    b = torch.randn(second, requires_grad=True)
    assert_agrees(lambda x, y: torch.cdist(x, y, p=1.0), a, b)
    assert_agrees(lambda x, y: torch.cdist(x.mT.contiguous().mT, y, p=3.0), a, b, strides=False)


@pytest.mark.parametrize("shape", [(1, 3), (4, 0), (2, 1)])
def test_pdist_shapes(shape):
    assert_agrees(lambda t: F.pdist(t), torch.randn(shape, requires_grad=True))


def test_pdist_of_no_rows():
    """Stock's gradient of it ends the process."""
    x = torch.randn(0, 3, device="alt", requires_grad=True)
    F.pdist(x).sum().backward()
    assert x.grad.shape == (0, 3)


def test_bad_input():
    x = torch.randn(3, 4)
    assert_same_error(lambda t: torch.cdist(t, t[:, :3]), x)
    assert_same_error(lambda t: torch.cdist(t[0], t), x)
    assert_same_error(lambda t: torch.cdist(t, t, p=-1), x)
    assert_same_error(lambda t: torch.cdist(t, t), x.half())
    assert_same_error(lambda t: torch.cdist(t, t), x.long())
    assert_same_error(lambda t: torch.cdist(t, t.double()), x)
    assert_same_error(lambda t: torch.ops.aten._cdist_forward(t, t, 1.0, 7), x)
    assert_same_error(lambda t: torch.ops.aten._pdist_forward(t.t(), 1.0), x)
    assert_same_error(lambda t: F.pdist(t), x.half())
    assert_same_error(lambda t: F.pdist(t), torch.randn(2, 3, 4))
