"""Reductions on alt against stock on cpu: values, places, dtypes, layouts, gradients, errors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from agreement import assert_agrees, assert_same_error, use_threads
from torch.testing import make_tensor
from torch.testing._internal.common_methods_invocations import op_db

import altbackend

FLOATING = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
INTEGRAL = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
COMPLEX = [torch.complex64, torch.complex128]

OPERATORS = {
    "sum", "nansum", "mean", "prod", "std", "var", "std_mean", "var_mean", "any", "all",
    "amax", "amin", "aminmax", "argmax", "argmin", "max", "min", "norm", "linalg.vector_norm",
    "logsumexp", "count_nonzero", "trace", "equal", "allclose", "dist", "renorm",
    "masked.sum", "masked.mean", "masked.var", "masked.amax", "masked.norm",
}  # fmt: skip

# Walked along, across and by gathering; long enough for several chunks and threads.
LAYOUTS: dict[str, Callable[[], torch.Tensor]] = {
    "row": lambda: torch.randn(200_000),
    "long columns": lambda: torch.randn(70_000, 3),
    "long rows": lambda: torch.randn(3, 70_000),
    "short rows": lambda: torch.randn(5_000, 7),
    "transposed": lambda: torch.randn(300, 200).t(),
    "permuted": lambda: torch.randn(13, 17, 19, 3).permute(3, 0, 2, 1),
    "every third": lambda: torch.randn(64, 900)[:, ::3],
    "broadcast rows": lambda: torch.randn(50).expand(40, 50),
    "broadcast columns": lambda: torch.randn(50, 1).expand(50, 40),
    "channels last": lambda: torch.randn(4, 8, 9, 9).to(memory_format=torch.channels_last),
    "one": lambda: torch.randn(1, 1),
    "no dimensions": lambda: torch.randn(()),
}


def dims_of(x: torch.Tensor) -> list[tuple[int, ...]]:
    """Every dimension alone, all of them, and pairs."""
    singles = [(d,) for d in range(x.dim())]
    pairs = [(0, d) for d in range(1, x.dim())]
    return [*singles, *pairs, tuple(range(x.dim()))]


def tolerance(dtype: torch.dtype) -> dict[str, Any]:
    """How far the roundings of two orders of summation may lie apart."""
    if dtype in (torch.float16, torch.bfloat16):
        return {"rtol": 2e-2, "atol": 2e-2}
    if dtype in (torch.float32, torch.complex64):
        return {"rtol": 2e-5, "atol": 1e-4}
    return {"rtol": 1e-10, "atol": 1e-10}


def same(actual: object, expected: object, dtype: torch.dtype) -> None:
    """Compare results of an operator on `dtype`, which for integers may be of a floating one."""
    leaves = torch.utils._pytree.tree_leaves
    for a, e in zip(leaves(actual), leaves(expected), strict=True):
        if not isinstance(e, torch.Tensor):
            torch.testing.assert_close(a, e)
            continue
        assert a.device.type == "alt"
        widest = e.dtype if dtype in INTEGRAL else dtype
        torch.testing.assert_close(a.cpu(), e, equal_nan=True, **tolerance(widest))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int32])
def test_layouts(layout: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    source = LAYOUTS[layout]()
    x = (source * 3).to(dtype)
    y = x.to("alt").as_strided(x.size(), x.stride()) if x.is_contiguous() else None
    if y is None:  # the same strides on alt: the memory under x as a row, viewed as x is
        base = torch.as_strided(x, (x.untyped_storage().nbytes() // x.element_size(),), (1,), 0)
        y = base.to("alt").as_strided(x.size(), x.stride(), x.storage_offset())
    with altbackend.no_fallback():
        for dims in dims_of(x):
            for keepdim in (False, True):
                functions: list[Any] = [torch.sum, torch.amax, torch.amin]
                if dtype.is_floating_point:
                    functions += [torch.mean, torch.var, torch.linalg.vector_norm]
                for function in functions:
                    if function is torch.var and x.numel() == 1:
                        continue  # no degrees of freedom: stock warns
                    expected = function(x, dim=dims, keepdim=keepdim)
                    same(function(y, dim=dims, keepdim=keepdim), expected, dtype)
                if len(dims) == 1:
                    for indexed in (torch.max, torch.min, torch.argmax, torch.argmin):
                        same(indexed(y, *dims, keepdim), indexed(x, *dims, keepdim), dtype)


@pytest.mark.parametrize(
    "op", [op for op in op_db if op.name in OPERATORS], ids=lambda o: o.full_name
)
def test_op_db(op: Any) -> None:
    for dtype in [*FLOATING, *INTEGRAL, *COMPLEX]:
        if dtype not in op.dtypes:
            continue
        for sample in op.sample_inputs("cpu", dtype):
            moved = sample.transform(lambda t: t.to("alt") if isinstance(t, torch.Tensor) else t)
            expected = op(sample.input, *sample.args, **sample.kwargs)
            same(op(moved.input, *moved.args, **moved.kwargs), expected, dtype)


@pytest.mark.parametrize(
    "op", [op for op in op_db if op.name in OPERATORS], ids=lambda o: o.full_name
)
def test_gradients(op: Any) -> None:
    if not op.supports_autograd:
        pytest.skip("not differentiable")
    compared = 0
    for sample in op.sample_inputs("cpu", torch.float64, requires_grad=True):
        moved = sample.transform(
            lambda t: (
                t.detach().to("alt").requires_grad_(t.requires_grad)
                if isinstance(t, torch.Tensor)
                else t
            )
        )
        results = []
        for one in (sample, moved):
            outputs = torch.utils._pytree.tree_leaves(op(one.input, *one.args, **one.kwargs))
            outputs = [o for o in outputs if isinstance(o, torch.Tensor) and o.requires_grad]
            if not outputs:
                continue
            ones = [torch.ones_like(o) for o in outputs]
            gradients = torch.autograd.grad(outputs, one.input, ones, materialize_grads=True)
            results.append(gradients)
        if results:
            same(results[1], results[0], torch.float64)
            compared += 1
    assert compared


NAN_ROWS = torch.tensor(
    [[1.0, float("nan"), 3.0, float("nan")], [4.0, 4.0, 2.0, 2.0], [float("-inf")] * 4]
)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin", "amax", "amin", "nansum"])
def test_nan_and_ties(name: str, dtype: torch.dtype) -> None:
    """NaN wins, and the first of equals is the one found, however long the row."""
    for repeats in (1, 50, 3000):
        x = NAN_ROWS.to(dtype).repeat(1, repeats)
        for dim in (0, 1):
            function = getattr(torch, name)
            same(function(x.to("alt"), dim), function(x, dim), dtype)


@pytest.mark.parametrize("count", [1, 63, 4097, 1_000_003])
def test_sum_is_accurate(count: int) -> None:
    """A float32 sum is within a few roundings of the exact one, however many elements it has."""
    torch.manual_seed(1)
    x = torch.rand(count)
    exact = x.double().sum().item()
    for y in (x.to("alt"), x.to("alt").view(-1, 1)):
        assert abs(y.sum(0).item() - exact) <= 4e-7 * exact


def test_threads_do_not_change_a_sum() -> None:
    x = torch.randn(1_000_003).to("alt")
    sums = []
    for count in (1, 2, 3):
        with use_threads(count):
            sums.append(x.sum().item())
    assert len(set(sums)) == 1


@pytest.mark.parametrize("count", [0, 1, 63, 64, 255 * 64, 255 * 64 + 65, 70_001, 1 << 20])
def test_counts_of_true(count: int) -> None:
    mask = torch.arange(count) % 3 != 1
    for given in (mask, torch.ones(count, dtype=torch.bool)):
        assert_agrees(torch.sum, given)
        assert_agrees(lambda x: x[1::2].sum(), given)
    square = torch.arange(91 * 87).view(91, 87) % 5 == 0
    for dim in (0, 1, (0, 1)):
        assert_agrees(lambda x, d=dim: x.sum(d), square)


def test_no_elements_sum_up_to_zero_in_every_dtype() -> None:
    for dtype in (torch.complex32, torch.complex64, torch.bool, torch.uint8, torch.float16):
        assert_agrees(lambda x: x.sum(1), torch.empty(3, 0, dtype=dtype))


def test_sums_in_another_dtype() -> None:
    """What is accumulated alike is summed without a cast before; other casts come first."""
    for dtype in (torch.bool, torch.uint8, torch.int32, torch.bfloat16, torch.float32):
        x = (torch.randn(37, 5000) * 50).to(dtype)
        for out in (torch.int32, torch.int64, torch.float16, torch.float32, torch.float64):
            if out.is_floating_point or not dtype.is_floating_point:
                for dim in (0, 1):
                    assert_agrees(lambda x, o=out, d=dim: x.sum(d, dtype=o), x, factor=2)
    numbers = torch.randint(-(2**31), 2**31, (100_003,), dtype=torch.int32)
    for function in (torch.sum, torch.amax, torch.amin):
        assert_agrees(function, numbers)
    assert_agrees(lambda x: torch.prod(x % 3 + 1), numbers[:40])


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
@pytest.mark.parametrize(
    "name", ["sum", "prod", "mean", "all", "any", "norm", "var", "max", "amax", "argmax", "aminmax"]
)
@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
def test_nothing_to_reduce(name: str, shape: tuple[int, ...]) -> None:
    """Of no elements: the identity, or stock's error."""
    function = getattr(torch, name)
    for arguments in ((), (0,)):
        x = torch.empty(shape)
        try:
            expected = function(x, *arguments) if name != "aminmax" else function(x)
        except Exception as error:
            with pytest.raises(type(error)) as raised:
                function(x.to("alt"), *arguments) if name != "aminmax" else function(x.to("alt"))
            assert str(raised.value).splitlines()[0] == str(error).splitlines()[0]
        else:
            y = x.to("alt")
            same(function(y, *arguments) if name != "aminmax" else function(y), expected, x.dtype)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.to(torch.complex64).max(),
        lambda x: x.to(torch.complex64).amax(),
        lambda x: x.to(torch.complex64).argmax(),
        lambda x: x.to(torch.complex64).aminmax(),
        lambda x: x.bool().argmax(),
        lambda x: x.sum(5),
        lambda x: x.sum((0, 0)),
        lambda x: x.int().mean(),
        lambda x: x.int().std(),
        lambda x: x[0].trace(),
        lambda x: x.bool().trace(),
        lambda x: x.max(2),
        lambda x: x.prod(-3),
        lambda x: x.count_nonzero((0, 0)),
        lambda x: torch.sum(x, 0, dtype=torch.float64, out=torch.empty(4, device=x.device)),
    ],
)
def test_errors(call: Callable[[torch.Tensor], object]) -> None:
    x = torch.ones(3, 4)
    with pytest.raises(Exception) as expected:
        call(x)
    with pytest.raises(expected.type) as raised:
        call(x.to("alt"))
    assert str(raised.value).splitlines()[0] == str(expected.value).splitlines()[0]


def test_out_keeps_its_strides() -> None:
    x = torch.randn(6, 5, 4)
    out, reference = torch.zeros(4, 6).to("alt").t(), torch.zeros(4, 6).t()
    torch.sum(x.to("alt"), 1, out=out)
    torch.sum(x, 1, out=reference)
    same(out, reference, x.dtype)
    assert out.stride() == reference.stride()


def test_equal() -> None:
    a = make_tensor(10_000, device="cpu", dtype=torch.float32).to("alt")
    assert torch.equal(a, a.clone())
    assert torch.equal(a[::2], a.clone()[::2])
    b = a.clone()
    b[9_999] += 1
    assert not torch.equal(a, b)
    assert not torch.equal(a, a[:-1])
    b.fill_(float("nan"))
    assert not torch.equal(b, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
@pytest.mark.parametrize("rows", [1, 63, 255, 256, 257, 600])
def test_the_first_of_the_best_of_columns(rows: int, dtype: torch.dtype) -> None:
    torch.manual_seed(rows)
    for columns in (5, 16, 127, 128, 129, 600):
        x = torch.randint(-3, 3, (rows, columns)).to(dtype)  # most of them more than once
        if dtype.is_floating_point:
            x[torch.rand(rows, columns) < 0.2 / rows] = float("nan")
            x[:, 1] = float("-inf")
        for name in ("argmax", "argmin", "amax", "amin"):
            best = getattr(torch, name)
            torch.testing.assert_close(
                best(x.to("alt"), 0).cpu(), best(x, 0), rtol=0, atol=0, equal_nan=True
            )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("columns", [64, 130, 256, 512, 1100])
def test_columns_that_no_cache_holds(columns: int, dtype: torch.dtype) -> None:
    torch.manual_seed(columns)
    rows = 40_000_000 // (columns * dtype.itemsize)
    x = torch.randn(rows, columns).to(dtype)
    ours, exact = x.to("alt"), x.double()
    tolerance = {"rtol": 4 * torch.finfo(dtype).eps, "atol": 1e-9 if dtype.itemsize == 8 else 2e-3}
    for name in ("sum", "var", "std", "logsumexp"):
        reduce = getattr(torch, name)
        torch.testing.assert_close(reduce(ours, 0).cpu().double(), reduce(exact, 0), **tolerance)
    for name in ("amax", "amin", "argmax", "argmin"):
        reduce = getattr(torch, name)
        assert torch.equal(reduce(ours, 0).cpu(), reduce(x, 0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(7, 1), (64, 200), (65, 513), (3, 20_000)])
def test_logsumexp_of_infinities_and_nan(shape: tuple[int, int], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = 100 * torch.randn(shape)
    given = [x, torch.full(shape, float("-inf")), torch.full(shape, -3e4)]
    for special in (float("inf"), float("-inf"), float("nan")):
        some = torch.rand(shape) < 0.01
        given += [x.masked_fill(some, special), given[1].masked_fill(some, special)]
    for each in (t.to(dtype) for t in given):
        for dim in (0, 1, (0, 1)):
            same(torch.logsumexp(each.to("alt"), dim), torch.logsumexp(each, dim), dtype)


def test_logsumexp_of_integers_into_an_out_of_another_dtype_and_bad_input() -> None:
    x = torch.randint(-9, 9, (30, 40))
    same(x.to("alt").logsumexp(1, keepdim=True), x.logsumexp(1, keepdim=True), torch.float32)
    wide = torch.empty(0, dtype=torch.float64)
    for each in (x, x.float()):
        ours = torch.logsumexp(each.to("alt"), 0, out=wide.to("alt"))
        same(ours, torch.logsumexp(each, 0, out=wide.clone()), torch.float32)
    assert_same_error(lambda x: x.logsumexp(2), x.float())
    assert_same_error(lambda x: x.logsumexp((0, 0)), x.float())
    assert_same_error(
        lambda x, out: torch.logsumexp(x, 0, out=out), x.float(), torch.empty(40).long()
    )


def test_one_nan_in_a_long_row() -> None:
    """One NaN anywhere in a long row reaches the result."""
    x = torch.zeros(500_000)
    for place in (0, 65_536, 499_999):
        y = x.clone()
        y[place] = float("nan")
        z = y.to("alt")
        assert z.sum().isnan() and z.max().isnan() and z.min().isnan()
        assert z.argmax().item() == place
        assert z.nansum().item() == 0
