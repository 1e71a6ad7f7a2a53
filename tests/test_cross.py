"""linalg.cross: dtypes, strides, broadcasting, in place, bad input."""

import pytest
import torch
from agreement import (
    FLOATING,
    assert_agrees,
    assert_same_error,
    check_op_samples,
    noncontiguous,
    op_samples,
)


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(["linalg.cross", "cross"], [*FLOATING, torch.complex64, torch.int16, torch.uint8]),
)
def test_samples(op, dtype):
    check_op_samples(op, dtype)


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_layouts(dim):
    a = torch.randn(3, 3, 3, dtype=torch.float64, requires_grad=True)
    b = torch.randn(3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert_agrees(lambda x, y: torch.linalg.cross(x, y, dim=dim), a, b, double_backward=True)
    assert_agrees(lambda x, y: torch.linalg.cross(x, y, dim=dim), noncontiguous(a), b.mT)


def test_broadcast():
    a, b = torch.randn(5, 1, 3), torch.randn(1, 4, 3)
    assert_agrees(lambda x, y: torch.linalg.cross(x, y), a, b)


def test_many_vectors():
    a, b = torch.randn(100_000, 3), torch.randn(100_000, 3)
    assert_agrees(lambda x, y: torch.linalg.cross(x, y), a, b)


def test_out():
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    assert_agrees(lambda x, y, o: torch.linalg.cross(x, y, out=o), a, b, torch.zeros(3, 4).t())


def test_bad_input():
    a = torch.randn(4, 3)
    assert_same_error(lambda x: torch.linalg.cross(x, x, dim=0), a)
    assert_same_error(lambda x: torch.linalg.cross(x, x[0]), a)
    assert_same_error(lambda x: torch.linalg.cross(x.bool(), x.bool()), a)
    assert_same_error(lambda x: torch.linalg.cross(x, x.double()), a)
