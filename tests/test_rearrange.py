"""channel_shuffle and narrow_copy: elements move, at any layout."""

import pytest
import torch
from agreement import assert_agrees, assert_same_error, check_op_samples, noncontiguous, op_samples


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(
        ["nn.functional.channel_shuffle", "narrow_copy"],
        [torch.float64, torch.bfloat16, torch.int32, torch.bool],
    ),
)
def test_samples(op, dtype):
    check_op_samples(op, dtype)


@pytest.mark.parametrize("shape", [(2, 6, 3), (1, 6, 4, 5), (2, 6, 0, 5), (2, 6, 2, 3, 4)])
def test_channel_shuffle(shape):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert_agrees(lambda t: torch.channel_shuffle(t, 3), x)
    assert_agrees(lambda t: torch.channel_shuffle(t, 2), noncontiguous(x))
    if len(shape) == 4:
        last = x.detach().to(memory_format=torch.channels_last)
        assert_agrees(lambda t: torch.channel_shuffle(t, 2), last)


@pytest.mark.parametrize("shape", [(8, 6, 4), (2, 8, 6, 4), (3, 2, 8, 6, 4)], ids=str)
@pytest.mark.parametrize("function", [torch.pixel_shuffle, torch.pixel_unshuffle])
def test_pixels(function, shape):
    x = torch.randn(shape, requires_grad=True)
    assert_agrees(lambda t: function(t, 2), x)
    if len(shape) == 4:
        last = x.detach().to(memory_format=torch.channels_last).requires_grad_()
        assert_agrees(lambda t: function(t, 2), last)


def test_narrow_copy_into_a_given_tensor():
    aten = torch.ops.aten
    x = torch.randn(4, 5)
    assert_agrees(lambda t, o: aten.narrow_copy.out(t, 0, 1, 2, out=o), x, torch.empty(0))
    # Stock writes this as if it were contiguous.
    spread = noncontiguous(torch.zeros(2, 5, device="alt"))
    assert torch.equal(aten.narrow_copy.out(x.to("alt"), 0, 1, 2, out=spread).cpu(), x[1:3])


def test_bad_input():
    x = torch.randn(2, 4, 3)
    assert_same_error(lambda t: torch.channel_shuffle(t, 3), x)
    assert_same_error(lambda t: torch.channel_shuffle(t, 0), x)
    assert_same_error(lambda t: torch.channel_shuffle(t[0], 2), x)
    assert_same_error(lambda t: torch.pixel_shuffle(t, 3), x)
    assert_same_error(lambda t: torch.pixel_unshuffle(t, 2), x)
    aten = torch.ops.aten
    assert_same_error(lambda t, o: aten.narrow_copy.out(t, 0, 1, 9, out=o), x, torch.empty(0))


@pytest.mark.parametrize(
    "arguments", [(5, 0, 1), (-5, 0, 1), (0, 5, 1), (1, 1, -1), (1, -1, 2), (1, 2, 9)]
)
def test_narrow_copy_refuses_in_its_own_words(arguments):
    assert_same_error(lambda t: torch.narrow_copy(t, *arguments), torch.ones(3, 4))
