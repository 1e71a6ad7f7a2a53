"""The CUDA engine's gather, scatter, indexing and embedding, simulated, against stock torch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from agreement import noncontiguous
from cuda_kernels import Family
from cuda_simulator import Guarded, assert_near

# What moves an element of each dtype: an unsigned integer of its size.
MOVED_AS = {
    torch.float32: torch.uint32,
    torch.bfloat16: torch.uint16,
    torch.int64: torch.uint64,
    torch.bool: torch.uint8,
    torch.complex128: torch.complex128,
}
ADDED = [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool]


@pytest.fixture(scope="module")
def family() -> Family:
    return Family("index")


def samples(name: str, dtype: torch.dtype) -> Iterator:
    from torch.testing._internal.common_methods_invocations import op_db

    op = next(o for o in op_db if o.name == name and not o.variant_test_name)
    taken = list(op.sample_inputs("cpu", dtype))
    assert taken
    yield from taken


def guarded(t: torch.Tensor) -> Guarded:
    made = Guarded(t.shape, t.dtype, like=t)
    made.tensor.copy_(t)
    return made


@pytest.mark.parametrize("dtype", list(MOVED_AS))
def test_gather(family: Family, dtype: torch.dtype) -> None:
    for sample in samples("gather", dtype):
        x, dim, index = sample.input, *sample.args
        if index.numel() == 0 or x.dim() != index.dim():
            continue
        for given in (x, noncontiguous(x) if x.dim() else x):
            found = Guarded(index.shape, dtype)
            kinds = (MOVED_AS[dtype], index.dtype)
            family.run("gather", kinds, [found, given, index], [dim % max(1, x.dim())])
            assert torch.equal(found.tensor, torch.gather(given, dim, index))


@pytest.mark.parametrize("dtype", list(MOVED_AS))
def test_index_select(family: Family, dtype: torch.dtype) -> None:
    for sample in samples("index_select", dtype):
        x, dim, index = sample.input, *sample.args
        if x.dim() == 0 or index.numel() == 0 or index.dim() == 0:
            continue
        expected = torch.index_select(x, dim, index)
        for kind in (torch.int64, torch.int32):
            found = Guarded(expected.shape, dtype)
            operands = [found, noncontiguous(x), index.to(kind)]
            family.run("index_select", (MOVED_AS[dtype], kind), operands, [dim % x.dim()])
            assert torch.equal(found.tensor, expected)


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("dtype", ADDED)
def test_scatter(family: Family, dtype: torch.dtype, adds: bool) -> None:
    name = "scatter_add" if adds else "scatter"
    for sample in samples(name, dtype):
        x, dim, index, source = sample.input, *sample.args
        if sample.kwargs or not isinstance(source, torch.Tensor) or index.numel() == 0:
            continue
        if x.dim() != index.dim():
            continue
        expected = getattr(torch, name)(x, dim, index, source)
        found = guarded(x)
        operands = [found, index.long(), noncontiguous(source) if source.dim() else source]
        family.run("scatter", (dtype, torch.int64), operands, [dim % max(1, x.dim()), adds])
        assert_near(found.tensor, expected, 1e-5 if dtype != torch.bfloat16 else 2e-2, name)


def test_scatter_of_a_number(family: Family) -> None:
    x, index = torch.randn(4, 5), torch.randint(0, 4, (2, 5))
    found = guarded(x)
    family.run("scatter", (torch.float32, torch.int64), [found, index, torch.tensor(7.0)], [0, 0])
    assert torch.equal(found.tensor, x.scatter(0, index, 7.0))


@pytest.mark.parametrize("dtype", ADDED)
def test_index_add(family: Family, dtype: torch.dtype) -> None:
    for sample in samples("index_add", dtype):
        x, dim, index, source = sample.input, *sample.args
        if x.dim() == 0 or source.numel() == 0 or source.dim() == 0 or index.dim() == 0:
            continue
        alpha = sample.kwargs.get("alpha", 1)
        expected = torch.index_add(x, dim, index, source, alpha=alpha)
        found = guarded(x)
        family.run(
            "index_add",
            (dtype, torch.int64),
            [found, source, index.long()],
            [dim % x.dim()],
            [alpha],
        )
        assert_near(found.tensor, expected, 1e-5 if dtype != torch.bfloat16 else 5e-2, "")


def indexed(x: torch.Tensor, given: dict[int, torch.Tensor]) -> tuple:
    """As PyTorch's front-end has it: indexed dimensions first, all operands of one shape."""
    shape = torch.broadcast_shapes(*(i.shape for i in given.values()))
    rest = [d for d in range(x.dim()) if d not in given]
    sizes = (*shape, *(x.shape[d] for d in rest))
    strides = [0] * len(shape) + [x.stride(d) for d in rest]
    view = x.as_strided(sizes, strides)
    indices = [
        i.expand(shape).reshape(*shape, *[1] * len(rest)).expand(sizes) for i in given.values()
    ]
    integers = [0] * 32
    for k, d in enumerate(given):
        integers[2 + k], integers[10 + k] = x.shape[d], x.stride(d)
    return view, indices, integers


INDICES = [
    {0: torch.tensor([0, 2, -1, 1])},
    {1: torch.tensor([[4, 0], [-5, 3]])},
    {0: torch.tensor([[0], [2]]), 1: torch.tensor([1, 1, -1])},
    {0: torch.tensor([0, 1]), 1: torch.tensor([4, 4]), 2: torch.tensor([0, -6])},
]


@pytest.mark.parametrize("given", INDICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_index_and_index_put(family: Family, dtype: torch.dtype, given: dict) -> None:
    base = (torch.randn(3, 5, 6) * 9).to(dtype)
    for x in (base, noncontiguous(base)):
        view, indices, integers = indexed(x, given)
        # Stock puts the indices' dimensions where the first index stood; here they come first.
        moved = x.movedim(list(given), list(range(len(given))))
        expected = moved[tuple(given.values())]
        found = Guarded(expected.shape, dtype)
        family.run("index_get", (MOVED_AS[dtype], torch.int64), [found, view, *indices], integers)
        assert torch.equal(found.tensor, expected)

        values = (torch.randn(expected.shape) * 9).to(dtype)
        for adds in (False, True):
            target = guarded(x.contiguous())
            view2, indices2, integers = indexed(target.tensor, given)
            integers[1] = adds
            family.run("index_put", (dtype, torch.int64), [view2, values, *indices2], integers)
            target.check()
            where = tuple(given.values())
            wanted = x.clone().contiguous()
            front = wanted.movedim(list(given), list(range(len(given))))
            front.index_put_(where, values, accumulate=adds)
            bound = 1e-5 if dtype != torch.bfloat16 else 5e-2
            assert_near(target.tensor, wanted, bound, f"{given}")


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_embedding_backward(family: Family, dtype: torch.dtype, counted: bool) -> None:
    index = torch.tensor([1, 3, 1, 0, 6, 1])
    gradient = torch.randn(6, 9).to(dtype)
    found = Guarded((7, 9), dtype)
    found.tensor.zero_()
    counts = torch.bincount(index, minlength=7) if counted else None
    family.run("embedding_backward", (dtype, torch.int64), [found, gradient, index, counts], [3])
    expected = torch.ops.aten.embedding_dense_backward(gradient, index, 7, 3, counted)
    assert_near(found.tensor, expected, 1e-5 if dtype == torch.float32 else 5e-2, "")


@pytest.mark.parametrize(
    ("name", "bad"),
    [("gather", 4), ("gather", -1), ("index_select", 9), ("index_get", -5), ("index_get", 4)],
)
def test_an_index_out_of_range_is_reported_and_touches_nothing(
    family: Family, name: str, bad: int
) -> None:
    x = torch.randn(4)
    index = torch.tensor([0, bad, 3])
    found = Guarded((3,), torch.float32)
    found.tensor.fill_(-1.0)
    if name == "index_get":
        view, indices, integers = indexed(x, {0: index})
        operands = [found, view, *indices]
    else:
        operands, integers = [found, x, index], [0]
    kind, where = IndexError, "a dimension of size 4"
    if name == "gather":
        kind, where = RuntimeError, "dimension 0 with size 4"
    with pytest.raises(kind, match=f"index {bad} is out of bounds for {where}"):
        family.run(name, (torch.uint32, torch.int64), operands, integers)
    assert found.tensor.tolist() == [x[0].item(), -1.0, x[3].item()]


def test_index_copy_takes_no_negative_index(family: Family) -> None:
    found = Guarded((4,), torch.float32)
    found.tensor.fill_(-1.0)
    view, indices, integers = indexed(found.tensor, {0: torch.tensor([2, -1])})
    operands = [view, torch.tensor([5.0, 6.0]), *indices]
    family.run("index_put", (torch.float32, torch.int64), operands, integers)
    assert found.tensor.tolist() == [-1, -1, 5, 6]
    integers[0] = 1
    with pytest.raises(IndexError, match="index -1 is out of bounds for a dimension of size 4"):
        family.run("index_put", (torch.float32, torch.int64), operands, integers)


MODES = {"prod": 2, "amax": 3, "amin": 4}


@pytest.mark.parametrize("reduce", list(MODES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.uint8])
def test_scatter_reduce(family: Family, dtype: torch.dtype, reduce: str) -> None:
    torch.manual_seed(0)
    x = (torch.rand(4, 5) * 9).to(dtype)
    index, source = torch.randint(0, 4, (6, 5)), (torch.rand(6, 5) * 9).to(dtype)
    if dtype.is_floating_point and reduce != "prod":
        source[2, 3] = float("nan")
    found = guarded(x)
    family.run("scatter", (dtype, torch.int64), [found, index, source], [0, MODES[reduce]])
    assert_near(found.tensor, x.scatter_reduce(0, index, source, reduce), 1e-5, reduce)
