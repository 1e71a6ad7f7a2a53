"""Pointwise operators: op_db's samples, and what the rows of ops.yaml have that no sample shows."""

import math

import pytest
import torch
import torch.nn.functional as F
from agreement import (
    FLOATING,
    assert_agrees,
    assert_same,
    check_op_samples,
    copy_to,
    noncontiguous,
    op_samples,
)

import altbackend

UNARY = "abs acos acosh angle asin asinh atan atanh bitwise_not ceil conj_physical cos cosh"
UNARY += " deg2rad erf erfc exp exp2 expm1 floor frac frexp isfinite isinf isnan isneginf isposinf"
UNARY += " lgamma log log10 log1p log2 logical_not logit nan_to_num neg positive rad2deg real"
UNARY += " reciprocal round rsqrt sgn sigmoid sign signbit sin sinc sinh special.entr special.ndtr"
UNARY += " sqrt square tan tanh trunc"
BINARY = "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor"
BINARY += " copysign div.floor_rounding div.no_rounding_mode div.trunc_rounding eq float_power"
BINARY += " floor_divide fmax fmin fmod gcd ge gt heaviside hypot lcm ldexp le logaddexp logaddexp2"
BINARY += " logical_and logical_or logical_xor lt maximum minimum mul ne nextafter polar pow"
BINARY += " remainder rsub special.xlog1py sub true_divide xlogy"
TERNARY = "addcdiv addcmul addr clamp clamp_max clamp_min lerp where"
ACTIVATIONS = "celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid"
ACTIVATIONS += " mish prelu relu relu6 selu silu softplus softshrink softsign tanhshrink threshold"
NAMES = [
    *UNARY.split(),
    *BINARY.split(),
    *TERNARY.split(),
    *(f"nn.functional.{name}" for name in ACTIVATIONS.split()),
]


@pytest.mark.parametrize(
    ("op", "dtype"), op_samples(NAMES, [torch.float32, torch.int32, torch.complex64, torch.bool])
)
def test_op_samples(op, dtype):
    check_op_samples(op, dtype, most=8)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
def test_frexp(dtype):
    info = torch.finfo(dtype)
    values = [0.0, -0.0, 1.0, -1.5, 0.75, info.max, info.tiny, -info.tiny * info.eps * 3]
    x = torch.tensor([*values, math.inf, -math.inf, math.nan], dtype=dtype)
    x = torch.cat([x, torch.randn(50).exp().to(dtype), -torch.randn(50).to(dtype)])
    # The exponents of infinity and NaN are left open by C, and are 0 in glibc.
    assert_agrees(torch.frexp, x)
    assert_agrees(torch.frexp, noncontiguous(x.reshape(3, 37)), strides=False)


def test_frexp_into_outputs_of_any_strides():
    x = torch.randn(4, 5)
    outputs = [torch.empty(5, 4).t(), torch.empty(4, 10, dtype=torch.int32)[:, ::2]]
    ours = copy_to(outputs, "alt")
    torch.frexp(x, out=tuple(outputs))
    with altbackend.no_fallback():
        torch.frexp(x.to("alt"), out=tuple(ours))
    assert_same(ours, outputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("inplace", [False, True])
def test_rrelu_draws_stocks_slopes(dtype, training, inplace):
    x = torch.randn(7, 9).to(dtype)
    x[0, 0] = 0
    x[0, 1] = math.nan

    def drawn(t):
        # What is drawn afterwards shows how much was drawn here.
        return F.rrelu(t.clone(), 0.1, 0.4, training, inplace), torch.rand(3, device=t.device)

    assert_agrees(drawn, x)
    assert_agrees(drawn, x.t())


def test_rrelu_with_noise_and_its_gradient():
    x = torch.randn(6, 8, requires_grad=True)

    def with_noise(t):
        noise = torch.zeros_like(t)
        out = torch._C._nn.rrelu_with_noise(t, noise, 0.2, 0.3, True)
        return out, noise

    assert_agrees(with_noise, x)
    with pytest.raises(RuntimeError, match="noise tensor shape"):
        torch._C._nn.rrelu_with_noise(x.to("alt"), torch.zeros(3, device="alt"), 0.2, 0.3, True)
    with pytest.raises(NotImplementedError, match="not implemented for 'Half'"):
        F.rrelu(torch.randn(3, dtype=torch.half, device="alt"), training=True)


def test_forward_mode_of_glu():
    x, tangent = torch.randn(4, 6), torch.randn(4, 6)
    assert_agrees(lambda a, b: torch.func.jvp(lambda t: F.glu(t, -1), (a,), (b,)), x, tangent)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
def test_operators_with_two_results(dtype):
    x = torch.randn(3, 8, 5).to(dtype)
    grad = torch.randn(3, 4, 5).to(dtype)
    assert_agrees(lambda g, t: torch.ops.aten.glu_backward(g, t, 1), grad, x)
    weight = torch.randn(8).to(dtype)
    kernel = torch.ops.aten._prelu_kernel_backward
    assert_agrees(lambda g, t, w: kernel(g, t, w.view(1, 8, 1)), x.clone(), x, weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32], ids=str)
def test_add_relu(dtype):
    x, y = (torch.randint(-9, 9, (5, 7)).to(dtype) for _ in range(2))
    assert_agrees(lambda a, b: torch._VF._add_relu(a, b, alpha=2), x, y)
    assert_agrees(lambda a, b: torch._VF._add_relu_(a, b), x, y)


@pytest.mark.parametrize("dtype", [*FLOATING, torch.complex64, torch.int16, torch.bool], ids=str)
def test_addr(dtype):
    x, a, b = (torch.randn(s).mul(3).to(dtype) for s in ((4, 6), (4,), (6,)))
    beta, alpha = (True, True) if dtype == torch.bool else (2, 3)
    assert_agrees(lambda *t: torch.addr(*t, beta=beta, alpha=alpha), x, a, b)
    # beta = 0 does not look at what is there.
    if dtype.is_floating_point:
        assert_agrees(
            lambda *t: torch.addr(*t, beta=0), torch.full((4, 6), math.nan).to(dtype), a, b
        )


def test_asserts_without_waiting():
    torch._assert_async(torch.ones(1, device="alt"))
    with altbackend.no_fallback(), pytest.raises(RuntimeError, match="it is zero"):
        torch._assert_async(torch.zeros(1, device="alt"), "it is zero")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("function", [torch.asinh, torch.acosh])
def test_inverse_hyperbolic_functions_of_large_arguments(function, dtype):
    largest = torch.finfo(dtype).max
    x = torch.tensor([1e9, 1e10, 1e11, 1e19, 1e25, largest, math.inf], dtype=dtype)
    x = torch.cat([x, -x, torch.tensor([math.nan], dtype=dtype)])
    torch.testing.assert_close(function(x.alt()).cpu(), function(x), equal_nan=True)


# ---- operands that are alike, for which no iterator is inferred (dispatch/structured.h) ----


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (16,), (3, 5, 7), (2, 1, 4, 1)], ids=str)
def test_operands_that_are_alike(dtype, shape):
    x, y, z = (torch.rand(shape).add(0.1).to(dtype) for _ in range(3))
    for function in (torch.sub, torch.div, torch.pow, torch.lt, torch.fmod):
        assert_agrees(function, x, y)
        assert_agrees(function, x, 0.3)
        assert_agrees(function, x, torch.tensor(2))
        assert_agrees(function, x, torch.tensor(0.3, dtype=torch.float64))
    assert_agrees(lambda a, b: torch.add(a, b, alpha=-2), x, y)
    assert_agrees(lambda a, b, c: torch.addcdiv(a, b, c, value=0.5), x, y, z)
    assert_agrees(torch.atan2, x, y)
    assert_agrees(torch.lerp, x, y, z)
    assert_agrees(torch.lerp, x, y, 0.25)
    assert_agrees(lambda a, b: a.clone().sub_(b).mul_(3).div_(a), x, y)


def test_threshold_backward_reads_its_operands_in_their_order():
    grad, x = torch.randn(16), torch.randn(16)
    assert_agrees(lambda g, a: torch.ops.aten.threshold_backward(g, a, 0.25), grad, x)


def test_what_an_in_place_operator_reads_may_be_itself_but_no_part_of_it():
    x = torch.randn(16)
    assert_agrees(lambda t: (u := t.clone()).mul_(u), x)
    assert_agrees(lambda t: (u := t.clone()).mul_(u.detach()), x)
    ours = x.to("alt")
    with pytest.raises(RuntimeError, match="partially overlap|some elements of the input"):
        ours[:8].add_(ours[4:12])
    assert torch.equal(ours.cpu(), x)


def test_numbers_of_another_kind_are_refused():
    x = torch.randn(4, device="alt")
    with pytest.raises(RuntimeError, match="with a bool tensor is not supported"):
        torch.sub(x, torch.tensor(True))
    with pytest.raises(RuntimeError, match="Boolean alpha only supported for Boolean results"):
        torch.add(x, x, alpha=True)
    with pytest.raises(RuntimeError, match="alpha must not be a complex number"):
        torch.add(x, x, alpha=1j)


# ---- the ways of operands into the loop (loops/pointwise.cpp, loops/transpose.h) ----


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(70, 33), (64, 64), (17, 129), (3, 70, 90)], ids=str)
def test_transposed_operands(shape, dtype):
    x = torch.randint(-100, 100, shape).to(dtype)
    y = torch.randint(-100, 100, shape).mT.contiguous().mT.to(dtype)
    assert_agrees(torch.add, x, y)
    assert_agrees(torch.lt, x, y)
    assert_agrees(lambda a, b: torch.mul(a[..., 1:], b[..., 1:]), x, y)
    assert_agrees(lambda a, b: torch.add(a, b.to(torch.float64)), x, y)
    assert_agrees(lambda a: a.mT.contiguous(), x)
    assert_agrees(lambda a: a[..., 1:].mT.contiguous(), y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("n", [1, 15, 1003])
def test_casts(n, dtype):
    x = torch.randn(n, 2) * 1e4
    x[-1] = math.nan
    assert_agrees(lambda t: t.to(dtype).float(), x)
    assert_agrees(lambda t: t[:, 0].to(dtype).float(), x)
    assert_agrees(lambda t: t[:1].expand(n, 2).to(dtype).float(), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(1,), (15,), (16,), (1003,), (7, 33), (40, 130)], ids=str)
def test_halves(shape, dtype):
    x, y = (torch.randn(shape) * 1000).to(dtype), torch.randn(shape).to(dtype)
    x.view(-1)[-1] = math.nan
    for function in (torch.mul, torch.sub, torch.maximum, torch.eq, torch.lt):
        assert_agrees(function, x, y)
        assert_agrees(function, x, y[..., :1])
        assert_agrees(function, x, y[:1])
        assert_agrees(function, x.mT if x.dim() == 2 else x[::2], y.mT if x.dim() == 2 else y[::2])
        assert_agrees(function, x, y.float())
    for dtype_of_result in (torch.float32, torch.float64):
        out = torch.empty(0, dtype=dtype_of_result)
        assert_agrees(lambda a, b, out: torch.mul(a, b, out=out), x, y, out)
    assert_agrees(lambda a: torch.add(a, 2.71828, alpha=0.1), x)
    assert_agrees(lambda a: a * math.pi, x)
    assert_agrees(lambda a, b: a.clone().mul_(b), x, y)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int32, torch.bool], ids=str
)
@pytest.mark.parametrize("rows", [2, 65, 1501])
def test_rows_of_every_width(rows, dtype):
    """In one call or by threads, as rows or joined, from memory or by way of a buffer."""
    for n in (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33):
        x = (torch.arange(rows * (n + 3)) % 251 - 100).view(rows, n + 3).to(dtype)
        cut, row, column = x[:, 1 : n + 1], x[1, :n], x[:, :1]
        number, double = x[0, :1], column.double()
        for other in (row, column, number, double):
            assert_agrees(lambda x, y: x + y, cut.contiguous(), other)
            assert_agrees(lambda x, y: x.clone().mul_(y), cut, other.to(dtype))
        assert_agrees(lambda x, y, z: torch.where(x > 0, y, z), cut, row, column)
        assert_agrees(lambda x: torch.exp(x.float() / 64), cut)
        assert_agrees(lambda x: x.clone()[:, 1:-1].logical_or_(x[:, :1]), x[:, : n + 2])


@pytest.mark.parametrize("n", [7, 200])
def test_rows_and_columns_of_numbers(n):
    x = torch.randn(50, n)
    for other in (torch.randn(n), torch.randn(50, 1), torch.randn(1, n), torch.randn(1, 1)):
        assert_agrees(torch.sub, x, other)
        assert_agrees(torch.sub, x, other.half())


@pytest.mark.parametrize(
    "dtype", [torch.int32, torch.bool, torch.complex64, torch.float64], ids=str
)
def test_numbers_beside_rows_of_any_dtype(dtype):
    x = (torch.randn(40, 700) * 5).to(dtype)
    for other in (x[:1], x[:, :1], x[:1, :1], x[::2, :1].repeat_interleave(2, 0)):
        assert_agrees(torch.eq, x, other)
        assert_agrees(torch.where, x == other, x, other)


# ---- results written past the caches (loops/stream.h) ----

LARGE = 2600  # squared, elements of four bytes are more than half of most last caches


def test_large_results():
    x = torch.randn(LARGE, LARGE)
    with altbackend.no_fallback():
        y = x.to("alt")
        assert torch.equal(y.cpu(), x)
        assert torch.equal((y + 1).cpu(), x + 1)
        assert torch.equal((y * y[:1]).cpu(), x * x[:1])
        assert torch.equal((y * y[:, :1]).cpu(), x * x[:, :1])
        assert torch.equal((y + y.T).cpu(), x + x.T)
        assert torch.equal(y.T.contiguous().cpu(), x.T.contiguous())
        assert torch.equal((y > 0).cpu(), x > 0)
        assert torch.equal(y.to(torch.float64).cpu(), x.to(torch.float64))
        assert torch.equal((y.to(torch.float64) * 2).half().cpu(), (x.to(torch.float64) * 2).half())
        assert torch.equal(y.roll(3, 1).cpu(), x.roll(3, 1))
        assert torch.equal(torch.cat([y, y[:, 1:]], 1).cpu(), torch.cat([x, x[:, 1:]], 1))
        assert torch.equal(torch.cat([y, y[1:]]).cpu(), torch.cat([x, x[1:]]))
        assert torch.equal(y.zero_().cpu(), torch.zeros(LARGE, LARGE))
        assert torch.equal(y.fill_(2.5).cpu(), torch.full((LARGE, LARGE), 2.5))


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64, torch.complex128], ids=str)
def test_large_results_wider_than_what_they_are_computed_in(dtype):
    x = torch.randint(0, 3, (LARGE, LARGE), dtype=torch.uint8)
    y = x.to("alt")
    expected = torch.eq(x, 1, out=torch.empty(LARGE, LARGE, dtype=dtype))
    result = torch.eq(y, 1, out=torch.empty(LARGE, LARGE, dtype=dtype, device="alt"))
    assert torch.equal(result.cpu(), expected)
    result = torch.eq(y[:, 1:], y[:, :-1], out=torch.empty_like(result[:, 1:]))
    assert torch.equal(result.cpu(), torch.eq(x[:, 1:], x[:, :-1]).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_large_results_of_halves(dtype):
    x = torch.randn(LARGE, 2 * LARGE + 3).to(dtype)
    y = x.to("alt")
    with altbackend.no_fallback():
        assert torch.equal((y * y).cpu(), x * x)
        assert torch.equal((y + y[:1]).cpu(), x + x[:1])
        assert torch.equal((y[:, 1:] - y[:, :1]).cpu(), x[:, 1:] - x[:, :1])
        assert torch.equal(torch.lt(y, y.flip(0)).cpu(), torch.lt(x, x.flip(0)))
        assert torch.equal(y.float().mul_(2).to(dtype).cpu(), x.float().mul_(2).to(dtype))
        assert torch.equal((y * 2.71828).cpu(), x * 2.71828)


@pytest.mark.parametrize("offset", [1, 15, 17])
def test_large_results_that_begin_within_a_line(offset):
    x = torch.randn(LARGE * LARGE)
    y = x.to("alt")
    target, expected = torch.zeros_like(y), torch.zeros_like(x)
    torch.add(y[offset:], 1, out=target[offset:])
    torch.add(x[offset:], 1, out=expected[offset:])
    assert torch.equal(target.cpu(), expected)
    target[offset:].copy_(y[:-offset])
    expected[offset:].copy_(x[:-offset])
    assert torch.equal(target.cpu(), expected)
    target[offset:-1].mul_(2)
    expected[offset:-1].mul_(2)
    assert torch.equal(target.cpu(), expected)


def test_error_function():
    x = torch.linspace(-6, 6, 10001)
    expected = torch.erf(x.double())
    actual = torch.erf(x.to("alt")).cpu()
    assert (actual.double() - expected).abs().max() < 2**-23
    assert ((actual - expected) / expected)[x != 0].abs().max() < 2**-22
    special = torch.tensor([math.nan, math.inf, -math.inf, -0.0])
    assert_same(torch.erf(special.to("alt")), torch.erf(special))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_products_of_complex_numbers_are_rounded_alike_in_every_place(dtype):
    # Fused, the two products of the real part would leave their rounding error; in whole vectors
    # only, where the compiler has its way.
    x = torch.full((37,), complex(-501.1, -501.1), dtype=dtype)
    y = torch.full((37,), complex(-1001.2, -1001.2), dtype=dtype)
    for product in ((x.to("alt") * y.to("alt")).cpu(), (x.to("alt") ** 2).cpu()):
        assert not product.real.any()
    large = torch.full((8,), complex(3e300, 1e300), dtype=torch.complex128)
    assert (large.to("alt") * large.to("alt")).cpu().real.isnan().all()


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.int64])
def test_divisors_of_the_most_negative_integer(dtype):
    least = torch.iinfo(dtype).min
    numbers = torch.tensor([least, least + 1, -100, -96, -1, 0, 1, 6, 96, 127], dtype=dtype)
    assert_agrees(torch.gcd, numbers[:, None], numbers)
    if dtype in (torch.int8, torch.int16):  # the product fits no wider type that stock has
        assert_agrees(torch.lcm, numbers[:, None], numbers)


def test_logarithms_of_floats_are_within_a_ulp():
    """log and log1p are our own for lanes of float: every 999th number, and the odd ones."""
    numbers = torch.arange(1, 0x7F800000, 999, dtype=torch.int32).view(torch.float32)
    fractions = torch.arange(1, 0x3F800000, 999, dtype=torch.int32).view(torch.float32)
    odd = torch.tensor([0.0, -0.0, 1.0, -1.0, -2.0, 3e38] + [float(x) for x in ("inf", "nan")])
    for function, given in (
        (torch.log, torch.cat([numbers, odd.repeat(16)])),
        (torch.log1p, torch.cat([numbers, -fractions, odd.repeat(16)])),
    ):
        exact = function(given.double())
        ours = function(given.to("alt"))
        away = torch.nextafter(exact.float().abs(), torch.tensor(float("inf"))).double()
        ulp = away - exact.float().abs().double()
        wrong = ~((ours.cpu().double() - exact).abs() <= ulp)
        special = ~exact.isfinite() | (exact == 0)
        assert not (wrong & ~special).any()
        assert_same(ours[special.to("alt")], exact[special].float())
        assert torch.equal(ours.signbit().cpu() & (exact == 0), exact.signbit() & (exact == 0))


@pytest.mark.parametrize("n", [1, 40])
def test_bounds_leave_the_sign_of_a_zero(n):
    negative, positive = torch.full((n,), -0.0), torch.zeros(n)
    for function, x in (
        (lambda x: x.clamp(0.0, 1.0), negative),
        (lambda x: x.clamp(min=0.0), negative),
        (lambda x: x.clamp(max=-0.0), positive),
        (torch.relu, negative),
        (torch.nn.functional.relu6, negative),
    ):
        expected, result = function(x), function(x.to("alt")).cpu()
        assert torch.equal(torch.signbit(result), torch.signbit(expected))
