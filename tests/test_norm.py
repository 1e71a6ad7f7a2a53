"""Batch, layer, group, instance, RMS norm: statistics, formats, mixed dtypes, errors."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from agreement import (
    FLOATING,
    assert_agrees,
    assert_same_error,
    check_op_samples,
    copy_to,
    noncontiguous,
    op_samples,
)
from torch import nn

HALF = [torch.float16, torch.bfloat16]
# input and parameter dtype
MIXTURES = [(d, d) for d in FLOATING] + [(d, torch.float32) for d in HALF]
SHAPES = [
    (8, 5),
    (64, 130),
    (4, 3, 7),
    (4, 3, 5, 5),
    (17, 20, 9, 9),
    (2, 3, 4, 5, 6),
    (2, 4, 1, 1),
    (300, 3, 1, 1),
    (2, 3, 130, 70),
    (9000, 3),
]


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(
        [
            "nn.functional.batch_norm",
            "nn.functional.batch_norm.without_cudnn",
            "native_batch_norm",
            "_native_batch_norm_legit",
            "_batch_norm_with_update",
            "nn.functional.instance_norm",
            "nn.functional.layer_norm",
            "native_layer_norm",
            "nn.functional.group_norm",
            "nn.functional.rms_norm",
        ],
        [torch.float32, torch.float64],
    ),
)
def test_op_samples(op, dtype):
    check_op_samples(op, dtype, factor=4)


def layouts(x):
    yield x
    if x.dim() in (4, 5):
        last = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
        yield x.contiguous(memory_format=last)
    if x.dtype not in HALF:  # stock sums in the half type there; we do not
        yield x.transpose(0, 1).contiguous().transpose(0, 1)


@pytest.mark.parametrize(("dtype", "parameter_dtype"), MIXTURES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm(shape, dtype, parameter_dtype):
    torch.manual_seed(0)
    channels = shape[1]
    # A mean that is not small against the deviation: variances must not come out of a difference.
    contiguous = (3 * torch.randn(shape) + 5).to(dtype)
    # In a half type, stock's own paths differ in where they round.
    factor = 4 if dtype in HALF else 1
    for x, training, affine, running in itertools.product(
        layouts(contiguous), (True, False), (True, False), (True, False)
    ):
        if not (training or running):
            continue
        if dtype != parameter_dtype and not affine:
            continue

        def parameter(offset, channels=channels, dtype=parameter_dtype):
            return (torch.rand(channels) + offset).to(dtype)

        weight = parameter(0.5).requires_grad_() if affine else None
        bias = parameter(-0.5).requires_grad_() if affine else None
        mean = parameter(0) if running else None
        variance = parameter(0.5) if running else None
        assert_agrees(
            lambda x, w, b, m, v, training=training: F.batch_norm(x, m, v, w, b, training, 0.1),
            x.detach().requires_grad_(),
            weight,
            bias,
            mean,
            variance,
            factor=factor,
        )


@pytest.mark.parametrize("shape", [(64, 8), (16, 4, 6, 6)], ids=str)
def test_batch_norm_against_float64(shape):
    """Ours in float32 is no further from the truth than stock's, at a mean of 1,000 deviations."""
    torch.manual_seed(0)
    x = torch.randn(shape) + 1000
    truth = F.batch_norm(x.double(), None, None, training=True)
    ours = F.batch_norm(x.to("alt"), None, None, training=True).cpu().double()
    stock = F.batch_norm(x, None, None, training=True).double()
    assert (ours - truth).abs().max() <= 1.5 * (stock - truth).abs().max() + 1e-6


def test_batch_norm_statistics_of_many_elements_stay_accurate():
    torch.manual_seed(0)
    x = torch.randn(50, 3, 300, 300) + 10
    module = nn.BatchNorm2d(3, affine=False, momentum=1.0).to("alt")
    module(x.to("alt"))
    truth = x.double()
    torch.testing.assert_close(
        module.running_mean.cpu().double(), truth.mean((0, 2, 3)), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(
        module.running_var.cpu().double(), truth.var((0, 2, 3)), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize(
    "module",
    [
        lambda: nn.BatchNorm1d(6),
        lambda: nn.BatchNorm1d(6, momentum=None),
        lambda: nn.BatchNorm1d(6, track_running_stats=False),
        lambda: nn.BatchNorm1d(6, affine=False),
        lambda: nn.LayerNorm(6),
        lambda: nn.GroupNorm(2, 6),
        lambda: nn.RMSNorm(6),
    ],
)
def test_modules_train_and_evaluate(module):
    torch.manual_seed(0)
    inputs = [torch.randn(16, 6) * 2 + 1 for _ in range(3)]
    ramp = torch.linspace(0, 1, 6)
    results = []
    for device in ("cpu", "alt"):
        torch.manual_seed(1)
        built = module().to(device)
        outputs = []
        for x in inputs:
            x = x.detach().to(device).requires_grad_()
            y = built(x)
            y.square().mul(ramp.to(device)).sum().backward()
            outputs += [y.detach().cpu(), x.grad.cpu()]
        outputs += [p.grad.cpu() for p in built.parameters()]
        outputs += [b.cpu() for b in built.buffers()]
        built.eval()
        outputs.append(built(inputs[0].to(device)).detach().cpu())
        results.append(outputs)
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


def test_statistics_are_views_of_a_larger_tensor():
    torch.manual_seed(0)

    def run(x, stats):
        return F.batch_norm(x, stats[:, 0], stats[:, 1], training=True)

    assert_agrees(run, torch.randn(8, 4), torch.rand(4, 2))


@pytest.mark.parametrize(("dtype", "parameter_dtype"), MIXTURES, ids=str)
@pytest.mark.parametrize(
    ("shape", "normalized"),
    [
        ((3, 7), [7]),
        ((4, 5, 64), [5, 64]),
        ((100, 300), [300]),
        ((0, 4), [4]),
        ((2, 70000), [70000]),
    ],
    ids=str,
)
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm(shape, normalized, affine, dtype, parameter_dtype):
    torch.manual_seed(0)
    x = (2 * torch.randn(shape) + 1).to(dtype).requires_grad_()
    weight = (torch.rand(normalized) + 0.5).to(parameter_dtype).requires_grad_() if affine else None
    bias = torch.randn(normalized).to(parameter_dtype).requires_grad_() if affine else None
    if dtype != parameter_dtype and affine:
        # Stock sums the gradients of float parameters in the half type; only the rest compares.
        weight, bias = weight.detach(), bias.detach()
    for given in (x, noncontiguous(x)):
        assert_agrees(
            lambda x, w, b: F.layer_norm(x, normalized, w, b), given, weight, bias, factor=4
        )


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_layer_norm_parameter_gradients_in_float(dtype):
    torch.manual_seed(0)
    x = torch.randn(100, 300).to(dtype)
    grad = torch.randn(100, 300).to(dtype)
    weight = torch.rand(300).requires_grad_()
    bias = torch.rand(300).requires_grad_()
    truth = torch.autograd.grad(
        F.layer_norm(x.double(), [300], weight.double(), bias.double()),
        (weight, bias),
        grad.double(),
    )
    ours_weight, ours_bias = (t.detach().to("alt").requires_grad_() for t in (weight, bias))
    ours = torch.autograd.grad(
        F.layer_norm(x.to("alt"), [300], ours_weight, ours_bias),
        (ours_weight, ours_bias),
        grad.to("alt"),
    )
    for a, b in zip(ours, truth, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a.cpu(), b.float(), rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("dtype", [*FLOATING, torch.complex64], ids=str)
@pytest.mark.parametrize(
    ("shape", "normalized"),
    [
        ((4, 5, 6), [6]),
        ((4, 5, 64), [5, 64]),
        ((100, 300), [300]),
        ((300,), [300]),
        ((0, 4), [4]),
        ((4, 0), [0]),
        ((2, 70000), [70000]),
    ],
    ids=str,
)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("eps", [None, 0.1])
def test_rms_norm(shape, normalized, affine, dtype, eps):
    torch.manual_seed(0)
    x = (2 * torch.randn(shape) + 1).to(dtype).requires_grad_()
    weight = (torch.rand(normalized) + 0.5).to(dtype).requires_grad_() if affine else None
    for given in (x, noncontiguous(x)):
        assert_agrees(lambda x, w: F.rms_norm(x, normalized, w, eps), given, weight, factor=4)


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_rms_norm_with_a_weight_in_float(dtype):
    x, weight = torch.randn(40, 30).to(dtype).requires_grad_(), torch.rand(30).requires_grad_()
    assert_agrees(lambda x, w: F.rms_norm(x, [30], w), x, weight, factor=4)


@pytest.mark.parametrize("wanted", ["x", "weight"])
def test_rms_norm_gradient_of_one(wanted):
    x = torch.randn(6, 30).requires_grad_(wanted == "x")
    weight = torch.rand(30).requires_grad_(wanted == "weight")
    assert_agrees(lambda x, w: F.rms_norm(x, [30], w), x, weight)


def test_rms_norm_derivatives_of_any_order():
    x = torch.randn(3, 4, 5, dtype=torch.float64).to("alt").requires_grad_()
    weight = torch.rand(4, 5, dtype=torch.float64).to("alt").requires_grad_()

    def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (4, 5), weight)

    inputs = (x, weight)
    assert torch.autograd.gradcheck(norm, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(norm, inputs)


def test_rms_norm_is_one_operator():
    x = torch.randn(3, 4, 8, device="alt", requires_grad=True)
    with torch.profiler.profile() as profile:
        F.rms_norm(x, (8,)).sum().backward()
    seen = {event.name for event in profile.events()}
    assert {"aten::_fused_rms_norm", "aten::_fused_rms_norm_backward"} <= seen
    assert "aten::rsqrt" not in seen


def test_rms_norm_of_batches_and_compiled():
    x, weight = torch.randn(3, 4, 8), torch.rand(8)
    expected = F.rms_norm(x, (8,), weight)
    x, weight = x.to("alt"), weight.to("alt")
    mapped = torch.vmap(lambda x: F.rms_norm(x, (8,), weight), in_dims=1, out_dims=1)(x)
    compiled = torch.compile(lambda x: F.rms_norm(x, (8,), weight), backend="aot_eager")(x)
    for result in (mapped, compiled):
        torch.testing.assert_close(result.cpu(), expected)


def test_rms_norm_errors():
    norm = F.rms_norm
    assert_same_error(norm, torch.randn(2, 3), [4])
    assert_same_error(norm, torch.randn(2, 3), [])
    assert_same_error(norm, torch.randn(3), [2, 3])
    assert_same_error(norm, torch.randn(2, 3), [3], torch.ones(2))
    assert_same_error(norm, torch.ones(2, 3, dtype=torch.int64), [3])
    for dtype in (torch.complex64, torch.float16):
        assert_same_error(norm, torch.ones(2, 3, dtype=dtype), [3], torch.ones(2))


@pytest.mark.parametrize(("dtype", "parameter_dtype"), MIXTURES, ids=str)
@pytest.mark.parametrize(
    ("shape", "groups"),
    [((2, 6, 5), 3), ((3, 4, 5, 5), 2), ((3, 4, 5, 5), 1), ((3, 4, 5, 5), 4), ((2, 4), 2)],
    ids=str,
)
@pytest.mark.parametrize("affine", [True, False])
def test_group_norm(shape, groups, affine, dtype, parameter_dtype):
    if dtype != parameter_dtype and not affine:
        return  # nothing is mixed without parameters
    torch.manual_seed(0)
    x = (2 * torch.randn(shape) + 1).to(dtype)
    weight = (torch.rand(shape[1]) + 0.5).to(parameter_dtype).requires_grad_() if affine else None
    bias = torch.randn(shape[1]).to(parameter_dtype).requires_grad_() if affine else None
    given = [x]
    if x.dim() == 4:
        given.append(x.contiguous(memory_format=torch.channels_last))
    for x in given:
        assert_agrees(
            lambda x, w, b: F.group_norm(x, groups, w, b),
            x.detach().requires_grad_(),
            weight,
            bias,
            factor=4,
        )


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("shape", [(4, 7), (5, 3, 3), (6,), (3, 5000)], ids=str)
@pytest.mark.parametrize("last", [False, True])
def test_weight_norm(shape, last, dtype):
    dim = len(shape) - 1 if last else 0
    v = torch.randn(shape).to(dtype).requires_grad_()
    sizes = [n if d == dim else 1 for d, n in enumerate(shape)]
    g = torch.rand(sizes).to(dtype).requires_grad_()
    assert_agrees(
        lambda x, y: torch.ops.aten._weight_norm_interface(x, y, dim),
        v,
        g,
        double_backward=dtype == torch.float64,
        factor=2,
    )


def test_weight_norm_of_modules():
    def run(x):
        torch.manual_seed(0)
        layers = [torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)]
        layers = [
            torch.nn.utils.parametrizations.weight_norm(layers[0].to(x.device)),
            torch.nn.utils.parametrizations.weight_norm(layers[1].to(x.device), dim=1),
        ]
        return layers[1](layers[0](x))

    assert_agrees(run, torch.randn(2, 3, requires_grad=True))


def test_errors():
    x = torch.randn(4, 6, 3)
    ones = torch.ones
    assert_same_error(lambda t, w: F.batch_norm(t, w, w), x, ones(5))
    assert_same_error(lambda t: F.batch_norm(t, None, None), x)
    assert_same_error(lambda t: F.batch_norm(t, None, None, training=True), x[:1, :, :1])
    assert_same_error(
        lambda t, w: F.batch_norm(t, None, None, w, training=True), x.double(), ones(6)
    )
    assert_same_error(
        lambda t: F.batch_norm(t, None, None, training=True), x.long(), text="for 'Long'"
    )
    assert_same_error(lambda t, w: F.layer_norm(t, [3], w), x, ones(4))
    assert_same_error(lambda t: F.layer_norm(t, [4]), x)
    assert_same_error(lambda t: F.layer_norm(t, [3]), x.long())
    assert_same_error(lambda t: F.group_norm(t, 4), x)
    assert_same_error(lambda t, w: F.group_norm(t, 3, w), x, ones(4))


def test_batch_norm_results_given():
    aten = torch.ops.aten

    def call(x, out, mean, invstd):
        return aten.native_batch_norm.out(
            x, None, None, None, None, True, 0.1, 1e-5, out=out, save_mean=mean, save_invstd=invstd
        )

    x = torch.randn(2, 3, 4)
    assert_agrees(call, x, torch.empty(0), torch.empty(3), torch.empty(0))
    assert_same_error(call, x, torch.empty(0).long(), torch.empty(3), torch.empty(3))
    assert_same_error(call, x, torch.empty(0), torch.empty(3).double(), torch.empty(3))


@pytest.mark.parametrize("shape", [(0, 2, 3), (2, 0, 3), (2, 2, 0)])
def test_batch_norm_of_nothing(shape):
    def call(x, statistics, training):
        return torch.ops.aten.native_batch_norm(
            x, None, None, statistics, statistics, training, 0.1, 1e-5
        )

    x, statistics = torch.ones(shape), torch.zeros(0)
    assert_agrees(lambda x, s: call(x, s, False), x, statistics)
    assert_same_error(lambda x, s: call(x, s, True), x, statistics)


def test_a_refused_call_leaves_the_statistics_alone():
    mean = torch.zeros(6, device="alt")
    with pytest.raises(RuntimeError):
        F.batch_norm(torch.randn(4, 6).to("alt"), mean, torch.ones(5, device="alt"), training=True)
    assert (mean.cpu() == 0).all()


def test_native_group_norm_refuses_strides():
    x = torch.ones(2, 6, 5).transpose(0, 2)
    assert_same_error(lambda t: torch.native_group_norm(t, None, None, 5, 6, 2, 3, 1e-5), x)


@pytest.mark.parametrize(
    ("norm", "shape", "parameters"),
    [
        (lambda x, w, b: F.layer_norm(x, (1_001,), w, b), (4_300, 1_001), 1_001),
        (lambda x, w, b: F.rms_norm(x, (1_001,), w) + b, (4_300, 1_001), 1_001),
        (lambda x, w, b: F.group_norm(x, 3, w, b), (24, 33, 75, 73), 33),
        (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (24, 33, 75, 73), 33),
        (
            lambda x, w, b: F.batch_norm(
                x.contiguous(memory_format=torch.channels_last), None, None, w, b, True
            ),
            (16, 80, 60, 57),
            80,
        ),
    ],
    ids=["layer", "rms", "group", "batch", "batch channels_last"],
)
def test_results_that_no_cache_holds(norm, shape, parameters):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(shape), torch.rand(parameters) + 0.5, torch.randn(parameters)
    given = [t.requires_grad_() for t in (x, weight, bias)]
    grad = torch.randn(shape)

    def run(device):
        here = copy_to(given, device)
        output = norm(*here)
        return [output, *torch.autograd.grad(output, here, grad.to(device))]

    # Sums over 100,000 elements, which stock adds up in float.
    for ours, theirs in zip(run("alt"), run("cpu"), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-3)
