"""What every loss is held to that keeps its gradient for backward (kernels/loss_node.h)."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from agreement import copy_to


def check_backward_twice(function: Callable[..., Any], x: torch.Tensor, *operands: Any) -> None:
    """A gradient that was handed over, and changed since, is not what the next one is."""
    loss = function(x, *operands)
    (first,) = torch.autograd.grad(loss, x, retain_graph=True)
    kept = first.clone()
    first.zero_()
    (second,) = torch.autograd.grad(4 * loss, x, retain_graph=True)
    (third,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(second, 4 * kept)
    torch.testing.assert_close(third, kept)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(loss, x)


def check_saved_tensor_hooks(function: Callable[..., Any], *operands: Any) -> None:
    """Hooks keep what they were given: backward does not write to it."""
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        loss = function(*operands)
    before = [t.clone() for t in kept]
    (3 * loss).backward()
    assert before and all(torch.equal(a, b) for a, b in zip(before, kept, strict=True))


def check_compiled(function: Callable[..., Any], x: torch.Tensor, *operands: Any) -> None:
    expected = function(x, *operands)
    loss = torch.compile(function, backend="aot_eager")(x, *operands)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(x.grad, torch.autograd.grad(expected, x)[0])


def check_name_of_node(function: Callable[..., Any], *operands: Any) -> torch.Tensor:
    """The node is called as stock's; returns alt's loss."""
    losses = [function(*copy_to(operands, device)) for device in ("cpu", "alt")]
    names = [(type(loss.grad_fn).__name__, loss.grad_fn.name()) for loss in losses]
    assert names[0] == names[1]
    return losses[1]
