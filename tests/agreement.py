"""Run one function on cpu and on alt and hold results, gradients and errors against each other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map_only

import altbackend

FLOATING = [torch.float32, torch.float64, torch.float16, torch.bfloat16]

# Relative and absolute: stock's own rounding of half types differs from step to step, so what is
# held against it there is a few units in the last place.
TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 2e-5,
    torch.float16: 8e-3,
    torch.bfloat16: 6e-2,
    torch.complex128: 1e-10,
    torch.complex64: 2e-5,
}


@contextlib.contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Both devices compute with `count` threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def copy_to(value: Any, device: str) -> Any:
    """`value` with each tensor in it as a leaf on `device`, strides and requires_grad kept."""

    def move(tensor: torch.Tensor) -> torch.Tensor:
        moved = torch.empty_strided(
            tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device
        )
        with torch.no_grad():
            moved.copy_(tensor)
        return moved.requires_grad_(tensor.requires_grad)

    return tree_map_only(torch.Tensor, move, value)


def tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def assert_same(actual: Any, expected: Any, *, factor: float = 1, strides: bool = True) -> None:
    """Same structure, dtypes, shapes, strides, and numbers within `factor` times the tolerance."""
    ours, theirs = tensors(actual), tensors(expected)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.device.type == "alt"
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if strides and b.numel() > 0:
            assert a.stride() == b.stride()
        bound = factor * TOLERANCE.get(b.dtype, 0)
        torch.testing.assert_close(
            a.detach().cpu(), b.detach(), rtol=bound, atol=bound, equal_nan=True
        )


def assert_same_results(
    function: Callable[..., Any], *arguments: torch.Tensor, tolerance: float = 0
) -> None:
    """Outputs of `function` on alt: dtypes and numbers of cpu's."""
    expected = tensors(function(*arguments))
    results = tensors(function(*(tensor.to("alt") for tensor in arguments)))
    for ours, theirs in zip(results, expected, strict=True):
        assert ours.device.type == "alt"
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(
            ours.cpu(), theirs, rtol=tolerance, atol=tolerance, equal_nan=True
        )


def gradients(outputs: Any, inputs: Any, seed: int, create_graph: bool = False) -> list:
    """Gradients of a random weighting of all floating outputs, for the leaves that require them."""
    outputs = [t for t in tensors(outputs) if t.requires_grad]
    leaves = [t for t in tensors(inputs) if t.requires_grad]
    if not outputs or not leaves:
        return []
    generator = torch.Generator().manual_seed(seed)
    weights = []
    for t in outputs:
        numbers = torch.randn(t.shape, generator=generator, dtype=torch.float64)
        weights.append(torch.empty_like(t, requires_grad=False).copy_(numbers))
    found = torch.autograd.grad(
        outputs, leaves, weights, allow_unused=True, create_graph=create_graph
    )
    return [torch.zeros_like(t) if g is None else g for g, t in zip(found, leaves, strict=True)]


def assert_agrees(
    function: Callable[..., Any],
    *arguments: Any,
    factor: float = 1,
    double_backward: bool = False,
    strides: bool = True,
    seed: int = 0,
) -> None:
    """`function` on copies of `arguments` on alt, without a fallback, does what it does on cpu.

    Compares outputs, gradients, and the arguments afterwards, which a function may have changed.
    """
    results = []
    for device in ("cpu", "alt"):
        given = copy_to(arguments, device)
        torch.manual_seed(seed)
        with altbackend.no_fallback():
            outputs = function(*given)
            first = gradients(outputs, given, seed, create_graph=double_backward)
            second = gradients(first, given, seed + 1) if double_backward else []
        results.append((outputs, first, second, given))
    (expected, ours) = results
    assert_same(ours[0], expected[0], factor=factor, strides=strides)
    assert_same(ours[1], expected[1], factor=4 * factor, strides=False)
    assert_same(ours[2], expected[2], factor=16 * factor, strides=False)
    assert_same(ours[3], expected[3], factor=factor)


def assert_same_error(
    function: Callable[..., Any], *arguments: Any, text: str | None = None
) -> None:
    """`function` raises on alt what it raises on cpu: type, and message where `text` is None."""
    with pytest.raises(Exception) as expected:
        function(*copy_to(arguments, "cpu"))
    with pytest.raises(expected.type) as ours:
        function(*copy_to(arguments, "alt"))
    if text is None:
        assert str(ours.value).splitlines()[0] == str(expected.value).splitlines()[0]
    else:
        assert text in str(ours.value)


def noncontiguous(tensor: torch.Tensor) -> torch.Tensor:
    """The same numbers, two elements apart in memory and with the dimensions' order reversed."""
    spread = torch.stack([tensor, torch.zeros_like(tensor)], dim=-1)
    reordered = spread.permute(*reversed(range(spread.dim()))).contiguous()
    result = reordered.permute(*reversed(range(spread.dim())))[..., 0]
    return result.detach().requires_grad_(tensor.requires_grad)


def op_samples(names: Iterable[str], dtypes: Iterable[torch.dtype]) -> list[Any]:
    """One pytest parameter, (OpInfo, dtype), for each operator of op_db named and each dtype."""
    from torch.testing._internal.common_methods_invocations import op_db

    wanted = set(names)
    found = set()
    parameters = []
    for op in op_db:
        full = f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name
        if full not in wanted:
            continue
        found.add(full)
        for dtype in dtypes:
            if op.supports_dtype(dtype, "cpu"):
                label = f"{full}-{str(dtype).removeprefix('torch.')}"
                parameters.append(pytest.param(op, dtype, id=label))
    assert found == wanted, f"op_db has no {wanted - found}"
    return parameters


def runs_on_stock(function: Callable[..., Any], inputs: Any) -> bool:
    """Whether stock takes these inputs, and their gradient (nll_loss2d takes only contiguous)."""
    given = copy_to(inputs, "cpu")
    try:
        gradients(function(*given), given, 0)
    except RuntimeError:
        return False
    return True


def differentiates_twice(function: Callable[..., Any], inputs: Any) -> bool:
    """Whether stock has the second derivative (of layer_norm without a weight it has not)."""
    given = copy_to(inputs, "cpu")
    try:
        gradients(gradients(function(*given), given, 0, create_graph=True), given, 1)
    except RuntimeError:
        return False
    return True


def check_op_samples(op: Any, dtype: torch.dtype, *, factor: float = 1, most: int = 100) -> None:
    """The sample inputs of an OpInfo, as they are and noncontiguous, with gradients.

    Of a product of all arguments (1,440 samples of max_pool2d) about `most`, evenly spread.
    """
    # Gradients of a half type are held against nothing better than itself; op_db skips them too.
    gradient = op.supports_autograd and dtype in (torch.float32, torch.float64)

    def call(given: Any, named: Any) -> Any:
        return op.op(*given, **named)

    samples = list(op.sample_inputs("cpu", dtype, requires_grad=gradient))
    assert samples
    samples = samples[:: -(-len(samples) // most) | 1]  # odd, to meet both values of each flag
    for index, sample in enumerate(samples):
        inputs = ((sample.input, *sample.args), sample.kwargs)
        # Second derivatives are compositions of what the samples have shown: a few are enough.
        twice = (
            index < 8
            and gradient
            and op.supports_gradgrad
            and dtype == torch.float64
            and differentiates_twice(call, inputs)
        )
        assert_agrees(call, *inputs, factor=factor, double_backward=twice)
        spread = tree_map_only(
            torch.Tensor,
            lambda t: noncontiguous(t) if t.dim() > 0 and t.is_floating_point() else t,
            inputs,
        )
        if runs_on_stock(call, spread):
            assert_agrees(call, *spread, factor=factor, strides=False)
