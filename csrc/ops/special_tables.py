"""The coefficients of the special functions: writes csrc/ops/special_tables.h.

    python csrc/ops/special_tables.py > csrc/ops/special_tables.h

A Chebyshev table holds the series of a smooth factor of its function for t in [-1, 1], from 40
digits, cut where more terms would not change a double. What else the function is made of
(exponentials, powers, the cosine of a phase, zeros) is in the header that reads the table.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath
from mpmath import mpf

Function = Callable[[mpf], mpf]

mpmath.mp.dps = 40
POINTS = 96
SMALLEST = mpf(2) ** -58
TEMME_ORDERS, TEMME_POWERS = 12, 16
AIRY_ZERO = mpmath.airyaizero(1)
DIGAMMA_ZERO = mpmath.findroot(mpmath.digamma, mpf("1.4616"))


def coefficients(function: Function) -> list[mpf]:
    """Of the Chebyshev series of `function`, from its values at the Chebyshev points."""
    angles = [mpmath.pi * (k + mpf(1) / 2) / POINTS for k in range(POINTS)]
    values = [function(mpmath.cos(angle)) for angle in angles]
    series = [
        2 * mpmath.fdot(values, [mpmath.cos(n * angle) for angle in angles]) / POINTS
        for n in range(POINTS)
    ]
    series[0] /= 2
    largest = max(abs(c) for c in series)
    while abs(series[-1]) < SMALLEST * largest:
        series.pop()
    assert len(series) < POINTS // 2, "not smooth enough"
    return series


def between(start: float, end: float, function: Function) -> Function:
    """`function` of x in [start, end] as one of t = 2 (x - start) / (end - start) - 1."""
    return lambda t: function(start + (mpf(end) - start) * (t + 1) / 2)


def to_infinity(start: mpf, function: Function) -> Function:
    """`function` of x in [start, infinity) as one of t = 2 start / x - 1."""
    return lambda t: function(2 * start / (t + 1))


def squared(end: float, function: Function) -> Function:
    """`function` of x in [0, end] as one of t = 2 (x / end)^2 - 1."""
    return lambda t: function(end * mpmath.sqrt((t + 1) / 2))


def squared_to_infinity(start: mpf, function: Function) -> Function:
    """`function` of x in [start, infinity) as one of t = 2 (start / x)^2 - 1."""
    return lambda t: function(start * mpmath.sqrt(2 / (t + 1)))


def i_series(order: int) -> list[mpf]:
    """I_n(x) (2 / x)^n as a power series of (x / 2)^2, to what counts up to x = 8."""
    series = [1 / (mpmath.factorial(k) * mpmath.factorial(k + order)) for k in range(POINTS)]
    total = mpmath.fsum(c * 16**k for k, c in enumerate(series))
    return [c for k, c in enumerate(series) if c * 16**k >= SMALLEST * total]


def i_large(order: int) -> Function:
    """sqrt(x) exp(-x) I_n(x)."""
    return lambda x: mpmath.sqrt(x) * mpmath.exp(-x) * mpmath.besseli(order, x)


def k0_regular(x: mpf) -> mpf:
    """K_0 without its logarithm."""
    return mpmath.besselk(0, x) + mpmath.log(x / 2) * mpmath.besseli(0, x)


def k1_regular(x: mpf) -> mpf:
    """x K_1 without its logarithm."""
    return x * (mpmath.besselk(1, x) - mpmath.log(x / 2) * mpmath.besseli(1, x))


def k_large(order: int) -> Function:
    """sqrt(x) exp(x) K_n(x)."""
    return lambda x: mpmath.sqrt(x) * mpmath.exp(x) * mpmath.besselk(order, x)


def j_without_zeros(order: int) -> Function:
    """J_n(x) / x^n without its first two zeros."""
    first, second = (mpmath.besseljzero(order, k) ** 2 for k in (1, 2))
    return lambda x: mpmath.besselj(order, x) / x**order / (x**2 - first) / (x**2 - second)


def y0_regular(x: mpf) -> mpf:
    """Y_0 without its logarithm."""
    return mpmath.bessely(0, x) - 2 / mpmath.pi * mpmath.log(x) * mpmath.besselj(0, x)


def y1_regular(x: mpf) -> mpf:
    """Y_1 / x without its logarithm and its pole."""
    singular = 2 / mpmath.pi * (mpmath.log(x) * mpmath.besselj(1, x) - 1 / x)
    return (mpmath.bessely(1, x) - singular) / x


def modulated(order: int, sine: bool) -> Function:
    """P, or x Q, where J_n + i Y_n = sqrt(2 / (pi x)) (P + i Q) exp(i phase)."""

    def value(x: mpf) -> mpf:
        phase = x - mpmath.pi * (2 * order + 1) / 4
        j, y = mpmath.besselj(order, x), mpmath.bessely(order, x)
        cos, sin = mpmath.cos(phase), mpmath.sin(phase)
        scale = mpmath.sqrt(mpmath.pi * x / 2)
        return scale * x * (y * cos - j * sin) if sine else scale * (j * cos + y * sin)

    return value


def zeta_of(x: float) -> mpf:
    """The argument of the functions that Ai is made of."""
    return mpf(2) / 3 * mpf(x) ** (mpf(3) / 2)


def without_zero(function: Function, zero: mpf) -> Function:
    """`function` divided by the distance from its zero."""
    return lambda x: function(x) / (x - zero)


def airy_decaying(zeta: mpf) -> mpf:
    """2 sqrt(pi) x^(1/4) exp(zeta) Ai(x), zeta = 2/3 x^(3/2)."""
    x = (3 * zeta / 2) ** (mpf(2) / 3)
    return 2 * mpmath.sqrt(mpmath.pi) * x ** (mpf(1) / 4) * mpmath.exp(zeta) * mpmath.airyai(x)


def airy_modulated(sine: bool) -> Function:
    """P, or zeta Q, where Ai(-x) = (P cos + Q sin)(zeta - pi/4) / (sqrt(pi) x^(1/4))."""

    def value(zeta: mpf) -> mpf:
        x = (3 * zeta / 2) ** (mpf(2) / 3)
        cos, sin = mpmath.cos(zeta - mpmath.pi / 4), mpmath.sin(zeta - mpmath.pi / 4)
        ai, bi = mpmath.airyai(-x), mpmath.airybi(-x)
        scale = mpmath.sqrt(mpmath.pi) * x ** (mpf(1) / 4)
        return scale * zeta * (sin * ai + cos * bi) if sine else scale * (cos * ai - sin * bi)

    return value


def erfcx_folded(t: mpf) -> mpf:
    """(1 + 2 x) erfcx(x) of x in [0, infinity) as a function of t = (x - 3.75) / (x + 3.75)."""
    x = mpf(15) / 4 * (1 + t) / (1 - t)
    return (1 + 2 * x) * mpmath.exp(x**2) * mpmath.erfc(x)


def power_series_exp(series: list[mpf]) -> list[mpf]:
    """The exponential of a power series without a constant term."""
    result = [mpf(1)]
    for n in range(1, len(series)):
        result.append(mpmath.fsum(k * series[k] * result[n - k] for k in range(1, n + 1)) / n)
    return result


def temme() -> list[list[mpf]]:
    """d[k][n] of the uniform expansion of the incomplete gamma functions: DLMF 8.12.11 to 14."""
    most = TEMME_POWERS + 2 * TEMME_ORDERS + 3
    alpha = [mpf(0), mpf(1)]  # lambda - 1 as a power series of eta
    for n in range(2, most):
        products = mpmath.fsum(j * alpha[j] * alpha[n - j + 1] for j in range(2, n))
        alpha.append((alpha[n - 1] - products) / (n + 1))
    logarithm = [mpf(0)] * (TEMME_ORDERS + 1)  # of Gamma(a) sqrt(a / 2 pi) (e / a)^a, in 1 / a
    for j in range(1, TEMME_ORDERS + 1, 2):
        logarithm[j] = mpmath.bernoulli(j + 1) / ((j + 1) * j)
    stirling = power_series_exp(logarithm)
    d = [[(n + 2) * alpha[n + 2] for n in range(most - 2)]]
    d[0][0] = -mpf(1) / 3
    for k in range(1, TEMME_ORDERS):
        sign = (-1) ** k
        d.append(
            [
                sign * stirling[k] * d[0][n] + (n + 2) * d[k - 1][n + 2]
                for n in range(most - 2 - 2 * k)
            ]
        )
    return [row[:TEMME_POWERS] for row in d]


CHEBYSHEV: dict[str, tuple[str, Function]] = {
    "i0_large": ("sqrt(x) exp(-x) I0, 8 / x in [0, 1]", to_infinity(8, i_large(0))),
    "i1_large": ("sqrt(x) exp(-x) I1, 8 / x in [0, 1]", to_infinity(8, i_large(1))),
    "k0_small": ("K0 + log(x / 2) I0, (x / 2)^2 in [0, 1]", squared(2, k0_regular)),
    "k0_large": ("sqrt(x) exp(x) K0, 2 / x in [0, 1]", to_infinity(2, k_large(0))),
    "k1_small": ("x (K1 - log(x / 2) I1), (x / 2)^2 in [0, 1]", squared(2, k1_regular)),
    "k1_large": ("sqrt(x) exp(x) K1, 2 / x in [0, 1]", to_infinity(2, k_large(1))),
    "j0_small": ("J0 without two zeros, (x / 8)^2 in [0, 1]", squared(8, j_without_zeros(0))),
    "j1_small": ("J1 / x without two zeros, (x / 8)^2 in [0, 1]", squared(8, j_without_zeros(1))),
    "y0_small": ("Y0 - 2/pi log(x) J0, (x / 8)^2 in [0, 1]", squared(8, y0_regular)),
    "y1_small": (
        "(Y1 - 2/pi (log(x) J1 - 1/x)) / x, (x / 8)^2 in [0, 1]",
        squared(8, y1_regular),
    ),
    "order0_p": (
        "P of J0 and Y0, (8 / x)^2 in [0, 1]",
        squared_to_infinity(8, modulated(0, False)),
    ),
    "order0_q": ("x Q of J0 and Y0", squared_to_infinity(8, modulated(0, True))),
    "order1_p": ("P of J1 and Y1", squared_to_infinity(8, modulated(1, False))),
    "order1_q": ("x Q of J1 and Y1", squared_to_infinity(8, modulated(1, True))),
    "airy_middle": (
        "Ai without its zero, x in [-3.5, 1.5]",
        between(-3.5, 1.5, without_zero(mpmath.airyai, AIRY_ZERO)),
    ),
    "airy_large": (
        "2 sqrt(pi) x^(1/4) exp(zeta) Ai, zeta(1.5) / zeta in [0, 1]",
        to_infinity(zeta_of(1.5), airy_decaying),
    ),
    "airy_p": (
        "P of Ai(-x), (zeta(3.5) / zeta)^2 in [0, 1]",
        squared_to_infinity(zeta_of(3.5), airy_modulated(False)),
    ),
    "airy_q": ("zeta Q of Ai(-x)", squared_to_infinity(zeta_of(3.5), airy_modulated(True))),
    "erfcx_folded": ("(1 + 2 x) erfcx, t = (x - 3.75) / (x + 3.75)", erfcx_folded),
    "lgamma1p_small": (
        "lgamma(1 + a) / a, a in [0, 1.25]",
        between(0, 1.25, lambda a: mpmath.loggamma(1 + a) / a),
    ),
    "digamma_middle": (
        "digamma / (x - its zero), x in [1, 2]",
        between(1, 2, without_zero(mpmath.digamma, DIGAMMA_ZERO)),
    ),
}

POWERS: dict[str, tuple[str, list[mpf]]] = {
    "i0_series": ("1 / k!^2: I0 in powers of (x / 2)^2", i_series(0)),
    "i1_series": ("1 / (k! (k + 1)!): 2 I1 / x in powers of (x / 2)^2", i_series(1)),
}

SPLIT: dict[str, tuple[str, list[mpf]]] = {
    "j0_zeros": ("the first zeros of J0", [mpmath.besseljzero(0, k) for k in (1, 2)]),
    "j1_zeros": ("the first zeros of J1", [mpmath.besseljzero(1, k) for k in (1, 2)]),
    "airy_zero": ("the first zero of Ai", [AIRY_ZERO]),
    "digamma_zero": ("the positive zero of digamma", [DIGAMMA_ZERO]),
}


def array(name: str, comment: str, sizes: str, text: list[str]) -> str:
    """A C++ array, its numbers in lines of at most 100 characters."""
    lines: list[str] = []
    line = "   "
    for number in text:
        if len(line) + len(number) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {number},"
    lines.append(line)
    body = "\n".join(lines).rstrip(",")
    return f"// {comment}\nALT_TABLE double {name}{sizes} = {{\n{body}}};\n"


def chebyshev_array(name: str) -> str:
    """The coefficients of a function named in CHEBYSHEV."""
    comment, function = CHEBYSHEV[name]
    series = [repr(float(c)) for c in coefficients(function)]
    return array(name, comment, f"[{len(series)}]", series)


def powers_array(name: str) -> str:
    """The coefficients of a power series named in POWERS."""
    comment, series = POWERS[name]
    return array(name, comment, f"[{len(series)}]", [repr(float(c)) for c in series])


def split_array(name: str) -> str:
    """The numbers named in SPLIT, each as a sum of two doubles."""
    comment, values = SPLIT[name]
    text = [f"{{{float(v)!r}, {float(v - mpf(float(v)))!r}}}" for v in values]
    return array(name, f"{comment}, each as a sum", f"[{len(text)}][2]", text)


def temme_array() -> str:
    """The coefficients of the incomplete gamma functions' uniform expansion."""
    text = []
    for row in temme():
        numbers = [repr(float(v)) for v in row]
        text += ["{" + numbers[0], *numbers[1:-1], numbers[-1] + "}"]
    return array("temme", "d[k][n] of DLMF 8.12.12", f"[{TEMME_ORDERS}][{TEMME_POWERS}]", text)


def header() -> str:
    """The text of special_tables.h."""
    parts = [
        "// Written by csrc/ops/special_tables.py, which says what each table is. Do not edit.\n"
        "// clang-format off\n#pragma once\n\n"
        '#include "loops/function.h"\n\nnamespace alt::special::tables {\n',
        *(chebyshev_array(name) for name in CHEBYSHEV),
        *(powers_array(name) for name in POWERS),
        *(split_array(name) for name in SPLIT),
        temme_array(),
    ]
    return "\n".join(parts) + "\n}  // namespace alt::special::tables\n"


if __name__ == "__main__":
    print(header(), end="")
