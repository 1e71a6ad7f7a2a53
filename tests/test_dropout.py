"""Dropout: the bits that stock gives for the same seed, forward and backward."""

import pytest
import torch
import torch.nn.functional as F
from agreement import FLOATING, assert_agrees, copy_to
from torch import nn

import altbackend


def both(function, x, seed=5):
    """Output and gradient of `function` on cpu and on alt, each after the same seed."""
    results = []
    for device in ("cpu", "alt"):
        given = copy_to(x, device).requires_grad_()
        torch.manual_seed(seed)
        with altbackend.no_fallback():
            output = function(given)
            grad = torch.autograd.grad(output, given, copy_to(x.detach() * 3, device))[0]
        after = torch.rand(1, device=device).cpu()
        results.append((output.detach().cpu(), grad.cpu(), after))
    return results


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.3, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (15,), (16,), (33, 130), (0, 3)], ids=str)
def test_same_bits_for_the_same_seed(shape, p, dtype):
    torch.manual_seed(0)
    x = torch.randn(shape).to(dtype)
    expected, ours = both(lambda t: F.dropout(t, p), x)
    assert torch.equal(ours[0], expected[0])
    assert torch.equal(ours[1], expected[1])
    assert torch.equal(ours[2], expected[2])  # as many numbers drawn


@pytest.mark.parametrize(
    "layout",
    [
        lambda: torch.randn(9, 11).t(),
        lambda: torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        lambda: torch.randn(6, 8)[:, ::2],
    ],
)
def test_layouts(layout):
    torch.manual_seed(0)
    expected, ours = both(lambda t: F.dropout(t, 0.4), layout())
    assert ours[0].stride() == expected[0].stride()
    assert torch.equal(ours[0], expected[0])


@pytest.mark.parametrize("module", [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout])
def test_modules(module):
    torch.manual_seed(0)
    x = torch.randn(4, 6, 5) if module is nn.Dropout1d else torch.randn(4, 6, 5, 3)
    built = module(0.3)
    expected, ours = both(built, x)
    assert torch.equal(ours[0], expected[0])
    assert torch.equal(ours[1], expected[1])
    built.eval()
    assert torch.equal(built(x.to("alt")).cpu(), x)


def test_in_place():
    x = torch.randn(20)
    torch.manual_seed(1)
    expected = F.dropout(x.clone(), 0.5, inplace=True)
    moved = x.to("alt")
    torch.manual_seed(1)
    assert F.dropout(moved, 0.5, inplace=True) is moved
    assert torch.equal(moved.cpu(), expected)


@pytest.mark.parametrize("train", [True, False, None])
def test_native_dropout(train):
    torch.manual_seed(0)
    x = torch.randn(5, 40)
    torch.manual_seed(1)
    expected, expected_mask = torch.native_dropout(x, 0.25, train)
    torch.manual_seed(1)
    ours, mask = torch.native_dropout(x.to("alt"), 0.25, train)
    assert torch.equal(mask.cpu(), expected_mask)
    torch.testing.assert_close(ours.cpu(), expected)


def test_dropped_infinities_are_nan_as_in_stock():
    x = torch.full((64,), float("inf"))
    expected, ours = both(lambda t: F.dropout(t, 0.5), x)
    assert torch.equal(ours[0].isnan(), expected[0].isnan())
    assert ours[0].isnan().any()


def test_errors():
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1"):
        F.dropout(torch.randn(3).to("alt"), 1.5)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_backward_of_what_is_no_float(dtype):
    grad, mask = torch.ones(3).to(dtype), torch.tensor([True, False, True])
    assert_agrees(lambda g, m: torch.ops.aten.native_dropout_backward(g, m, 2.5), grad, mask)
