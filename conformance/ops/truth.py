"""Where alt and stock differ: which of them is nearer to the computation in double precision."""

from __future__ import annotations

import torch

from conformance.suite.outcome import Tolerance

WIDER = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex32: torch.complex128,
    torch.complex64: torch.complex128,
}


# Of the largest value: what rounding can come to in a long computation, and what a defect shows.
ROUNDING_STEPS = 64
DEFECT = 1e-3

INTEGERS = frozenset(
    (torch.uint8, torch.uint16, torch.uint32, torch.uint64)
    + (torch.int8, torch.int16, torch.int32, torch.int64)
)


def widened(x: torch.Tensor, integers: bool = False) -> torch.Tensor:
    """The same values in double precision, requiring gradients where ``x`` does; of integers if
    they are numbers that become floating-point ones, and not places."""
    if integers and x.dtype in INTEGERS:
        return x.double()
    if x.dtype not in WIDER:
        return x.detach()
    return x.detach().to(WIDER[x.dtype]).requires_grad_(x.requires_grad)


def right(exact: torch.Tensor, found: torch.Tensor, allowed: Tolerance) -> bool:
    """Whether every element of ``found`` is within the tolerance of ``exact``."""
    if exact.shape != found.shape or not (found.is_floating_point() or found.is_complex()):
        return False
    exact = exact.detach()
    relative, absolute = allowed.of(found.dtype)
    wide, rounded = found.to(exact.dtype), exact.to(found.dtype).to(exact.dtype)
    # What overflows the dtype is infinite there, and right.
    same = (wide == rounded) | (wide.isnan() & rounded.isnan())
    return bool((same | ((wide - exact).abs() <= relative * exact.abs() + absolute)).all())


def stock_off(
    exact: list[torch.Tensor],
    alt: list[torch.Tensor],
    stock: list[torch.Tensor],
    allowed: Tolerance,
) -> bool:
    """Whether all of alt's results are right, and not all of stock's."""
    if not len(exact) == len(alt) == len(stock) > 0:
        return False
    alt_right, stock_right = (
        all(right(e, x, allowed) for e, x in zip(exact, found, strict=True))
        for found in (alt, stock)
    )
    return alt_right and not stock_right


def no_further(
    exact: torch.Tensor, alt: torch.Tensor, stock: torch.Tensor, allowed: Tolerance
) -> bool:
    """Whether every element of ``alt`` is as near to ``exact`` as stock's worst, or in tolerance.

    A stock that is off by more than rounding is no yardstick: then alt must be in tolerance. Where
    both are the same (infinite, say) there is nothing to excuse.
    """
    if not (exact.shape == alt.shape == stock.shape and alt.dtype == stock.dtype):
        return False
    if alt.dtype not in WIDER and not alt.is_floating_point():
        return bool(torch.equal(alt, stock))
    exact = exact.detach()
    wide_alt, wide_stock = alt.to(exact.dtype), stock.to(exact.dtype)
    alt_error, stock_error = (wide_alt - exact).abs(), (wide_stock - exact).abs()
    relative, absolute = allowed.of(alt.dtype)
    bound = relative * exact.abs() + absolute
    comparable = stock_error[stock_error.isfinite()]
    if comparable.numel():
        worst, largest = float(comparable.max()), float(exact.abs()[stock_error.isfinite()].max())
        if worst <= max(ROUNDING_STEPS * torch.finfo(alt.dtype).eps, DEFECT) * largest:
            bound = bound.clamp(min=worst)
    same = (wide_alt == wide_stock) | (wide_alt.isnan() & wide_stock.isnan())
    # What overflows alt's dtype is infinite there, and right.
    overflowed = wide_alt == exact.to(alt.dtype).to(exact.dtype)
    return bool((same | overflowed | (alt_error <= bound)).all())
