"""segment_reduce: reductions by lengths and by offsets, empty segments, axes, bad input."""

import pytest
import torch
from agreement import FLOATING, assert_agrees, assert_same_error, check_op_samples, op_samples

REDUCTIONS = ["sum", "mean", "max", "min", "prod"]


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(["_segment_reduce.lengths", "_segment_reduce.offsets"], FLOATING),
)
def test_samples(op, dtype):
    check_op_samples(op, dtype, most=40)


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("initial", [None, 2.0])
@pytest.mark.parametrize("inner", [(), (3,), (2, 3)])
def test_segments(reduce, initial, inner):
    """Longer than a run that is added up by itself, and empty ones."""
    data = torch.randn(300, *inner, dtype=torch.float64) / 4 + 1
    lengths = torch.tensor([200, 0, 1, 70, 29, 0])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    data.requires_grad_()
    assert_agrees(
        lambda x, n: torch.segment_reduce(x, reduce, lengths=n, initial=initial), data, lengths
    )
    assert_agrees(
        lambda x, n: torch.segment_reduce(x, reduce, offsets=n, initial=initial),
        data,
        offsets.int(),
    )


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_later_axis(reduce):
    data = torch.randn(2, 6, 4, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([[1, 2, 3], [6, 0, 0]])
    assert_agrees(lambda x, n: torch.segment_reduce(x, reduce, lengths=n, axis=1), data, lengths)


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_zeros_and_nan(reduce):
    data = torch.tensor([0.0, 2.0, 3.0, float("nan"), 1.0, 0.0, 5.0])
    lengths = torch.tensor([3, 2, 2])
    assert_agrees(
        lambda x, n: torch.segment_reduce(x, reduce, lengths=n), data.requires_grad_(), lengths
    )


def test_product_of_two_zeros():
    data = torch.tensor([0.0, 0.0, 4.0], requires_grad=True)
    lengths = torch.tensor([3])
    assert_agrees(lambda x, n: torch.segment_reduce(x, "prod", lengths=n), data, lengths)


def test_ties_share_a_gradient_of_either_sign():
    """Stock gives each of them a negative gradient whole."""
    data = torch.tensor([1.0, 1.0, 2.0], device="alt", requires_grad=True)
    lengths = torch.tensor([2, 1], device="alt")
    torch.segment_reduce(data, "max", lengths=lengths).sum().neg().backward()
    assert data.grad.tolist() == [-0.5, -0.5, -1.0]


def test_bad_input():
    data, lengths = torch.randn(5), torch.tensor([2, 3])
    assert_same_error(lambda x, n: torch.segment_reduce(x, "median", lengths=n), data, lengths)
    assert_same_error(lambda x, n: torch.segment_reduce(x, "sum", lengths=n), data, lengths + 1)
    assert_same_error(
        lambda x, n: torch.segment_reduce(x, "sum", lengths=n), data, torch.tensor([-1, 6])
    )
    assert_same_error(lambda x, n: torch.segment_reduce(x, "sum", lengths=n), data, lengths.float())
    assert_same_error(lambda x, n: torch.segment_reduce(x, "sum", lengths=n), data.long(), lengths)
    # Stock reads beyond the data there.
    with pytest.raises(RuntimeError, match="outside of the data"):
        torch.segment_reduce(data.to("alt"), "sum", lengths=lengths.to("alt") * 100, unsafe=True)
