"""Embedding: lookup, gradient, padding, frequencies, renormalising, bad indices."""

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
    op_samples,
)
from torch import nn

import altbackend


@pytest.mark.parametrize(
    ("op", "dtype"),
    op_samples(
        ["nn.functional.embedding", "nn.functional.embedding_bag"], [torch.float32, torch.float64]
    ),
)
def test_op_samples(op, dtype):
    check_op_samples(op, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("index_dtype", [torch.int64, torch.int32], ids=str)
@pytest.mark.parametrize("by_frequency", [False, True])
@pytest.mark.parametrize("padding", [None, 0, -2])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (4, 50)], ids=str)
def test_embedding(shape, padding, by_frequency, index_dtype, dtype):
    torch.manual_seed(0)
    weight = torch.randn(11, 19).to(dtype).requires_grad_()
    indices = torch.randint(0, 11, shape).to(index_dtype)
    assert_agrees(
        lambda i, w: F.embedding(i, w, padding_idx=padding, scale_grad_by_freq=by_frequency),
        indices,
        weight,
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_gradient_of_half_types_is_summed_in_float(dtype):
    torch.manual_seed(0)
    indices, grad = torch.randint(0, 4, (1000,)), torch.randn(1000, 9).to(dtype)
    backward = torch.ops.aten.embedding_dense_backward
    truth = backward(grad.float(), indices, 6, -1, False).to(dtype)
    with altbackend.no_fallback():
        ours = backward(grad.to("alt"), indices.to("alt"), 6, -1, False)
    assert_same(ours, truth)
    assert (ours[4:].cpu() == 0).all()


def test_noncontiguous_gradient_and_indices():
    torch.manual_seed(0)
    weight = torch.randn(7, 6).requires_grad_()
    indices = torch.randint(0, 7, (5, 8)).t()[::2]
    assert_agrees(lambda i, w: F.embedding(i, w).transpose(0, 2) * 2, indices, weight)


def test_gradient_is_deterministic_and_repeatable():
    torch.manual_seed(0)
    indices, grad = torch.randint(0, 50, (20_000,)), torch.randn(20_000, 33)
    given = copy_to((grad, indices), "alt")
    results = [torch.ops.aten.embedding_dense_backward(*given, 50, -1, False) for _ in range(3)]
    assert all(torch.equal(results[0], r) for r in results[1:])


def test_double_backward():
    weight = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    indices = torch.tensor([0, 2, 2, 4])
    assert_agrees(
        lambda i, w: F.embedding(i, w, padding_idx=0).square(),
        indices,
        weight,
        double_backward=True,
    )


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("norm", [1.0, 2.0, 3.0, float("inf")])
def test_renormalising(norm, dtype):
    torch.manual_seed(0)
    weight, indices = torch.randn(11, 19).to(dtype), torch.randint(0, 9, (4, 5))
    for given in (weight, torch.randn(19, 11).to(dtype).t()):
        assert_agrees(lambda w, i: F.embedding(i, w, max_norm=1.5, norm_type=norm), given, indices)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 3])
def test_embedding_bag(mode, padding, dtype):
    torch.manual_seed(0)
    # Stock has no gradient in half types here.
    wide = dtype in (torch.float32, torch.float64)
    weight = torch.randn(11, 19).to(dtype).requires_grad_(wide)
    indices = torch.randint(0, 11, (40,))
    for offsets in ([0, 7, 7, 30], [0], [0, 40]):
        assert_agrees(
            lambda i, w, o: F.embedding_bag(i, w, o, mode=mode, padding_idx=padding),
            indices,
            weight,
            torch.tensor(offsets),
        )
    assert_agrees(lambda i, w: F.embedding_bag(i, w, mode=mode), indices.view(5, 8).int(), weight)


def test_embedding_bag_scales_by_frequency():
    """Held against its meaning: stock's cpu divides by the count of another index, its CUDA not."""
    torch.manual_seed(0)
    indices, offsets = torch.randint(0, 11, (40,)), torch.tensor([0, 7, 7, 30])
    counts = torch.bincount(indices, minlength=11).clamp(min=1)
    for mode in ("sum", "mean"):
        weight = torch.randn(11, 19, requires_grad=True)
        grad = torch.randn(4, 19)
        plain = F.embedding_bag(indices, weight, offsets, mode=mode)
        expected = torch.autograd.grad(plain, weight, grad)[0] / counts[:, None]
        moved = weight.detach().to("alt").requires_grad_()
        with altbackend.no_fallback():
            ours = F.embedding_bag(
                indices.to("alt"), moved, offsets.to("alt"), mode=mode, scale_grad_by_freq=True
            )
            (found,) = torch.autograd.grad(ours, moved, grad.to("alt"))
        assert_same(found, expected)


def test_embedding_bag_with_weights_for_each_sample():
    torch.manual_seed(0)
    weight = torch.randn(11, 19).requires_grad_()
    scale = torch.rand(40).requires_grad_()
    for padding, last in ((None, False), (3, False), (None, True), (3, True)):
        assert_agrees(
            lambda i, w, o, s, padding=padding, last=last: F.embedding_bag(
                i,
                w,
                o,
                mode="sum",
                per_sample_weights=s,
                padding_idx=padding,
                include_last_offset=last,
            ),
            torch.randint(0, 11, (40,)),
            weight,
            torch.tensor([0, 7, 7, 40]),
            scale,
        )


def test_embedding_bag_of_bad_indices():
    weight, zero = torch.randn(4, 3), torch.tensor([0])
    for bad in ([0, 4], [-1, 0]):
        assert_same_error(F.embedding_bag, torch.tensor(bad), weight, zero, text="num_embeddings")
    good = torch.tensor([0, 1])
    assert_same_error(
        F.embedding_bag, good, weight, torch.tensor([1]), text="offsets[0] has to be 0"
    )
    assert_same_error(F.embedding_bag, good, weight, torch.tensor([0, 9]), text="offsets[-1]")
    with pytest.raises(RuntimeError, match="offsets must not decrease"):  # stock may read anything
        F.embedding_bag(good.to("alt"), weight.to("alt"), torch.tensor([0, 2, 1], device="alt"))


def test_module():
    torch.manual_seed(0)
    indices = torch.tensor([[1, 2, 0], [2, 2, 5]])
    results = []
    for device in ("cpu", "alt"):
        torch.manual_seed(0)
        module = nn.Embedding(6, 4, padding_idx=0, max_norm=1.0).to(device)
        output = module(indices.to(device))
        output.square().sum().backward()
        results.append(
            [output.detach().cpu(), module.weight.detach().cpu(), module.weight.grad.cpu()]
        )
    torch.testing.assert_close(results[1], results[0])
    assert (results[1][2][0] == 0).all()


def test_errors():
    weight = torch.randn(4, 3)
    for bad in ([0, 4], [-1, 0], [0, 2**40]):
        assert_same_error(F.embedding, torch.tensor(bad), weight, text="index")
        with pytest.raises(IndexError):
            torch.ops.aten.embedding_dense_backward(
                torch.randn(2, 3).to("alt"), torch.tensor(bad).to("alt"), 4, -7, False
            )
        with pytest.raises(IndexError):
            torch.embedding_renorm_(weight.to("alt"), torch.tensor(bad).to("alt"), 1.0, 2.0)
    assert_same_error(F.embedding, torch.tensor([0.5]), weight, text="scalar types: Long, Int")
    assert_same_error(
        lambda g, i: torch.ops.aten.embedding_dense_backward(g, i, 4, -1, False),
        torch.randn(2, 3),
        torch.zeros(2),
        text="scalar types: Long, Int",
    )
