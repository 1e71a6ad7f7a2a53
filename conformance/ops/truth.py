"""Where alt and stock differ in rounding: which of them is nearer to the computation in float64."""

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


def widened(x: torch.Tensor) -> torch.Tensor:
    """The same values in double precision, requiring gradients where ``x`` does."""
    if x.dtype not in WIDER:
        return x.detach()
    return x.detach().to(WIDER[x.dtype]).requires_grad_(x.requires_grad)


def no_further(
    exact: torch.Tensor, alt: torch.Tensor, stock: torch.Tensor, allowed: Tolerance
) -> bool:
    """Whether every element of ``alt`` is as near to ``exact`` as stock's worst, or in tolerance.

    Where both are the same (infinite, say) there is nothing to excuse.
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
        bound = bound.clamp(min=float(comparable.max()))
    same = (wide_alt == wide_stock) | (wide_alt.isnan() & wide_stock.isnan())
    # What overflows alt's dtype is infinite there, and right.
    overflowed = wide_alt == exact.to(alt.dtype).to(exact.dtype)
    return bool((same | overflowed | (alt_error <= bound)).all())
