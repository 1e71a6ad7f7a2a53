"""Errors in ULP: units in the last place of the dtype, at the true value."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass
class Errors:
    """Largest and mean error over all elements seen; ``bad`` counts wrong NaNs and infinities."""

    largest: float = 0.0
    total: float = 0.0
    count: int = 0
    bad: int = 0

    @property
    def mean(self) -> float:
        """The mean over the elements with a finite truth."""
        return self.total / self.count if self.count else 0.0

    def add(self, result: torch.Tensor, truth: torch.Tensor) -> None:
        """Takes the errors of ``result`` against ``truth`` (float64, of the same shape) in."""
        info = torch.finfo(result.dtype)
        # What the truth rounds to: beyond the dtype's range that is an infinity, for both.
        rounded = truth.to(result.dtype).double()
        finite = rounded.isfinite()
        exact = result.double()
        self.bad += int((~finite & ~_same(exact, rounded)).sum())
        self.bad += int((finite & ~exact.isfinite()).sum())
        use = finite & exact.isfinite()
        if not bool(use.any()):
            return
        # The spacing of the dtype at the truth; below the smallest normal number it is constant.
        magnitude = truth[use].abs().clamp(min=info.smallest_normal)
        spacing = torch.exp2(torch.floor(torch.log2(magnitude))) * info.eps
        errors = (exact[use] - truth[use]).abs() / spacing
        self.largest = max(self.largest, float(errors.max()))
        self.total += float(errors.sum())
        self.count += int(errors.numel())


def _same(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a == b) | (a.isnan() & b.isnan())
