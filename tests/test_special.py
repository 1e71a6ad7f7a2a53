"""Special functions: as stock's, near the truth over their whole domain, and at its edges."""

import math
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import mpmath
import pytest
import torch
from agreement import assert_agrees, check_op_samples, op_samples
from mpmath import mpf

import altbackend

TABLES = Path(__file__).parent.parent / "csrc" / "ops" / "special_tables"
INFINITY = math.inf
POLYNOMIALS = [
    "chebyshev_polynomial_t",
    "chebyshev_polynomial_u",
    "chebyshev_polynomial_v",
    "chebyshev_polynomial_w",
    "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u",
    "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w",
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
]
OPERATORS = [
    "digamma",
    "polygamma.polygamma_n_0",
    "polygamma.polygamma_n_1",
    "polygamma.polygamma_n_2",
    "polygamma.polygamma_n_4",
    "special.polygamma.special_polygamma_n_0",
    "special.zeta",
    "igamma",
    "igammac",
    "erfinv",
    "special.erfcx",
    "special.ndtri",
    "special.log_ndtr",
    "i0",
    "special.i0e",
    "special.i1",
    "special.i1e",
    "special.modified_bessel_i0",
    "special.modified_bessel_i1",
    "special.modified_bessel_k0",
    "special.modified_bessel_k1",
    "special.scaled_modified_bessel_k0",
    "special.scaled_modified_bessel_k1",
    "special.bessel_j0",
    "special.bessel_j1",
    "special.bessel_y0",
    "special.bessel_y1",
    "special.spherical_bessel_j0",
    "special.airy_ai",
    *(f"special.{name}" for name in POLYNOMIALS),
]


# How much further from the truth than the tolerance stock itself is, in float64: its series of
# trigamma are short, and its Bessel functions hold 1e-7 or so.
STOCK_IS_OFF = {"polygamma": 10, "special.polygamma": 10, "special.airy_ai": 1e3}
STOCK_IS_OFF |= {f"special.bessel_{name}": 1e5 for name in ("j0", "j1", "y0", "y1")}


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(OPERATORS, [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8]),
)
def test_op_samples(op, dtype):
    check_op_samples(op, dtype, factor=STOCK_IS_OFF.get(op.name, 1), most=12)


def spread(low: float, high: float, count: int = 150) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)


def magnitudes(low: float, high: float, count: int = 60) -> torch.Tensor:
    return spread(math.log(low), math.log(high), count).exp()


def with_negatives(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, -x])


WAVES = torch.cat([spread(0, 8), spread(8, 60), magnitudes(1e-10, 1e5)])
BOTH_WAVES = with_negatives(WAVES)
DECAY = torch.cat([spread(0, 8), magnitudes(1e-10, 700)])
GROWTH = with_negatives(torch.cat([spread(0, 20), magnitudes(1e-6, 700)]))
DERIVATIVES = torch.cat([spread(0, 12), spread(-6, 0), magnitudes(1e-8, 1e8)])

# Function, arguments, truth, and what it may be off by: relative, and near a zero absolute.
TRUTHS: dict[str, tuple[Callable, torch.Tensor, Callable, float, float]] = {
    "i0": (torch.special.i0, GROWTH, lambda x: mpmath.besseli(0, x), 2e-15, 0),
    "i1": (torch.special.i1, GROWTH, lambda x: mpmath.besseli(1, x), 2e-15, 0),
    "i0e": (
        torch.special.i0e,
        with_negatives(magnitudes(1e-3, 1e6)),
        lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)),
        2e-15,
        0,
    ),
    "i1e": (
        torch.special.i1e,
        with_negatives(magnitudes(1e-3, 1e6)),
        lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)),
        2e-15,
        0,
    ),
    "k0": (
        torch.special.modified_bessel_k0,
        DECAY,
        lambda x: mpmath.besselk(0, x),
        2e-15,
        0,
    ),
    "k1": (
        torch.special.modified_bessel_k1,
        DECAY,
        lambda x: mpmath.besselk(1, x),
        2e-15,
        0,
    ),
    "k0e": (
        torch.special.scaled_modified_bessel_k0,
        DECAY,
        lambda x: mpmath.besselk(0, x) * mpmath.exp(x),
        2e-15,
        0,
    ),
    "k1e": (
        torch.special.scaled_modified_bessel_k1,
        DECAY,
        lambda x: mpmath.besselk(1, x) * mpmath.exp(x),
        2e-15,
        0,
    ),
    "j0": (
        torch.special.bessel_j0,
        with_negatives(WAVES),
        lambda x: mpmath.besselj(0, x),
        1e-15,
        5e-16,
    ),
    "j1": (
        torch.special.bessel_j1,
        with_negatives(WAVES),
        lambda x: mpmath.besselj(1, x),
        1e-15,
        5e-16,
    ),
    "y0": (torch.special.bessel_y0, WAVES, lambda x: mpmath.bessely(0, x), 2e-15, 1e-15),
    "y1": (torch.special.bessel_y1, WAVES, lambda x: mpmath.bessely(1, x), 2e-15, 1e-15),
    "spherical_j0": (
        torch.special.spherical_bessel_j0,
        BOTH_WAVES,
        lambda x: mpmath.sin(x) / x,
        1e-15,
        0,
    ),
    # The phase of the waves and the exponent of the decay are 2/3 |x|^(3/2), rounded.
    "airy": (torch.special.airy_ai, spread(-30, 20, 500), mpmath.airyai, 2e-14, 1e-14),
    "erfcx": (
        torch.special.erfcx,
        torch.cat([spread(-20, 10, 300), magnitudes(1e-6, 1e10)]),
        lambda x: mpmath.exp(x * x) * mpmath.erfc(x),
        2e-15,
        0,
    ),
    "log_ndtr": (
        torch.special.log_ndtr,
        spread(-40, 5, 300),
        lambda x: mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2),
        1e-14,
        0,
    ),
    "erfinv": (
        torch.erfinv,
        torch.cat([spread(-1, 1), magnitudes(1e-10, 1), 1 - magnitudes(1e-15, 0.1)]),
        mpmath.erfinv,
        2e-15,
        0,
    ),
    "digamma": (torch.digamma, DERIVATIVES, mpmath.digamma, 2e-15, 5e-15),
    "trigamma": (
        lambda x: torch.polygamma(1, x),
        DERIVATIVES,
        lambda x: mpmath.polygamma(1, x),
        1e-14,
        0,
    ),
    "polygamma3": (
        lambda x: torch.polygamma(3, x),
        spread(0, 50),
        lambda x: mpmath.polygamma(3, x),
        1e-14,
        0,
    ),
}


def assert_near(actual: torch.Tensor, exact: list, relative: float, absolute: float) -> None:
    assert actual.device.type == "alt"
    for value, truth in zip(actual.flatten().tolist(), exact, strict=True):
        rounded = float(mpmath.re(truth))
        if abs(rounded) < 1e-300 or math.isinf(rounded):
            continue
        assert abs(value - truth) <= relative * abs(truth) + absolute, (value, rounded)


@pytest.mark.parametrize("name", TRUTHS)
def test_near_the_truth(name):
    function, x, truth, relative, absolute = TRUTHS[name]
    with altbackend.no_fallback(), mpmath.workdps(40):
        exact = [truth(mpf(value)) for value in x.tolist()]
        assert_near(function(x.to("alt")), exact, relative, absolute)
        # Float computes in double, so it is the truth of its argument, rounded once.
        single = x[::7].float()
        exact = [truth(mpf(value)) for value in single.tolist()]
        for value, number in zip(function(single.to("alt")).cpu(), exact, strict=True):
            rounded = torch.tensor(float(mpmath.re(number)), dtype=torch.float64).float()
            near = [torch.nextafter(rounded, torch.tensor(end)) for end in (-INFINITY, INFINITY)]
            assert abs(rounded) < 1e-37 or absolute > 0 or near[0] <= value <= near[1]


def test_quantiles_invert_the_distribution():
    p = torch.cat([spread(0, 1, 300), magnitudes(1e-300, 0.5)])
    with mpmath.workdps(40):
        for value, quantile in zip(
            p.tolist(), torch.special.ndtri(p.to("alt")).cpu().tolist(), strict=True
        ):
            x = mpf(quantile)
            density = mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)
            error = (mpmath.erfc(-x / mpmath.sqrt(2)) / 2 - value) / density
            assert abs(error) <= 1e-15 * max(abs(x), 0.01), (value, quantile)


ZETA = (torch.cat([spread(1, 10), spread(10, 60)]), torch.cat([spread(0, 10), spread(0, 40)]))
GAMMAS = (
    torch.cat([spread(0, 5), spread(0, 40), spread(20, 300), magnitudes(1e-10, 1)]),
    torch.cat([spread(0, 5), spread(0, 60), spread(20, 400), magnitudes(1e-10, 1.1)])[
        torch.randperm(510, generator=torch.Generator().manual_seed(1))
    ],
)


@pytest.mark.parametrize(
    ("function", "arguments", "truth", "relative"),
    [
        (torch.special.zeta, ZETA, mpmath.zeta, 1e-14),
        (torch.igamma, GAMMAS, lambda a, x: mpmath.gammainc(a, 0, x, regularized=True), 1e-12),
        (
            torch.igammac,
            GAMMAS,
            lambda a, x: mpmath.gammainc(a, x, mpmath.inf, regularized=True),
            1e-12,
        ),
    ],
    ids=["zeta", "igamma", "igammac"],
)
def test_two_arguments_near_the_truth(function, arguments, truth, relative):
    with altbackend.no_fallback(), mpmath.workdps(30):
        exact = [
            truth(mpf(a), mpf(b)) for a, b in zip(*(t.tolist() for t in arguments), strict=True)
        ]
        assert_near(function(*(t.to("alt") for t in arguments)), exact, relative, 0)


@pytest.mark.parametrize("name", POLYNOMIALS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_polynomials_of_mixed_degrees(name, dtype):
    """Neighbouring lanes take the recurrence, the closed form and the ends, each at its degree."""
    generator = torch.Generator().manual_seed(2)
    x = torch.cat([spread(-1.5, 1.5, 400), torch.tensor([0.0, -0.0, 1, -1, 0.5, 2])]).to(dtype)
    degree = torch.randint(-2, 20, x.shape, generator=generator).to(dtype)
    degree[:20] += 0.75  # cut
    function = getattr(torch.special, name)
    assert_agrees(function, x, degree, factor=50)
    assert_agrees(lambda t: function(t, 5), x, factor=50)
    assert_agrees(lambda t: function(1.25, t), degree, factor=50)
    for odd in (math.nan, INFINITY, -INFINITY, -1.0):
        assert function(x.to("alt"), odd).cpu().eq(0).all()


def test_high_degrees_do_not_loop():
    x = torch.tensor([0.3, -0.7, 1.0, -1.0], dtype=torch.float64)
    for name in POLYNOMIALS[:4]:
        assert_agrees(getattr(torch.special, name), x, torch.full_like(x, 1e6 + 1), factor=1e4)


NAN = math.nan
EDGES = [
    (torch.special.i0, [INFINITY, -INFINITY, 0.0, 800.0], [NAN, NAN, 1.0, INFINITY]),
    (torch.special.i1, [INFINITY, -INFINITY, 0.0, -800.0], [NAN, NAN, 0.0, -INFINITY]),
    (torch.special.i0e, [INFINITY, -INFINITY], [0.0, 0.0]),
    (torch.special.modified_bessel_k0, [0.0, INFINITY, -1.0], [INFINITY, 0.0, NAN]),
    (torch.special.modified_bessel_k1, [0.0, INFINITY, -1.0], [INFINITY, 0.0, NAN]),
    (torch.special.bessel_j0, [0.0, INFINITY, -INFINITY], [1.0, NAN, NAN]),
    (torch.special.bessel_j1, [0.0, INFINITY, -INFINITY], [0.0, NAN, NAN]),
    (torch.special.bessel_y0, [0.0, -1.0, INFINITY], [-INFINITY, NAN, NAN]),
    (torch.special.bessel_y1, [0.0, -1.0, INFINITY], [-INFINITY, NAN, NAN]),
    (torch.special.spherical_bessel_j0, [0.0, INFINITY], [1.0, 0.0]),
    (torch.special.airy_ai, [INFINITY, -INFINITY, 1e30], [NAN, NAN, 0.0]),
    (torch.special.erfcx, [INFINITY, -INFINITY, 0.0], [0.0, INFINITY, 1.0]),
    (torch.special.log_ndtr, [INFINITY, -INFINITY], [0.0, -INFINITY]),
    (
        torch.special.ndtri,
        [0.0, 1.0, 0.5, -0.1, 1.1],
        [-INFINITY, INFINITY, 0.0, NAN, NAN],
    ),
    (torch.erfinv, [0.0, 1.0, -1.0, 1.1, -1.1], [0.0, INFINITY, -INFINITY, NAN, NAN]),
    (
        torch.digamma,
        [0.0, -0.0, -1.0, -30.0, INFINITY, -INFINITY],
        [-INFINITY, INFINITY, NAN, NAN, INFINITY, NAN],
    ),
    (lambda x: torch.polygamma(1, x), [0.0, INFINITY], [INFINITY, 0.0]),
    (lambda x: torch.polygamma(2, x), [0.0, -1.0, INFINITY], [-INFINITY, -INFINITY, NAN]),
    (lambda x: torch.polygamma(3, x), [0.0, -1.0, INFINITY], [INFINITY, INFINITY, NAN]),
    (
        lambda x: torch.special.zeta(x, 2.0),
        [1.0, 0.5, -1.0, INFINITY],
        [INFINITY, NAN, NAN, NAN],
    ),
    (
        lambda q: torch.special.zeta(2.5, q),
        [0.0, -1.0, -0.5, INFINITY],
        [INFINITY, INFINITY, NAN, NAN],
    ),
    (
        lambda x: torch.igamma(x, torch.ones_like(x)),
        [0.0, -1.0, INFINITY, 1e300],
        [1.0, NAN, 0.0, 0.0],
    ),
    (
        lambda x: torch.igammac(torch.full_like(x, 2), x),
        [0.0, -1.0, INFINITY, 1e300],
        [1.0, NAN, 0.0, 0.0],
    ),
]


@pytest.mark.parametrize(("function", "arguments", "expected"), EDGES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_edges(function, arguments, expected, dtype):
    x = torch.tensor([*arguments, math.nan], dtype=dtype, device="alt")
    with altbackend.no_fallback():
        actual = function(x).cpu()
    torch.testing.assert_close(
        actual, torch.tensor([*expected, math.nan], dtype=dtype), rtol=0, atol=0, equal_nan=True
    )


def test_zeta_of_negative_arguments_is_the_sum():
    x = torch.tensor([2.0, 3.0, 4.0, 7.0], dtype=torch.float64).reshape(4, 1)
    q = torch.tensor([-0.25, -1.5, -7.75, -20.125, -1e-9], dtype=torch.float64)
    assert_agrees(torch.special.zeta, x, q)
    # Stock adds the terms one by one.
    value = torch.special.zeta(2.0, torch.tensor(-1e9 - 0.5, dtype=torch.float64, device="alt"))
    assert abs(value.item() - math.pi**2) < 1e-8


def test_complex_numbers_are_refused():
    x = torch.ones(2, dtype=torch.complex64)
    for function in (torch.special.i0, torch.digamma, torch.special.bessel_j0):
        with pytest.raises(RuntimeError) as expected:
            function(x)
        with pytest.raises(expected.type):
            function(x.to("alt"))


def test_tables_are_what_their_script_writes():
    script = runpy.run_path(str(TABLES.with_suffix(".py")))
    text = TABLES.with_suffix(".h").read_text()
    for name in ("i1_large", "k1_small", "erfcx_folded", "digamma_middle"):
        assert script["chebyshev_array"](name) in text
    assert script["split_array"]("airy_zero") in text
    assert script["powers_array"]("i1_series") in text
    assert script["temme_array"]() in text
    names = set(re.findall(r"ALT_TABLE double (\w+)", text))
    assert names == {*script["CHEBYSHEV"], *script["POWERS"], *script["SPLIT"], "temme"}


@pytest.mark.parametrize("function", [torch.igamma, torch.igammac])
def test_a_number_gives_the_same_whatever_stands_beside_it(function):
    torch.manual_seed(0)
    a, x = (torch.rand(2, 4001, dtype=torch.float64) * 60).alt()
    together = function(a, x)
    for start in (1, 2, 3):
        alone = function(a[start::4].contiguous(), x[start::4].contiguous())
        assert torch.equal(alone, together[start::4])


@pytest.mark.parametrize("function", [torch.special.gammainc, torch.special.gammaincc])
def test_all_of_the_mass_lies_below_infinity_whatever_the_order(function):
    order = torch.tensor([math.nan, 0.0, 2.0, math.inf, -1.0])
    x = torch.tensor([math.inf, 1.0, math.nan])
    expected = function(order[:, None], x)
    actual = function(order.to("alt")[:, None], x.to("alt")).cpu()
    torch.testing.assert_close(actual, expected, equal_nan=True)
