"""Functions of one argument in 50 digits: the truth where float64 is what is judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import torch

DIGITS = 50

# Elementary functions that mpmath calls as torch does, and the few that need a word.
SAME_NAME = frozenset(
    ("exp", "expm1", "log", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh")
    + ("tanh", "asinh", "acosh", "atanh", "sqrt", "erf", "erfc", "erfinv", "digamma")
)
OTHER_NAME: dict[str, Callable[[Any], Any]] = {
    "log2": lambda x: mpmath.log(x, 2),
    "exp2": lambda x: mpmath.power(2, x),
    "log1p": lambda x: mpmath.log(1 + x),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "nn.functional.silu": lambda x: x / (1 + mpmath.exp(-x)),
    "lgamma": lambda x: mpmath.loggamma(x) if x > 0 else mpmath.log(abs(mpmath.gamma(x))),
    "i0": lambda x: mpmath.besseli(0, x),
    "special.i0e": lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)),
    "special.i1": lambda x: mpmath.besseli(1, x),
    "special.i1e": lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)),
    "special.modified_bessel_i0": lambda x: mpmath.besseli(0, x),
    "special.modified_bessel_i1": lambda x: mpmath.besseli(1, x),
    "special.modified_bessel_k0": lambda x: mpmath.besselk(0, x),
    "special.modified_bessel_k1": lambda x: mpmath.besselk(1, x),
    "special.scaled_modified_bessel_k0": lambda x: mpmath.besselk(0, x) * mpmath.exp(x),
    "special.scaled_modified_bessel_k1": lambda x: mpmath.besselk(1, x) * mpmath.exp(x),
    "special.bessel_j0": lambda x: mpmath.besselj(0, x),
    "special.bessel_j1": lambda x: mpmath.besselj(1, x),
    "special.bessel_y0": lambda x: mpmath.bessely(0, x),
    "special.bessel_y1": lambda x: mpmath.bessely(1, x),
    "special.spherical_bessel_j0": lambda x: mpmath.sin(x) / x if x else mpmath.mpf(1),
    "special.airy_ai": mpmath.airyai,
    "special.erfcx": lambda x: mpmath.exp(x**2) * mpmath.erfc(x),
    "special.log_ndtr": lambda x: mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2),
    "special.ndtr": lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
}


def in_digits(name: str, values: torch.Tensor) -> torch.Tensor | None:
    """An elementary function of float64 values from 50 digits, rounded to float64.

    That rounding adds at most half a ULP, to stock's error and to alt's alike. None where the
    function is not known; NaN where its value is not a real number.
    """
    function = OTHER_NAME.get(name) or (getattr(mpmath, name) if name in SAME_NAME else None)
    if function is None:
        return None
    result = []
    with mpmath.workdps(DIGITS):
        for value in values.flatten().tolist():
            try:
                exact = function(mpmath.mpf(value))
                result.append(float(exact) if mpmath.im(exact) == 0 else float("nan"))
            except (ValueError, ZeroDivisionError, TypeError, OverflowError):
                result.append(float("nan"))
    return torch.tensor(result, dtype=torch.float64).reshape(values.shape)
