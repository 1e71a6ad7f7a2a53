"""Indexing by tensors, masks and nonzero, held against cpu."""

import pytest
import torch

DEVICE = "alt"
DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.complex128,
]


def sample(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.randint(-9, 10, shape, generator=generator)
    return x.to(dtype) if dtype is not torch.bool else x > 0


def move(value, device):
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, (tuple, list)):
        return type(value)(move(v, device) for v in value)
    return value


def assert_same(function, *arguments):
    """`function` gives the same bytes and layout on both devices."""
    expected = function(*arguments)
    result = function(*(move(a, DEVICE) for a in arguments))
    if not isinstance(expected, (tuple, list)):
        expected, result = [expected], [result]
    for a, b in zip(result, expected, strict=True):
        assert a.device.type == DEVICE
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        torch.testing.assert_close(a.cpu(), b, rtol=0, atol=0, equal_nan=True)


INDICES = [
    (torch.tensor([3, 0, -1, 3]),),
    (torch.tensor([[3, 0], [1, -6]]),),
    (slice(None), torch.tensor([1, -2, 0])),
    (torch.tensor([0, 5]), torch.tensor([1, -1])),
    (torch.tensor([[0], [5]]), slice(None), torch.tensor([1, 2, 3])),
    (torch.tensor([2, 3], dtype=torch.int32),),
    (torch.tensor([True, False, True, False, False, True]),),
    (slice(None), torch.tensor([True, False, True, False])),
    (..., torch.tensor([0, 4])),
    (None, torch.tensor([1, 2]), slice(1, 3)),
    (torch.tensor([], dtype=torch.int64),),
    (3, torch.tensor([1, 2])),
    (torch.tensor(2),),
]


@pytest.mark.parametrize("index", INDICES)
class TestAdvancedIndexing:
    def test_read(self, index):
        assert_same(lambda x, i: x[i], sample(6, 4, 5), index)
        assert_same(lambda x, i: x.permute(2, 1, 0)[i], sample(5, 4, 6), index)

    def test_write(self, index):
        def write(x, i, value):
            x = x.clone()
            x[i] = value
            return x

        assert_same(write, sample(6, 4, 5), index, torch.tensor(77.0))
        assert_same(
            write, sample(6, 4, 5), index, torch.tensor(77.0).expand(sample(6, 4, 5)[index].shape)
        )

    def test_accumulate(self, index):
        def add(x, i):
            full = [slice(None) if k is Ellipsis else k for k in i]
            tensors = [k for k in full if isinstance(k, torch.Tensor)]
            if len(tensors) != len(full):
                return x
            return x.clone().index_put_(tensors, torch.ones((), device=x.device), accumulate=True)

        assert_same(add, sample(6, 4, 5), index)

    def test_backward(self, index):
        def gradient(x, i):
            x = x.clone().requires_grad_()
            (x[i] * 3).sum().backward()
            return x.grad

        assert_same(gradient, sample(6, 4, 5), index)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(dtype):
    x = sample(6, 5, dtype=dtype)
    i = torch.tensor([4, 0, 4, -1])
    mask = sample(6, 5, dtype=torch.bool)
    assert_same(lambda x, i: x[i], x, i)
    assert_same(lambda x, i: x[:, i], x, i)
    assert_same(lambda x, i: x.index_put((i,), x[:4], accumulate=True), x, i)
    assert_same(lambda x, i: x.index_select(1, i.abs()), x, i)
    assert_same(lambda x, i: x.index_copy(0, i[:3].abs(), x[1:4]), x, torch.tensor([4, 0, 2]))
    assert_same(lambda x, i: x.index_fill(0, i, 1), x, i)
    assert_same(lambda x, i: x.index_add(0, i.abs(), x[:4]), x, i)
    assert_same(lambda x, i: x.take(i * 5), x, i)
    assert_same(lambda x, i: x.put(i * 5, x.flatten()[:4], accumulate=True), x, i)
    assert_same(lambda x, m: x.masked_fill(m, 1), x, mask)
    assert_same(lambda x, m: x.masked_select(m), x, mask)
    assert_same(lambda x, m: x.masked_scatter(m, x.flip(0)), x, mask)
    assert_same(lambda x: x.nonzero(), x)
    assert_same(lambda x: x.roll((1, -2), (0, 1)), x)
    assert_same(lambda x: x.flip(1), x)
    assert_same(lambda x: x.tril(-1), x)
    assert_same(lambda x: x.triu(1), x)


class TestIndexSelect:
    @pytest.mark.parametrize("dim", [0, 1, 2, -1])
    def test_dimensions(self, dim):
        i = torch.tensor([2, 0, 2], dtype=torch.int32)
        assert_same(lambda x, i: x.index_select(dim, i), sample(3, 4, 5), i)
        assert_same(lambda x, i: x.transpose(0, 2).index_select(dim, i), sample(5, 4, 3), i)

    def test_out(self):
        def select(x, i):
            out = torch.empty(5, 3, device=x.device).t()
            torch.index_select(x, 0, i, out=out)
            return out

        assert_same(select, sample(6, 5), torch.tensor([5, 0, 3]))

    def test_scalar(self):
        assert_same(lambda x, i: x.index_select(0, i), torch.tensor(3.0), torch.tensor([0]))

    def test_large(self):
        i = torch.randint(0, 3000, (5000,), generator=torch.Generator().manual_seed(0))
        assert_same(lambda x, i: x.index_select(0, i), sample(3000, 33), i)
        assert_same(lambda x, i: x[i], sample(3000, 33), i)

    @pytest.mark.parametrize("alpha", [1, 2.5])
    @pytest.mark.parametrize("dim", [0, 1])
    def test_add(self, dim, alpha):
        i = torch.tensor([2, 0, 2])
        source = sample(3, 5) if dim == 0 else sample(4, 3)
        assert_same(lambda x, i, s: x.index_add(dim, i, s, alpha=alpha), sample(4, 5), i, source)
        assert_same(
            lambda x, i, s: x.t().index_add(1 - dim, i, s.t(), alpha=alpha), sample(4, 5), i, source
        )


class TestMasks:
    def test_broadcast(self):
        mask = sample(5, dtype=torch.bool)
        assert_same(lambda x, m: x.masked_fill(m, -1), sample(4, 5), mask)
        assert_same(lambda x, m: x.masked_select(m), sample(4, 5), mask)
        assert_same(lambda x, m: x.masked_fill(m, torch.tensor(2.0)), sample(4, 5), mask)

    def test_write_through_a_view(self):
        def fill(x):
            x = x.clone()
            x.t()[1:3].masked_fill_(x.t()[1:3] > 0, 100)
            x[x < -5] = -100
            return x

        assert_same(fill, sample(40, 50))

    def test_large(self):
        x = sample(300, 400)
        assert_same(lambda x: x[x > 3], x)
        assert_same(lambda x: x.t().masked_select(x.t() > 3), x)
        assert_same(lambda x: torch.zeros_like(x).masked_scatter_(x > 3, x), x)

    def test_backward(self):
        def gradient(x):
            x = x.clone().requires_grad_()
            (x.masked_select(x > 0).sum() + x.masked_fill(x > 2, 0).sum()).backward()
            return x.grad

        assert_same(gradient, sample(6, 7))


class TestNonzero:
    @pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 4), (2, 3, 4), (2, 0, 3), (300, 401)])
    def test_shapes(self, shape):
        assert_same(lambda x: x.nonzero(), sample(*shape))
        assert_same(lambda x: torch.nonzero(x, as_tuple=True), sample(*shape))
        assert_same(lambda x: torch.nonzero_static(x, size=5, fill_value=-7), sample(*shape))
        assert_same(lambda x: x.count_nonzero(), sample(*shape))

    def test_strided(self):
        assert_same(lambda x: x.t()[::2].nonzero(), sample(6, 7))
        assert_same(lambda x: torch.argwhere(x > 0), sample(6, 7))

    def test_layout(self):
        assert sample(3, 4).to(DEVICE).nonzero().stride() == sample(3, 4).nonzero().stride()

    def test_out(self):
        def into(x):
            out = torch.empty(0, dtype=torch.int64, device=x.device)
            torch.nonzero(x, out=out)
            return out

        assert_same(into, sample(3, 4))


class TestRearrangement:
    def test_flip_and_roll(self):
        assert_same(lambda x: x.flip(0, 2), sample(3, 4, 5))
        assert_same(lambda x: x.transpose(0, 1).flip(1), sample(3, 4, 5))
        assert_same(lambda x: x.roll(3), sample(3, 4, 5))
        assert_same(lambda x: x.roll((7, -2), (0, 2)), sample(3, 4, 5))
        assert_same(lambda x: torch.rot90(x), sample(3, 4, 5))

    @pytest.mark.parametrize(
        "rows, columns, dtype",
        [(4100, 1031, torch.float32), (300, 5003, torch.complex128), (5000, 4003, torch.uint8)],
    )
    def test_flip_of_what_is_written_past_the_caches(self, rows, columns, dtype):
        x = (torch.rand(rows, columns) * 250).to(dtype)
        assert_same(lambda x: x.flip(1), x)
        assert_same(lambda x: x.flip(0), x)
        assert_same(lambda x: x.flip(0, 1), x[:, 3:])

    def test_triangles(self):
        for diagonal in (-4, -1, 0, 2, 9):
            assert_same(lambda x, k=diagonal: x.tril(k), sample(2, 3, 5))
            assert_same(lambda x, k=diagonal: x.mT.triu(k), sample(2, 3, 5))
            assert_same(lambda x, k=diagonal: x.clone().tril_(k), sample(4, 3))
            for function in (torch.tril_indices, torch.triu_indices):
                assert torch.equal(
                    function(4, 5, diagonal, device=DEVICE).cpu(), function(4, 5, diagonal)
                )

    def test_repeat(self):
        for repeats in [(2, 3), (1, 1), (4, 1, 2), (2, 0), (3, 1, 1, 1)]:
            assert_same(lambda x, r=repeats: x.repeat(r), sample(3, 4))
            assert_same(lambda x, r=repeats: x.mT.repeat(*r), sample(3, 4))
            assert_same(lambda x, r=repeats: x[:, ::2].conj().repeat(r), sample(3, 4) + 1j)
        assert_same(lambda x: x[0, 0].repeat(3), sample(3, 4))
        assert_same(lambda x: x[:0].repeat(3, 2), sample(3, 4))
        assert_same(lambda x: x.expand(2, 3, 4).tile(2), sample(3, 4))

    def test_repeat_interleave(self):
        counts = torch.tensor([2, 0, 3])
        assert_same(lambda x, n: x.repeat_interleave(n, 0), sample(3, 4), counts)
        assert_same(lambda x: x.repeat_interleave(3, 1), sample(3, 4))
        assert_same(lambda n: torch.repeat_interleave(n), counts.int())

    @pytest.mark.parametrize("size, step", [(3, 1), (2, 2), (4, 3), (1, 1)])
    def test_unfold_backward(self, size, step):
        def gradient(x):
            x = x.clone().requires_grad_()
            x.unfold(1, size, step).pow(2).sum().backward()
            return x.grad

        assert_same(gradient, sample(3, 9, 2))

    def test_take_along_dim(self):
        assert_same(lambda x: x.take_along_dim(x.argsort(1), 1), sample(3, 9))


def bad(*values):
    return torch.tensor(values)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, to: x[to(bad(1, 6))],
        lambda x, to: x[:, to(bad(-5))],
        lambda x, to: x.index_put_((to(bad(1, 6)),), to(torch.tensor(5.0))),
        lambda x, to: x.index_put_((to(bad(0, 1)), to(bad(1, 4))), to(torch.tensor(5.0))),
        lambda x, to: x.index_select(0, to(bad(1, 6))),
        lambda x, to: x.index_select(0, to(bad(-1))),
        lambda x, to: x.index_add_(0, to(bad(0, 6)), to(torch.ones(2, 4))),
        lambda x, to: x.index_copy_(0, to(bad(0, 6)), to(torch.ones(2, 4))),
        lambda x, to: x.index_fill_(0, to(bad(0, 6)), 1),
        lambda x, to: x.take(to(bad(24))),
        lambda x, to: x.put_(to(bad(0, 24)), to(torch.ones(2))),
        lambda x, to: x.masked_fill_(to(bad(1, 0, 1, 0)), 1),
        lambda x, to: x.masked_select(to(bad(1, 0, 1, 0))),
        lambda x, to: x.masked_scatter_(to(torch.ones(6, 4) > 0), to(torch.ones(3))),
        lambda x, to: x.repeat(2),
        lambda x, to: x.repeat(2, -1),
        lambda x, to: x.roll((1, 2), (0,)),
        lambda x, to: torch.repeat_interleave(to(bad(-1))),
        lambda x, to: x[to(torch.ones(5) > 0)],
    ],
)
def test_errors_leave_the_tensor_alone(call):
    x = sample(6, 4)
    with pytest.raises(Exception) as expected:
        call(x.clone(), lambda t: t)
    moved = x.to(DEVICE)
    with pytest.raises(type(expected.value)) as raised:
        call(moved, lambda t: t.to(DEVICE))
    assert str(raised.value).splitlines()[0] == str(expected.value).splitlines()[0]
    assert torch.equal(moved.cpu(), x)


@pytest.mark.parametrize("width", [100, 256, 513])
def test_rows_that_no_cache_holds(width: int) -> None:
    """Rows of a result as large as a last-level cache, some past the caches, some not."""
    words = torch.randn(3000, width)
    picks = torch.randint(0, 3000, (30_000_000 // (4 * width),))
    ours, where = words.to("alt"), picks.to("alt")
    assert torch.equal(ours.index_select(0, where).cpu(), words.index_select(0, picks))
    assert torch.equal(ours[where].cpu(), words[picks])
    some = picks[: 20_000_000 // (4 * width)]
    out = torch.empty(len(some) * width + 1, device="alt")[1:].view(-1, width)  # not on a line
    torch.index_select(ours, 0, some.to("alt"), out=out)
    assert torch.equal(out.cpu(), words[some])
