"""A seed gives on alt the numbers that it gives on cpu, bit for bit."""

import pytest
import torch
from torch.nn import functional

DEVICE = "alt"
SIZES = [1, 2, 7, 15, 16, 17, 31, 33, 100, 1000, 4099]
FLOATING = [torch.float32, torch.float64]
HALF = [torch.float16, torch.bfloat16]
INTEGRAL = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]


def draw(device, function, seed=0):
    """What `function(device)` gives, and what the generator gives after it."""
    torch.manual_seed(seed)
    results = function(device)
    if not isinstance(results, (tuple, list)):
        results = [results]
    after = torch.empty(3, dtype=torch.float64, device=device).normal_()
    return [r.cpu() for r in results], after.cpu()


def assert_same_draw(function, seed=0):
    expected, expected_after = draw("cpu", function, seed)
    results, after = draw(DEVICE, function, seed)
    for result, reference in zip(results, expected, strict=True):
        assert result.dtype == reference.dtype
        assert torch.equal(result, reference)
    assert torch.equal(after, expected_after)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("size", SIZES)
class TestOfEverySize:
    def test_rand(self, size, dtype):
        assert_same_draw(lambda device: torch.rand(size, dtype=dtype, device=device))

    def test_randn(self, size, dtype):
        assert_same_draw(lambda device: torch.randn(size, dtype=dtype, device=device))

    def test_randint(self, size, dtype):
        assert_same_draw(lambda device: torch.randint(-5, 90, (size,), dtype=dtype, device=device))

    def test_randperm(self, size, dtype):
        assert_same_draw(lambda device: torch.randperm(size, dtype=dtype, device=device))

    def test_uniform(self, size, dtype):
        assert_same_draw(
            lambda device: torch.empty(size, dtype=dtype, device=device).uniform_(-0.3, 1.7)
        )

    def test_normal(self, size, dtype):
        assert_same_draw(
            lambda device: torch.empty(size, dtype=dtype, device=device).normal_(0.3, 1.7)
        )

    def test_exponential(self, size, dtype):
        assert_same_draw(
            lambda device: torch.empty(size, dtype=dtype, device=device).exponential_(1.3)
        )

    def test_bernoulli(self, size, dtype):
        def function(device):
            p = torch.linspace(0, 1, size, dtype=dtype, device=device)
            return (
                torch.bernoulli(p),
                torch.empty(size, dtype=dtype, device=device).bernoulli_(0.3),
                torch.bernoulli(p, 0.6),
            )

        assert_same_draw(function)

    def test_dropout(self, size, dtype):
        def function(device):
            x = torch.linspace(-1, 1, size, dtype=dtype, device=device).requires_grad_()
            y = functional.dropout(x, 0.3)
            y.backward(torch.linspace(1, 3, size, dtype=dtype, device=device))
            return y.detach(), x.grad

        assert_same_draw(function)

    def test_multinomial(self, size, dtype):
        def function(device):
            weights = torch.linspace(0.1, 1, size, dtype=dtype, device=device)
            return (
                torch.multinomial(weights, 1),
                torch.multinomial(weights, max(1, size // 2)),
                torch.multinomial(weights, 20, replacement=True),
                torch.multinomial(weights.repeat(3, 1), 5, replacement=True),
            )

        assert_same_draw(function)


@pytest.mark.parametrize("dtype", FLOATING + HALF)
@pytest.mark.parametrize(
    "method, arguments",
    [
        ("uniform_", (0, 1)),
        ("normal_", (0, 1)),
        ("exponential_", (2,)),
        ("geometric_", (0.3,)),
        ("log_normal_", (0.3, 0.7)),
        ("cauchy_", (0.3, 0.7)),
        ("bernoulli_", (0.3,)),
        ("random_", ()),
        ("random_", (50,)),
        ("random_", (-20, 50)),
    ],
)
def test_fill(method, arguments, dtype):
    for shape in [(5,), (37,), (3, 20)]:
        assert_same_draw(
            lambda device, shape=shape: getattr(
                torch.empty(shape, dtype=dtype, device=device), method
            )(*arguments)
        )


@pytest.mark.parametrize("dtype", [*INTEGRAL, torch.bool])
def test_integers(dtype):
    assert_same_draw(lambda device: torch.empty(40, dtype=dtype, device=device).random_())
    assert_same_draw(lambda device: torch.empty(40, dtype=dtype, device=device).bernoulli_(0.4))
    assert_same_draw(lambda device: torch.empty(40, dtype=dtype, device=device).random_(0, 2))


@pytest.mark.parametrize("dtype", [*FLOATING, *HALF], ids=str)
def test_blocks_of_words_leave_the_generator_where_single_draws_do(dtype):
    """Long fills make the engine's words by blocks (Words); what is left of one serves the next."""

    def function(device):
        x = torch.empty(5000, dtype=dtype, device=device)
        sizes = (1, 311, 312, 313, 624, 625, 5000)
        return [
            getattr(x[:n].clone(), method)(*arguments)
            for n in sizes
            for method, *arguments in (
                ("exponential_",),
                ("uniform_",),
                ("normal_",),
                ("bernoulli_",),
                ("cauchy_",),
                ("geometric_", 0.3),
                ("log_normal_",),
                ("random_",),
                ("random_", 90),
            )
        ]

    assert_same_draw(function, seed=1)
    assert_same_draw(function, seed=2**40 + 3)


@pytest.mark.parametrize("bound", [1, 2, 3, 10, 1000003, 2**28 - 1, 2**28, 2**33])
def test_remainders(bound):
    assert_same_draw(lambda device: torch.randint(bound, (3000,), device=device))
    assert_same_draw(lambda device: torch.randint(-bound, bound, (3000,), device=device))


def test_a_million_exponentials():
    """Few of a vector logarithm's results need libm's: over so many some should be met."""
    assert_same_draw(lambda device: torch.empty(2**20, device=device).exponential_(0.7))


def test_wide_ranges():
    def function(device):
        x = torch.empty(20, dtype=torch.int64, device=device)
        return (
            x.clone().random_(-(2**40), 2**41),
            x.clone().random_(-(2**63), None),
            x.clone().random_(3, None),
            torch.randint(2**28, (20,), device=device),
        )

    assert_same_draw(function)


@pytest.mark.parametrize("method", ["uniform_", "normal_", "exponential_", "bernoulli_", "random_"])
def test_order_of_strided_memory(method):
    """Elements are drawn in the order in which TensorIterator visits memory."""

    def function(device):
        transposed = torch.zeros(7, 11, device=device).t()
        sliced = torch.zeros(6, 9, 4, device=device)[:, ::2].permute(2, 0, 1)
        getattr(transposed, method)()
        getattr(sliced, method)()
        return transposed, sliced

    assert_same_draw(function)


def test_dropout_of_other_layouts():
    def function(device):
        x = torch.arange(120.0, device=device).reshape(2, 3, 4, 5)
        return (
            functional.dropout(x.permute(0, 2, 3, 1), 0.5),
            functional.dropout(x.to(memory_format=torch.channels_last), 0.5),
            functional.dropout(x[:, :, ::2], 0.5),
            functional.dropout2d(x, 0.5),
            functional.alpha_dropout(x, 0.5),
        )

    assert_same_draw(function)


def test_normal_of_tensors():
    def function(device):
        mean = torch.linspace(-1, 1, 20, device=device)
        std = torch.linspace(0.1, 2, 20, device=device)
        return (
            torch.normal(mean, std),
            torch.normal(mean, 2.0),
            torch.normal(0.5, std),
            torch.normal(0.5, 2.0, (20,), device=device),
            torch.randn(20, dtype=torch.complex64, device=device),
        )

    assert_same_draw(function)


@pytest.mark.parametrize("dtype", FLOATING)
def test_distributions(dtype):
    def function(device):
        rate = torch.linspace(0.0, 40, 50, dtype=dtype, device=device)
        count = torch.full((50,), 30.0, dtype=dtype, device=device)
        p = torch.linspace(0, 1, 50, dtype=dtype, device=device)
        alpha = torch.linspace(0.1, 9, 50, dtype=dtype, device=device)
        return (
            torch.poisson(rate),
            torch.binomial(count, p),
            torch._standard_gamma(alpha),
        )

    assert_same_draw(function)


def test_generator_argument():
    def function(device):
        generator = torch.Generator(device=device).manual_seed(7)
        x = torch.randn(40, device=device, generator=generator)
        return x, torch.randperm(9, device=device, generator=generator)

    assert_same_draw(function)


def test_half_a_normal_pair_is_kept_over_state():
    """An odd number of small normals leaves a sample behind, which the state carries."""
    torch.manual_seed(3)
    torch.empty(3, device=DEVICE).normal_()
    state = torch.get_device_module(DEVICE).get_rng_state()
    first = torch.empty(4, device=DEVICE).normal_().cpu()
    torch.get_device_module(DEVICE).set_rng_state(state)
    assert torch.equal(first, torch.empty(4, device=DEVICE).normal_().cpu())


@pytest.mark.parametrize(
    "call",
    [
        lambda device: torch.empty(3, device=device).normal_(0, -1),
        lambda device: torch.empty(3, device=device).uniform_(2, 1),
        lambda device: torch.empty(3, device=device).bernoulli_(1.5),
        lambda device: torch.bernoulli(torch.tensor([0.5, 1.5], device=device)),
        lambda device: torch.empty(3, device=device).exponential_(-1),
        lambda device: torch.empty(3, dtype=torch.int32, device=device).exponential_(),
        lambda device: torch.empty(3, device=device).geometric_(1),
        lambda device: torch.empty(3, dtype=torch.uint8, device=device).random_(0, 300),
        lambda device: torch.multinomial(torch.tensor([1.0, -1.0], device=device), 1),
        lambda device: torch.multinomial(torch.ones(2, device=device), 3),
        lambda device: torch.randperm(-1, device=device),
        lambda device: torch.randperm(300, dtype=torch.uint8, device=device),
        lambda device: torch.poisson(torch.tensor([-1.0], device=device)),
    ],
)
def test_errors(call):
    with pytest.raises(Exception) as expected:
        call("cpu")
    with pytest.raises(type(expected.value)) as raised:
        call(DEVICE)
    assert str(raised.value).splitlines()[0].replace("alt", "cpu") == str(
        expected.value
    ).splitlines()[0] or "Expected p_in" in str(expected.value)


@pytest.mark.parametrize("p", [0.0, 1e-17, 1 / 3, 0.8, 1 - 2**-53, 1.0])
def test_a_mask_is_drawn_as_numbers_are(p):
    # A contiguous mask is filled many at once, from blocks of 624 words.
    for count in (1, 311, 313, 5003):
        drawn = []
        for dtype in (torch.bool, torch.float32):
            torch.manual_seed(count)
            mask = torch.empty(count, dtype=dtype, device="alt").bernoulli_(p)
            drawn.append([mask.cpu() != 0, torch.rand(3, device="alt").cpu()])
        assert torch.equal(drawn[0][0], drawn[1][0])
        assert torch.equal(drawn[0][1], drawn[1][1])
