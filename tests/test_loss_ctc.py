"""ctc_loss: targets joined and padded, lengths, repeated labels, impossible targets, bad input."""

import pytest
import torch
import torch.nn.functional as F
from agreement import assert_agrees, assert_same_error, check_op_samples, op_samples


@pytest.mark.parametrize(
    ("op", "dtype"), op_samples(["nn.functional.ctc_loss"], [torch.float32, torch.float64])
)
def test_samples(op, dtype):
    check_op_samples(op, dtype, factor=4)


def log_probs_of(time: int, batch: int, labels: int, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(time)
    logits = torch.randn(time, batch, labels, generator=generator, dtype=dtype)
    return logits.log_softmax(-1).requires_grad_()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("blank", [0, 4])
def test_lengths(dtype, joined, blank):
    log_probs = log_probs_of(50, 4, 20, dtype)
    lengths = [20, 1, 0, 7]
    generator = torch.Generator().manual_seed(1)
    targets = torch.randint(5, 20, (4, 20), generator=generator)
    targets[0, :6] = 7  # blanks are obligatory between
    if joined:
        targets = torch.cat([row[:n] for row, n in zip(targets, lengths, strict=True)])

    def loss(x, t):
        return F.ctc_loss(x, t, [50, 50, 13, 30], lengths, blank=blank, reduction="none")

    assert_agrees(loss, log_probs, targets, factor=4)
    assert_agrees(loss, log_probs, targets.int(), factor=4)


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_targets_that_cannot_be(zero_infinity):
    log_probs = log_probs_of(4, 3, 6, torch.float64)
    targets = torch.tensor([[1, 1, 1, 2], [1, 2, 3, 4], [1, 2, 3, 5]])

    def loss(x, t):
        return F.ctc_loss(x, t, [4, 0, 4], [4, 2, 0], reduction="none", zero_infinity=zero_infinity)

    assert_agrees(loss, log_probs, targets)


def test_lengths_as_tensors():
    log_probs = log_probs_of(8, 2, 5, torch.float64)
    targets = torch.tensor([[1, 2], [3, 3]])
    aten = torch.ops.aten

    def loss(x, t, time, length):
        return aten._ctc_loss.Tensor(x, t, time, length)[0]

    assert_agrees(loss, log_probs, targets, torch.tensor([8, 6]), torch.tensor([2, 1]))


def test_unbatched_and_transposed():
    targets = torch.tensor([1, 2, 2])
    single = log_probs_of(9, 1, 4, torch.float64).detach()[:, 0].requires_grad_()
    assert_agrees(lambda x, t: F.ctc_loss(x, t, (9,), (3,)), single, targets)
    batch_first = log_probs_of(2, 9, 4, torch.float64)
    assert_agrees(
        lambda x, t: F.ctc_loss(x.transpose(0, 1), t, [9, 9], [2, 1], reduction="sum"),
        batch_first,
        targets,
    )


def test_bad_input():
    x = log_probs_of(5, 2, 4, torch.float32).detach()
    targets = torch.tensor([[1, 2], [3, 1]])

    def loss(x, t, time=(5, 5), length=(2, 2), blank=0):
        return F.ctc_loss(x, t, time, length, blank=blank)

    assert_same_error(lambda x, t: loss(x, t, blank=4), x, targets)
    assert_same_error(lambda x, t: loss(x, t, time=(5, 6)), x, targets)
    assert_same_error(lambda x, t: loss(x, t, time=(5,)), x, targets)
    assert_same_error(lambda x, t: loss(x, t, length=(2, 3)), x, targets)
    assert_same_error(lambda x, t: loss(x, t, length=(2, -1)), x, targets)
    assert_same_error(lambda x, t: loss(x, t.flatten(), length=(2, 1)), x, targets)
    assert_same_error(loss, x.half(), targets)
    assert_same_error(
        lambda x, t: torch.ops.aten._ctc_loss(x, t.float(), [5, 5], [2, 2]),
        x,
        targets,
        text="for argument #2 'targets' to have scalar type Int",
    )
    # Stock reads beyond its memory there.
    with pytest.raises(RuntimeError, match="is not a label"):
        loss(x.to("alt"), targets.to("alt") + 2)
