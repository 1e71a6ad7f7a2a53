"""Losses with kernels of their own, and those that are composed: values, gradients, bad targets."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from agreement import (
    FLOATING,
    assert_agrees,
    assert_same,
    assert_same_error,
    check_op_samples,
    copy_to,
    noncontiguous,
    op_samples,
)

import altbackend

REDUCTIONS = ["none", "mean", "sum"]


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(
        [
            "nn.functional.nll_loss",
            "nn.functional.cross_entropy",
            "nn.functional.binary_cross_entropy",
            "nn.functional.binary_cross_entropy_with_logits",
            "nn.functional.mse_loss",
            "nn.functional.l1_loss",
            "nn.functional.smooth_l1_loss",
            "nn.functional.huber_loss",
            "nn.functional.kl_div",
            "nn.functional.poisson_nll_loss",
            "nn.functional.gaussian_nll_loss",
            "nn.functional.hinge_embedding_loss",
            "nn.functional.margin_ranking_loss",
            "nn.functional.soft_margin_loss",
            "nn.functional.cosine_embedding_loss",
            "nn.functional.triplet_margin_loss",
            "nn.functional.multi_margin_loss",
            "nn.functional.multilabel_margin_loss",
            "nn.functional.multilabel_soft_margin_loss",
        ],
        [torch.float32, torch.float64],
    ),
)
def test_op_samples(op, dtype):
    check_op_samples(op, dtype, factor=2)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("shape", [(7, 5), (5,), (3, 5, 8, 9), (2, 5, 6), (2, 5, 3, 4, 2)], ids=str)
@pytest.mark.parametrize("target_dtype", [torch.int64, torch.uint8], ids=str)
def test_nll_loss(shape, dtype, target_dtype):
    torch.manual_seed(0)
    x = torch.randn(shape).to(dtype)
    places = shape[:1] + shape[2:] if len(shape) > 1 else ()
    target = torch.randint(0, 5, places).to(target_dtype)
    weights = [None, torch.rand(5).to(dtype)]
    if len(shape) > 2 and target_dtype is torch.uint8:
        return  # stock says that it takes these and then does not
    # Nor does stock take images that are not contiguous.
    inputs = [x, noncontiguous(x)] if len(shape) < 3 else [x]
    for reduction, weight, ignored in itertools.product(REDUCTIONS, weights, (-100, 2)):
        for given in inputs:
            assert_agrees(
                lambda x, t, w, r=reduction, i=ignored: F.nll_loss(
                    x, t, w, ignore_index=i, reduction=r
                ),
                given.requires_grad_(),
                target,
                weight,
                strides=False,
            )


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nll_loss_without_targets(reduction):
    none = torch.full((4,), -100)
    assert_agrees(
        lambda x, t: F.nll_loss(x, t, reduction=reduction), torch.randn(4, 3).requires_grad_(), none
    )
    assert_agrees(
        lambda x, t: F.nll_loss(x, t, reduction=reduction),
        torch.randn(0, 3).requires_grad_(),
        none[:0],
    )


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy(reduction, dtype):
    torch.manual_seed(0)
    x = torch.rand(3, 700) * 0.98 + 0.01
    target = torch.rand(3, 700).round()
    weight = torch.rand(3, 700)
    for w in (None, weight, weight[:1], weight[:, :1]):
        assert_agrees(
            lambda x, t, w: F.binary_cross_entropy(x, t, w, reduction=reduction),
            x.to(dtype).requires_grad_(),
            target.to(dtype),
            None if w is None else w.to(dtype),
        )


def test_binary_cross_entropy_at_certainty():
    x = torch.tensor([0.0, 1.0, 0.0, 1.0, 1e-45], requires_grad=True)
    target = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])
    assert_agrees(lambda x, t: F.binary_cross_entropy(x, t, reduction="none"), x, target)


def test_binary_cross_entropy_double_backward():
    torch.manual_seed(0)
    x = (torch.rand(5, dtype=torch.float64) * 0.9 + 0.05).requires_grad_()
    target = torch.rand(5, dtype=torch.float64).requires_grad_()
    assert_agrees(F.binary_cross_entropy, x, target, double_backward=True)


def test_sums_of_many_losses_stay_accurate():
    torch.manual_seed(0)
    x, target = torch.rand(3_000_000), torch.rand(3_000_000)
    truth = F.binary_cross_entropy(x.double(), target.double())
    ours = F.binary_cross_entropy(x.to("alt"), target.to("alt")).cpu().double()
    assert abs(ours - truth) < 1e-6 * truth
    x, classes = torch.rand(300_000, 2), torch.randint(0, 2, (300_000,))
    truth = F.nll_loss(x.double(), classes, reduction="sum")
    ours = F.nll_loss(x.to("alt"), classes.to("alt"), reduction="sum").cpu().double()
    assert abs(ours - truth) < 1e-6 * abs(truth)


def test_out():
    torch.manual_seed(0)
    x, target = torch.rand(4, 3), torch.rand(4, 3)
    ours = torch.empty(0, device="alt")
    with altbackend.no_fallback():
        torch._C._nn.binary_cross_entropy(*copy_to((x, target), "alt"), reduction=0, out=ours)
    assert_same(ours, F.binary_cross_entropy(x, target, reduction="none"))


def test_bad_targets():
    x = torch.randn(3, 4)
    for target in ([0, 4, 1], [0, -1, 1]):
        for reduction in REDUCTIONS:
            assert_same_error(
                lambda x, t, r=reduction: F.nll_loss(x, t, reduction=r), x, torch.tensor(target)
            )
    images = torch.randn(3, 4, 2, 2)
    assert_same_error(F.nll_loss, images, torch.full((3, 2, 2), 7))
    assert_same_error(F.nll_loss, images, torch.zeros(3, 2, 3, dtype=torch.int64))
    assert_same_error(F.nll_loss, images, torch.zeros(3, 2, 2, dtype=torch.int32))
    assert_same_error(F.nll_loss, x, torch.zeros(3, dtype=torch.int32))
    assert_same_error(F.nll_loss, x, torch.zeros(3))
    assert_same_error(F.nll_loss, x, torch.zeros(2, dtype=torch.int64))
    assert_same_error(F.nll_loss, x.long(), torch.zeros(3, dtype=torch.int64))
    assert_same_error(F.nll_loss, x, torch.zeros(3, dtype=torch.int64), torch.ones(4).double())


def test_margin_losses():
    torch.manual_seed(0)
    x = torch.randn(6, 5, requires_grad=True)
    classes = torch.tensor([0, 4, 2, 1, 3, 3])
    several = torch.tensor([[1, 3, -1, 2, 0]] * 5 + [[-1, 0, 0, 0, 0]])
    weight = torch.rand(5)
    for reduction, p in itertools.product(REDUCTIONS, (1, 2)):
        assert_agrees(
            lambda x, t, w, r=reduction, p=p: F.multi_margin_loss(x, t, p, 0.5, w, reduction=r),
            x,
            classes,
            weight,
        )
    for reduction in REDUCTIONS:
        assert_agrees(
            lambda x, t, r=reduction: F.multilabel_margin_loss(x, t, reduction=r), x, several
        )
    assert_same_error(F.multi_margin_loss, x, classes + 1)
    assert_same_error(F.multi_margin_loss, x, classes, 3)
    assert_same_error(F.multi_margin_loss, x, classes[:4])
    assert_same_error(F.multilabel_margin_loss, x, several + 2)
    assert_same_error(F.multilabel_margin_loss, x, several.int())


def test_noncontiguous_images():
    torch.manual_seed(0)
    x, target = torch.randn(3, 5, 8, 9), torch.randint(0, 5, (3, 8, 9)).to(torch.uint8)
    for reduction in REDUCTIONS:
        results = []
        for device, given in (("cpu", x), ("alt", noncontiguous(x))):
            leaf = copy_to(given, device).requires_grad_()
            loss = F.nll_loss(leaf, target.to(device, torch.int64), reduction=reduction)
            loss.sum().backward()
            results.append((loss.detach().cpu(), leaf.grad.cpu()))
        torch.testing.assert_close(results[1], results[0])


def test_a_bad_target_writes_nothing():
    x = torch.randn(3, 4).to("alt")
    target = torch.tensor([0, 1, 9]).to("alt")
    output = torch.full((3,), 7.0, device="alt")
    total = torch.full((), 7.0, device="alt")
    with pytest.raises(IndexError, match="Target 9 is out of bounds"):
        torch.ops.aten.nll_loss_forward.output(
            x, target, None, 0, -100, output=output, total_weight=total
        )
    assert output.cpu().eq(7).all()
    assert total.item() == 7


def test_bad_probabilities():
    ones = torch.ones(3)
    assert_same_error(F.binary_cross_entropy, torch.tensor([0.5, 1.5, 0.1]), ones)
    assert_same_error(F.binary_cross_entropy, torch.tensor([0.5, float("nan"), 0.1]), ones)
    assert_same_error(F.binary_cross_entropy, ones, torch.tensor([0.5, -0.5, 0.1]))
    assert_same_error(F.binary_cross_entropy, ones, ones.double())
    assert_same_error(F.binary_cross_entropy, ones.long(), ones.long())
    assert_same_error(F.binary_cross_entropy, ones, ones[:2])


@pytest.mark.skipif(not hasattr(F, "linear_cross_entropy"), reason="torch before 2.13")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_linear_cross_entropy_sums_half_types_in_float32(dtype):
    from torch.nn.modules.linear_cross_entropy_options import LinearCrossEntropyOptions

    resolved = [
        LinearCrossEntropyOptions()._adjust(64, 8, 16, dtype, torch.device(device))
        for device in ("cpu", "alt")
    ]
    assert resolved[0] == resolved[1]
    assert resolved[1].acc_dtype is torch.float32
