"""Functions of numbers in 50 digits: the truth where float64, or its formula, is judged."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import mpmath
import torch

from conformance.suite.outcome import materialized

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


def _polygamma(x: Any, n: Any) -> Any:
    if x <= 0 and x == mpmath.floor(x):  # a pole; of an even order it has no one sign
        return mpmath.inf if n % 2 else None
    return mpmath.polygamma(n, x)


def _zeta(s: Any, q: Any) -> Any:
    if s <= 60 or not 0 < q < 10_000:
        return mpmath.zeta(s, q)
    return mpmath.fsum((q + k) ** -s for k in range(2 * int(q) + 50))  # the rest is below 1e-28


# Functions of several arguments; None is for no known value.
SEVERAL_ARGUMENTS: dict[str, Callable[..., Any]] = {
    "polygamma": _polygamma,
    "special.polygamma": _polygamma,
    "special.zeta": _zeta,
}
# Elements that are worth computing: a few microseconds to milliseconds each.
MOST = 2000


def _function(name: str) -> Callable[..., Any] | None:
    return OTHER_NAME.get(name) or (getattr(mpmath, name) if name in SAME_NAME else None)


def at(name: str, arguments: tuple, where: torch.Tensor) -> torch.Tensor | None:
    """A function's true values, as float64, at the elements that ``where`` chooses.

    None where the function is not known, or one of its values is not: NaN and infinite arguments,
    poles, too many elements.
    """
    function = SEVERAL_ARGUMENTS.get(name) if len(arguments) > 1 else _function(name)
    if function is None or int(where.sum()) > MOST:
        return None
    tensors = [x if isinstance(x, torch.Tensor) else torch.tensor(x) for x in arguments]
    if any(x.is_complex() for x in tensors):
        return None
    numbers = [materialized(x.detach()).expand(where.shape)[where].tolist() for x in tensors]
    result = []
    with mpmath.workdps(DIGITS):
        for each in zip(*numbers, strict=True):
            exact = None
            with contextlib.suppress(ValueError, ZeroDivisionError, TypeError, OverflowError):
                if all(math.isfinite(x) for x in each):
                    exact = function(*map(mpmath.mpf, each))
            if exact is None:
                return None
            result.append(float(exact) if mpmath.im(exact) == 0 else math.nan)
    return torch.tensor(result, dtype=torch.float64)


def in_digits(name: str, values: torch.Tensor) -> torch.Tensor | None:
    """An elementary function of float64 values from 50 digits, rounded to float64.

    That rounding adds at most half a ULP, to stock's error and to alt's alike. None where the
    function is not known; NaN where its value is not a real number.
    """
    function = _function(name)
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
