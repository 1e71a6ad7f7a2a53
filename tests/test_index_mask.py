"""One mask of all of a tensor: elements are picked by its bits, 64 at a time."""

import pytest
import torch
from agreement import assert_agrees, assert_same_error, noncontiguous

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int16,
    torch.bfloat16,
    torch.float32,
    torch.int64,
    torch.complex64,
    torch.complex128,
]
LENGTHS = [0, 1, 15, 16, 17, 63, 64, 65, 200, 1000, 32768, 70001]
SHARES = [0.0, 0.02, 0.5, 1.0]


def sample(*shape, dtype=torch.float32):
    """Numbers that differ from their neighbours."""
    numbers = torch.arange(1, 1 + torch.Size(shape).numel()).view(shape)
    return numbers % 2 == 0 if dtype == torch.bool else (numbers % 251).to(dtype)


def masks(*shape):
    torch.manual_seed(0)
    return [torch.rand(shape) < share for share in SHARES]


def assign(x, mask, values):
    x[mask] = values
    return x


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_length(dtype):
    for length in LENGTHS:
        x = sample(length, dtype=dtype)
        for mask in masks(length):
            source = sample(length + 1, dtype=dtype)
            assert_agrees(lambda x, m: x[m], x, mask)
            assert_agrees(torch.masked_select, x, mask)
            assert_agrees(lambda x, m, s: x.masked_scatter_(m, s), x, mask, source)
            assert_agrees(assign, x, mask, source[: int(mask.sum())])
            assert_agrees(assign, x, mask, 1)


def test_memory_of_any_order():
    x = sample(5, 37, 41)
    for mask in masks(5, 37, 41):
        values = sample(int(mask.sum()))
        for given in (x, noncontiguous(x), x.transpose(0, 2).contiguous().transpose(0, 2)):
            for chosen in (mask, noncontiguous(mask)):
                assert_agrees(lambda x, m: x[m], given, chosen)
                assert_agrees(assign, given, chosen, noncontiguous(values))
                assert_agrees(assign, given, chosen, -1.0)


def test_gradients():
    x, mask = torch.randn(40, 30, requires_grad=True), torch.rand(40, 30) < 0.3
    assert_agrees(lambda x, m: x[m], x, mask)
    assert_agrees(lambda x, m, v: assign(x * 1, m, v), x, mask, torch.tensor(2.0).requires_grad_())
    values = torch.randn(int(mask.sum()), requires_grad=True)
    assert_agrees(lambda x, m, v: assign(x * 1, m, v), x, mask, values)


def test_what_the_positions_are_found_for():
    """Masks of fewer dimensions, two of them, accumulation, broadcast values, dtypes."""
    x, mask = sample(6, 5), sample(6, 5) % 3 == 0
    rows = torch.tensor([True, False, True, True, False, False])
    assert_agrees(lambda x, r: x[r], x, rows)
    assert_agrees(lambda x, r: assign(x, r, 0), x, rows)
    assert_agrees(lambda x, r: x[r, torch.tensor([0, 1, 2], device=x.device)], x, rows)
    assert_agrees(lambda x, m: x.index_put((m,), torch.ones((), device=x.device), True), x, mask)
    assert_agrees(lambda x, m: assign(x, m, torch.ones(1, device=x.device)), x, mask)
    assert_agrees(lambda x, m: assign(x, m, torch.tensor(3.0)), x, mask)
    for number in (x.long()[2, 2], x.double()[2, 2], x.bool()[2, 2], x.long()[2:3, 2]):
        assert_agrees(assign, x, mask, number)
        assert_agrees(lambda x, m, n: x.index_put((m,), n), x, mask, number)
        assert_agrees(lambda x, r, n: x.index_put((r,), n), x, rows, number)
    for scalar in (torch.tensor(3.0), torch.tensor(True)):
        assert_agrees(lambda x, s: x[s], scalar, torch.tensor(True))
    assert_agrees(lambda x, m: assign(x[0, 0], m[0, 0], 7.0), x, mask)


def onto_itself(x):
    mask = torch.zeros(64, dtype=torch.bool, device=x.device)
    mask[:8] = True
    return assign(x[:64], mask, x[32:40])


def test_memory_that_overlaps():
    assert_agrees(lambda x: assign(x, x, False), sample(70, dtype=torch.bool))
    assert_same_error(onto_itself, sample(80))


def test_errors_are_stocks():
    x, mask = sample(6, 5), sample(6, 5) % 3 == 0
    assert_same_error(lambda x, m: x[m], x, mask[:5])
    assert_same_error(assign, x, mask[:, :4], 1.0)
    assert_same_error(lambda x, m: assign(x, m, sample(3, dtype=x.dtype).to(x.device)), x, mask)
    assert_same_error(lambda x, m: x.index_put_((m,), x.double().flatten()[:10]), x, mask)
