"""Whether two sides compute the same. A bench of a wrong result would measure nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

# Of the largest number of all results: near-zero tensors, such as the gradient of a bias before
# BatchNorm, are rounding errors of the others.
OF_THE_LARGEST = 0.01


def snapshot(results: Any) -> list[Any]:
    """The leaves of a step's results, tensors as copies on the cpu."""
    return [
        leaf.detach().to("cpu", copy=True) if isinstance(leaf, Tensor) else leaf
        for leaf in tree_leaves(results)
    ]


def difference(ours: list[Any], theirs: list[Any], tolerance: float) -> str | None:
    """What differs in two snapshots, or None.

    Floating-point tensors may differ by ``tolerance`` times their largest number; half types, whose
    last digit is coarser than that, by three units of it. All else must be equal.
    """
    shape = _structure(ours, theirs)
    if shape is not None:
        return shape
    scales = [_scale(b) for b in theirs]
    overall = max(scales, default=0.0)
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if _exact(b):
            same = torch.equal(a, b) if isinstance(b, Tensor) else a == b
            if not same:
                return f"result {index} differs"
            continue
        a, b = torch.as_tensor(a), torch.as_tensor(b)
        relative = max(tolerance, 3 * torch.finfo(b.dtype).eps)
        bound = relative * (scales[index] + OF_THE_LARGEST * overall)
        worst = _distance(a, b)
        if not worst <= bound:  # not (a > b): a NaN must not pass
            return f"result {index} differs by {worst:.1e}, allowed are {bound:.1e}"
    return None


def resemblance(ours: list[Any], theirs: list[Any]) -> str | None:
    """What differs in two snapshots that were computed from different random numbers, or None.

    Then only shapes, dtypes and the rough size of the numbers can be compared.
    """
    shape = _structure(ours, theirs)
    if shape is not None:
        return shape
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if not isinstance(b, Tensor) or b.numel() < 1000:
            continue
        a, b = a.double(), b.double()
        if not torch.isfinite(a).all():
            return f"result {index} is not finite"
        if not 0.5 * b.std() <= a.std() <= 2 * b.std():
            return f"result {index} spreads by {a.std():.1e}, not by {b.std():.1e}"
    return None


def _structure(ours: list[Any], theirs: list[Any]) -> str | None:
    if len(ours) != len(theirs):
        return f"{len(ours)} results, not {len(theirs)}"
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if type(a) is not type(b):
            return f"result {index} is a {type(a).__name__}, not a {type(b).__name__}"
        if isinstance(b, Tensor) and (a.dtype, a.shape) != (b.dtype, b.shape):
            return f"result {index} is {a.dtype} {tuple(a.shape)}, not {b.dtype} {tuple(b.shape)}"
    return None


def _exact(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not (value.is_floating_point() or value.is_complex())
    return not isinstance(value, float)


def _scale(value: Any) -> float:
    """The largest finite number."""
    if _exact(value):
        return 0.0
    finite = torch.nan_to_num(_wide(torch.as_tensor(value)).abs(), 0.0, 0.0, 0.0)
    return float(finite.max()) if finite.numel() else 0.0


def _distance(a: Tensor, b: Tensor) -> float:
    """The largest difference; equal infinities and NaN beside NaN are none."""
    if a.numel() == 0 or torch.equal(a, b):
        return 0.0
    a, b = _wide(a), _wide(b)
    differences = (a - b).abs()
    differences[(a == b) | (a.isnan() & b.isnan())] = 0
    return float(differences.max())


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
