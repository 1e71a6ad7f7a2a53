"""cross_entropy: one operator, whose gradient is computed with the loss."""

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

REDUCTIONS = ["none", "mean", "sum"]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
SHAPES = [(7, 5), (5,), (3, 5, 8, 9), (2, 5, 6), (2, 5, 3, 4, 2), (9, 300), (2, 21, 19, 23)]


def problem(shape, classes=None, dtype=torch.float32):
    """Scores that require a gradient, targets, a weight for each class."""
    torch.manual_seed(0)
    classes = classes or shape[1 if len(shape) > 1 else 0]
    places = shape[:1] + shape[2:] if len(shape) > 1 else ()
    scores = (3 * torch.randn(shape)).to(dtype).requires_grad_()
    return scores, torch.randint(0, classes, places), torch.rand(classes).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_class_indices(shape, dtype):
    scores, target, weight = problem(shape, dtype=dtype)
    for reduction, smoothing, w, ignored in itertools.product(
        REDUCTIONS, (0.0, 0.1), (None, weight), (-100, 2)
    ):
        assert_agrees(
            lambda x, t, w, r=reduction, s=smoothing, i=ignored: F.cross_entropy(
                x, t, w, reduction=r, label_smoothing=s, ignore_index=i
            ),
            scores,
            target,
            w,
            # stock rounds log_softmax to the half type before it sums
            factor=2 if dtype in (torch.float32, torch.float64) else 8,
        )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_probabilities(reduction, smoothing):
    torch.manual_seed(0)
    assert_agrees(
        lambda x, t, w: F.cross_entropy(x, t, w, reduction=reduction, label_smoothing=smoothing),
        torch.randn(6, 4, requires_grad=True),
        torch.rand(6, 4).softmax(1),
        torch.rand(4),
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(40, 1000), (3, 5, 8, 9), (2, 21, 150)], ids=str)
def test_memory_of_any_order(shape, reduction):
    scores, target, _ = problem(shape)
    last = scores.detach().movedim(1, -1).contiguous().movedim(-1, 1)
    for given in (noncontiguous(scores.detach()), last):
        assert_agrees(
            lambda x, t: F.cross_entropy(x, t, reduction=reduction),
            given.requires_grad_(),
            target,
            strides=False,
        )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(4999, 1001), (3, 21, 340, 301)], ids=str)
def test_gradients_that_no_cache_holds(shape, smoothing):
    """They are written past the caches, in blocks between whole lines."""
    scores, target, _ = problem(shape)
    target.view(-1)[::7] = -100
    assert_agrees(
        lambda x, t: F.cross_entropy(x, t, label_smoothing=smoothing), scores, target, factor=2
    )


def test_without_targets():
    for reduction in REDUCTIONS:
        for rows in (4, 0):
            assert_agrees(
                lambda x, t, r=reduction: F.cross_entropy(x, t, reduction=r),
                torch.randn(rows, 3).requires_grad_(),
                torch.full((rows,), -100),
            )


def test_infinite_scores():
    scores = torch.randn(6, 5)
    scores[0, 1] = scores[2, 3] = -float("inf")
    scores[3, 2], scores[4, 0] = float("inf"), float("nan")
    assert_agrees(
        lambda x, t: F.cross_entropy(x, t, reduction="none"),
        scores.requires_grad_(),
        torch.tensor([1, 0, 1, 2, 3, 4]),
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(6, 4), (2, 4, 3)], ids=str)
def test_double_backward(shape, smoothing):
    scores, target, _ = problem(shape, dtype=torch.float64)
    for reduction in REDUCTIONS:
        assert_agrees(
            lambda x, t, r=reduction: F.cross_entropy(x, t, reduction=r, label_smoothing=smoothing),
            scores,
            target,
            double_backward=True,
        )


def on_alt(shape=(6, 4)):
    scores, target, _ = problem(shape)
    return scores.detach().to("alt").requires_grad_(), target.to("alt")


def test_backward_twice():
    check_backward_twice(F.cross_entropy, *on_alt())


def test_scores_that_change_before_backward():
    """As in PyTorch, which keeps log_softmax's result; only a second derivative wants them."""

    def run(device, create_graph):
        scores, target = copy_to(problem((6, 4))[:2], device)
        changed = scores * 1
        loss = F.cross_entropy(changed, target)
        changed.detach().zero_()
        return torch.autograd.grad(loss, scores, create_graph=create_graph)

    assert_same(run("alt", create_graph=False), run("cpu", create_graph=False))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        run("alt", create_graph=True)


def test_saved_tensor_hooks_keep_what_they_were_given():
    check_saved_tensor_hooks(F.cross_entropy, *on_alt())


def test_checkpointed():
    from torch.utils.checkpoint import checkpoint

    def run(device):
        scores, target = copy_to(problem((6, 4))[:2], device)
        loss = checkpoint(lambda x: F.cross_entropy(x * 2, target), scores, use_reentrant=False)
        return [loss, *torch.autograd.grad(loss, scores)]

    assert_same(run("alt"), run("cpu"))


def test_batched_gradients():
    def run(device):
        scores, target = copy_to(problem((6, 4))[:2], device)
        losses = F.cross_entropy(scores, target, reduction="none")
        rows = torch.eye(6, device=device)
        return torch.autograd.grad(losses, scores, rows, is_grads_batched=True)

    assert_same(run("alt"), run("cpu"), strides=False)


def test_forward_mode_and_functorch():
    def run(device):
        scores, target = copy_to(problem((6, 4))[:2], device)
        scores = scores.detach()

        def loss(x, t):
            return F.cross_entropy(x, t)

        per_sample = torch.vmap(torch.func.grad(loss), in_dims=(0, 0))(scores, target)
        _, tangent = torch.func.jvp(lambda x: loss(x, target), (scores,), (scores.sin(),))
        return [per_sample, tangent, torch.func.hessian(lambda x: loss(x, target))(scores)]

    assert_same(run("alt"), run("cpu"), strides=False)


def test_lazy_negation():
    """What memory holds is not the number; the dispatcher resolves that below autograd."""
    scores, target, weight = problem((6, 4))
    given = torch._neg_view(scores.detach()).requires_grad_()
    assert_agrees(lambda x, t, w: F.cross_entropy(x, t, torch._neg_view(w)), given, target, weight)
    assert_agrees(lambda x, t: F.cross_entropy(x, torch._neg_view(-t)), scores, target)

    def run(device):
        x, t = copy_to((scores, target), device)
        loss = F.cross_entropy(x, t)
        return torch.autograd.grad(loss, x, torch._neg_view(torch.ones_like(loss)))

    assert_same(run("alt"), run("cpu"))


def test_compiled():
    check_compiled(F.cross_entropy, *on_alt())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast(dtype):
    """In float32, as on PyTorch's GPUs; the gradient comes in the scores' dtype."""
    scores, target = on_alt()
    half = scores.detach().to(dtype).requires_grad_()
    with torch.autocast("alt", dtype=dtype):
        loss = F.cross_entropy(half, target)
    expected = F.cross_entropy(half.float(), target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*(torch.autograd.grad(x, half) for x in (loss, expected)))


def test_float16_keeps_what_a_loss_scale_is_for():
    """Of 4,096 rows, a probability's share of the mean's gradient is below float16's numbers."""
    scores, target, _ = problem((4096, 10), dtype=torch.float16)
    assert_agrees(lambda x, t: F.cross_entropy(x, t) * 2.0**14, scores, target, factor=8)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_is_one_node_by_its_usual_name(shape):
    for reduction, smoothing in itertools.product(REDUCTIONS, (0.0, 0.1)):
        scores, target, _ = problem(shape)
        loss = check_name_of_node(
            lambda x, t, r=reduction, s=smoothing: F.cross_entropy(
                x, t, reduction=r, label_smoothing=s
            ),
            scores,
            target,
        )
        assert "AccumulateGrad" in str(loss.grad_fn.next_functions)


def test_is_native():
    with altbackend.no_fallback():
        scores, target = on_alt((64, 10))
        with torch.profiler.profile() as profile:
            F.cross_entropy(scores, target).backward()
    seen = {event.name for event in profile.events()}
    assert "aten::cross_entropy_loss" in seen and "aten::log_softmax" not in seen


def test_errors():
    x, t = torch.randn(2, 3), torch.tensor([0, 1])
    for wrong in (t + 2, t - 1, t.float(), t[:1], t.int(), torch.rand(2, 3).long()):
        assert_same_error(F.cross_entropy, x, wrong)
    for weight in (torch.ones(2), torch.ones(3).double(), torch.ones(3, 1)):
        assert_same_error(F.cross_entropy, x, t, weight)
    assert_same_error(lambda *a: F.cross_entropy(*a, label_smoothing=1.5), x, t)
    assert_same_error(F.cross_entropy, torch.randn(2, 3, 4), t)
    assert_same_error(F.cross_entropy, torch.tensor(1.0), torch.tensor(0))
    weight = torch.ones(3, requires_grad=True)
    assert_same_error(lambda x, t, w: F.cross_entropy(x, t, w).backward(), x, t, weight)
