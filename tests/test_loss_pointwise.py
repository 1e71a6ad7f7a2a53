"""Losses over pairs of an input and a target: one operator each, with its gradient."""

import functools
import itertools

import pytest
import torch
import torch.nn.functional as F
from agreement import assert_agrees, assert_same, assert_same_error, copy_to, noncontiguous
from loss_checks import (
    check_backward_twice,
    check_compiled,
    check_name_of_node,
    check_saved_tensor_hooks,
)

import altbackend

LOSSES = {
    "mse_loss": F.mse_loss,
    "l1_loss": F.l1_loss,
    "smooth_l1_loss": F.smooth_l1_loss,
    "smooth_l1_loss of another beta": functools.partial(F.smooth_l1_loss, beta=0.3),
    "huber_loss": F.huber_loss,
    "huber_loss of another delta": functools.partial(F.huber_loss, delta=0.3),
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "kl_div": F.kl_div,
    "kl_div of logarithms": functools.partial(F.kl_div, log_target=True),
}
# What PyTorch's node keeps: its input must not change before backward.
KEEPS_INPUT = [name for name in LOSSES if not name.startswith(("l1", "kl"))]
REDUCTIONS = ["none", "mean", "sum"]
each_loss = pytest.mark.parametrize("name", LOSSES)
pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")


def pair(name, shape, dtype=torch.float32):
    """An input that requires a gradient, and a target."""
    torch.manual_seed(0)
    probabilities = name == "binary_cross_entropy"
    x = torch.rand(shape) if probabilities else 3 * torch.randn(shape)
    target = torch.rand(shape)
    target = target.log() if "logarithms" in name else target
    return x.to(dtype).requires_grad_(), target.to(dtype)


@each_loss
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str
)
def test_pairs(name, dtype):
    for shape, reduction in itertools.product(
        [(), (1,), (7, 5), (3, 1367), (5, 41, 80), (40000,), (0, 3)], REDUCTIONS
    ):
        assert_agrees(
            lambda x, t, r=reduction: LOSSES[name](x, t, reduction=r),
            *pair(name, shape, dtype),
            # stock rounds each pair's loss to the half type before it sums
            factor=2 if dtype in (torch.float32, torch.float64) else 8,
        )


@each_loss
def test_gradients_that_no_cache_holds(name):
    """They are written past the caches."""
    assert_agrees(LOSSES[name], *pair(name, (2047, 3001)), factor=2)


@each_loss
def test_memory_of_any_order(name):
    x, target = (t.detach() for t in pair(name, (3, 5, 8, 9)))
    last = torch.channels_last
    for given, wanted in (
        (x.to(memory_format=last), target.to(memory_format=last)),
        (x.to(memory_format=last), target),
        (noncontiguous(x), noncontiguous(target)),
        (x.mT, target.mT),
    ):
        assert_agrees(LOSSES[name], given.requires_grad_(), wanted)
    one = x[:, :1].clone().requires_grad_()
    assert_agrees(lambda x, t: LOSSES[name](x.expand_as(t), t), one, target)


@each_loss
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_what_pytorch_makes_of_other_operands(name):
    x, target = pair(name, (6, 4))
    both = target.requires_grad_()
    if "cross_entropy" not in name or "logits" in name:
        assert_agrees(LOSSES[name], x, both)
    if "binary" not in name:
        assert_agrees(LOSSES[name], x, target[:1].detach())
    if "binary" not in name and "huber" not in name:
        assert_agrees(LOSSES[name], x, target.detach().double(), strides=False)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights(reduction):
    x, target = pair("", (6, 4))
    weights = [None, torch.rand(4), torch.rand(6, 1)]
    positives = [None, torch.tensor(3.0), torch.tensor([0.3]), torch.rand(4)]
    for weight, positive in itertools.product(weights, positives):
        assert_agrees(
            lambda x, t, w, p: F.binary_cross_entropy_with_logits(
                x, t, w, pos_weight=p, reduction=reduction
            ),
            x,
            target,
            weight,
            positive,
        )
    for weight in weights:
        assert_agrees(
            lambda x, t, w: F.binary_cross_entropy(x, t, w, reduction=reduction),
            x.detach().sigmoid().requires_grad_(),
            target,
            weight,
        )


@each_loss
def test_special_numbers(name):
    values = [0.0, 1.0] if name == "binary_cross_entropy" else [0.0, 1.0, -90.0, 200.0, 1e-40]
    infinite = float("inf")
    if name != "binary_cross_entropy":
        values += [infinite, -infinite, float("nan")]
    targets = [0.0, 1.0, 0.5]
    for x, t in itertools.product(values, targets):
        for count in (1, 20):
            assert_agrees(
                lambda x, t: LOSSES[name](x, t, reduction="sum"),
                torch.full((count,), x).requires_grad_(),
                torch.full((count,), t),
            )


def test_errors_are_stocks():
    x, target = pair("", (6, 4))
    positive, short = target + 0.1, target[:2]
    for loss in (F.binary_cross_entropy, F.binary_cross_entropy_with_logits):
        assert_same_error(loss, target, short)
    for outside in (x, -positive, target / 0 * 0):
        assert_same_error(F.binary_cross_entropy, outside, target)
        assert_same_error(F.binary_cross_entropy, target, outside.detach())
    assert_same_error(functools.partial(F.smooth_l1_loss, beta=-1), x, target)
    assert_same_error(functools.partial(F.huber_loss, delta=0), x, target)
    for operator in (torch.ops.aten.mse_loss, torch.ops.aten.l1_loss, torch.ops.aten.kl_div):
        assert_same_error(operator, x, target[:5])


@each_loss
def test_double_backward(name):
    for reduction in ("mean", "sum"):
        assert_agrees(
            lambda x, t, r=reduction: LOSSES[name](x, t, reduction=r),
            *pair(name, (6, 4), torch.float64),
            double_backward=True,
        )


@each_loss
def test_backward_twice(name):
    check_backward_twice(LOSSES[name], *copy_to(pair(name, (6, 4)), "alt"))


@each_loss
def test_operands_that_change_before_backward(name):
    def run(device, which):
        operands = copy_to(pair(name, (6, 4)), device)
        x = operands[0]
        operands = [x * 1, operands[1].clone()]
        loss = LOSSES[name](*operands)
        operands[which].detach().zero_()
        return torch.autograd.grad(loss, x)

    for which in (0, 1):
        if name in KEEPS_INPUT:
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                run("alt", which)
        elif name.startswith("l1"):
            assert_same(run("alt", which), run("cpu", which))


def test_saved_tensor_hooks_keep_what_they_were_given():
    check_saved_tensor_hooks(F.mse_loss, *copy_to(pair("", (6, 4)), "alt"))


@each_loss
def test_batched_gradients_forward_mode_and_functorch(name):
    def run(device):
        x, target = copy_to(pair(name, (6, 4), torch.float64), device)
        loss = LOSSES[name]
        batched = torch.autograd.grad(
            loss(x, target), x, torch.arange(3.0, device=device).double(), is_grads_batched=True
        )
        x = x.detach()
        per_sample = torch.vmap(torch.func.grad(loss), in_dims=(0, 0))(x, target)
        _, tangent = torch.func.jvp(lambda x: loss(x, target), (x,), (x.sin(),))
        return [batched, per_sample, tangent, torch.func.hessian(lambda x: loss(x, target))(x)]

    assert_same(run("alt"), run("cpu"), strides=False)


@each_loss
def test_lazy_negation(name):
    """What memory holds is not the number; the dispatcher resolves that below autograd."""
    x, target = (t.detach() for t in pair(name, (6, 4)))
    negated = torch._neg_view(-x).requires_grad_()
    assert_agrees(LOSSES[name], negated, target)
    assert_agrees(lambda x, t: LOSSES[name](x, torch._neg_view(t)), x.requires_grad_(), -target)


@each_loss
def test_without_a_graph(name):
    """In no_grad and in inference mode, where what PyTorch composes is reached below autograd."""
    for mode in (torch.no_grad, torch.inference_mode):
        for reduction, dtype in itertools.product(REDUCTIONS, (torch.float32, torch.float16)):
            with mode():
                results = [
                    LOSSES[name](*copy_to(pair(name, (6, 4), dtype), d), reduction=reduction)
                    for d in ("alt", "cpu")
                ]
                assert_same(*results, factor=8)
                assert not results[0].requires_grad


@each_loss
def test_compiled(name):
    check_compiled(LOSSES[name], *copy_to(pair(name, (6, 4)), "alt"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "binary_cross_entropy"])
def test_autocast(name, dtype):
    """In float32, as on PyTorch's GPUs; the gradient comes in the input's dtype."""
    x, target = copy_to(pair(name, (6, 4), dtype), "alt")
    with torch.autocast("alt", dtype=dtype):
        loss = LOSSES[name](x, target)
    expected = LOSSES[name](x.float(), target.float())
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*(torch.autograd.grad(y, x) for y in (loss, expected)))


def test_float16_keeps_what_a_loss_scale_is_for():
    """Of 65,536 pairs, a share of the mean's gradient is below float16's numbers."""
    for name in LOSSES.keys() - {"binary_cross_entropy"}:  # stock's gradient is infinite near 1
        assert_agrees(
            lambda x, t, name=name: LOSSES[name](x, t) * 2.0**8,
            *pair(name, (1 << 16,), torch.float16),
            factor=8,
        )


@each_loss
def test_is_one_node_by_its_usual_name(name):
    for reduction in REDUCTIONS:
        loss = check_name_of_node(
            lambda x, t, r=reduction: LOSSES[name](x, t, reduction=r), *pair(name, (6, 4))
        )
        if reduction != "none":
            assert "AccumulateGrad" in str(loss.grad_fn.next_functions)


@each_loss
def test_is_native(name):
    with altbackend.no_fallback():
        x, target = copy_to(pair(name, (64, 10)), "alt")
        with torch.profiler.profile() as profile:
            LOSSES[name](x, target).backward()
    seen = {event.name for event in profile.events()}
    assert "aten::" + name.split()[0] in seen
    assert not {"aten::mean", "aten::sub", "aten::mul"} & seen
