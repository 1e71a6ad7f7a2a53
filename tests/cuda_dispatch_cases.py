"""What tests/test_cuda_dispatch.py runs, in a process whose GPUs are simulated.

A case is a function here; it compares alt with cpu. Several run in one process, which takes seconds
to start.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import torch
from agreement import noncontiguous

import altbackend
from altbackend.cuda import module

CASES: dict[str, Callable[[], None]] = {}


def case(function: Callable[[], None]) -> Callable[[], None]:
    CASES[function.__name__] = function
    return function


def same(given: torch.Tensor, expected: torch.Tensor, **bounds: float) -> None:
    assert given.device.type == "alt", given.device
    torch.testing.assert_close(given.cpu(), expected, equal_nan=True, check_stride=True, **bounds)


def agree(function: Callable, *operands: torch.Tensor, **bounds: float) -> None:
    expected = function(*operands)
    given = function(*(t.to("alt") for t in operands))
    expected = expected if isinstance(expected, tuple) else (expected,)
    given = given if isinstance(given, tuple) else (given,)
    for g, e in zip(given, expected, strict=True):
        same(g, e, **bounds)


def refused(function: Callable, kind: type[Exception]) -> str:
    try:
        function()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


def counted(kind: str) -> dict[str, int]:
    return {r["op"]: r["calls"] for r in altbackend.fallback_report() if r["kind"] == kind}


# ---- pointwise ----


@case
def pointwise_operators_take_any_layout() -> None:
    x, y = torch.randn(5, 7), torch.randn(7)
    with altbackend.no_fallback():
        agree(torch.add, x, y)
        agree(lambda a, b: a.T + b[:5], x, y)
        agree(torch.mul, noncontiguous(x), y)
        agree(torch.add, x, torch.randn(5, 1))
        agree(torch.add, torch.randn(()), torch.randn(()))
        agree(torch.add, torch.empty(0, 3), torch.empty(3))
        agree(torch.sigmoid, torch.randn(2, 3, 4).permute(2, 0, 1))


@case
def operands_are_cast_on_load_and_on_store() -> None:
    x, n = torch.randn(6), torch.arange(6)
    with altbackend.no_fallback():
        agree(torch.add, x, n)
        agree(torch.add, x.half(), n)
        agree(torch.lt, x.half(), x.half().flip(0))
        agree(torch.true_divide, n, n + 1)

        def into(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return torch.add(a, b, out=torch.empty(6, dtype=torch.float64, device=a.device))

        agree(into, x, x)


@case
def numbers_are_arguments_or_operands() -> None:
    x = torch.randn(9)
    with altbackend.no_fallback():
        agree(lambda a: a + 2.5, x)
        agree(lambda a: 1 - a, x)
        agree(lambda a: torch.add(a, a, alpha=3), x)
        agree(lambda a: a.clamp(-0.5, 0.5), x)
        agree(lambda a: torch.where(a > 0, a, 0.0), x)
        agree(lambda a: torch.where(a > 0, 1.0, 0.0), x)
        agree(lambda a: a * torch.tensor(2.0, dtype=torch.float64), x)
        agree(lambda a: a + 1j, x)
        agree(lambda a: a**3, x)


@case
def results_in_place_and_given() -> None:
    x, y = torch.randn(4, 5), torch.randn(4, 5)
    with altbackend.no_fallback():
        agree(lambda a, b: a.clone().add_(b), x, y)
        agree(lambda a, b: torch.sub(a, b, out=torch.empty(4, 5, device=a.device)), x, y)
        agree(lambda a, b: torch.sub(a, b, out=torch.empty(0, device=a.device)), x, y)

        def through_a_view(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            a = a.clone()
            a[:, 1].mul_(b[:, 0])
            a.T[2].exp_()
            return a

        agree(through_a_view, x, y)
        given = torch.empty(3, 4, device="alt").T
        expected = torch.empty(3, 4).T
        torch.neg(x[:, :3].to("alt"), out=given)
        torch.neg(x[:, :3], out=expected)
        same(given, expected)


@case
def more_dimensions_than_a_kernel_takes() -> None:
    x = torch.randn([2] * 17 + [1])[..., 0]
    order = [*range(0, 17, 2), *range(1, 17, 2)]
    with altbackend.no_fallback():
        a = x.to("alt")
        same(a + a.permute(order), x + x.permute(order))


@case
def a_kernel_s_handle_is_asked_of_python_once() -> None:
    asked = []
    handles = module.handles

    def noted(*key: Any) -> tuple[int, int, int]:
        asked.append((*key[:2], key[-1]))
        return handles(*key)

    module.handles = noted
    try:
        for device in ("alt:0", "alt:1", "alt:0"):
            x = torch.ones(6, 4, device=device)
            for a in (x, x.T, x[:, ::2]):
                (a * a).sum(1).softmax(0)
    finally:
        module.handles = handles
    assert len(asked) == len(set(asked)), asked
    assert ("kernel", "softmax_forward", 1) in asked, asked


@case
def two_results() -> None:
    with altbackend.no_fallback():
        agree(lambda a: tuple(torch.frexp(a)), torch.randn(6))


# ---- reductions ----


@case
def reductions_agree() -> None:
    x = torch.randn(6, 40, 5)
    with altbackend.no_fallback():
        for function in (
            torch.sum,
            lambda a: a.sum((0, 2)),
            lambda a: a.sum(1, keepdim=True),
            lambda a: a.mean((0, 1)),
            lambda a: a.prod(1),
            lambda a: (a > 0).any(1),
            lambda a: (a > -9).all(),
            lambda a: a.amax((0, 2)),
            lambda a: tuple(a.max(1)),
            lambda a: tuple(a.min(0)),
            torch.max,
            torch.argmax,
            lambda a: a.argmin(1),
            lambda a: tuple(torch.aminmax(a, dim=1)),
            lambda a: a.std(1),
            lambda a: tuple(torch.var_mean(a, (0, 2))),
            torch.count_nonzero,
            lambda a: torch.linalg.vector_norm(a, dim=1),
            lambda a: torch.linalg.vector_norm(a, 3.0),
            lambda a: torch.nansum(a, 0),
        ):
            agree(function, x)
            agree(function, noncontiguous(x))


@case
def reductions_shared_by_blocks() -> None:
    x = torch.randn(3, 20000)
    with altbackend.no_fallback():
        # Sums that may come out near zero, of terms that do not.
        agree(lambda a: a.sum(1), x, rtol=1e-4, atol=1e-3)
        agree(lambda a: a.argmax(1), x)
        agree(lambda a: a.sum(), x, rtol=1e-4, atol=1e-3)


@case
def reductions_of_more_dimensions_than_a_kernel_takes() -> None:
    altbackend.reset_fallback_report()
    x = torch.randn([2] * 20).permute([*range(0, 20, 2), *range(1, 20, 2)])
    agree(lambda a: a.sum([0, 19]), x, rtol=1e-4, atol=1e-5)
    assert counted("host") == {"sum": 1}


@case
def reductions_of_nothing_and_of_other_dtypes() -> None:
    with altbackend.no_fallback():
        agree(lambda a: a.sum(0), torch.empty(0, 3))
        agree(lambda a: a.prod(1), torch.empty(2, 0))
        agree(lambda a: a.all(0), torch.empty(0, 3))
        agree(lambda a: a.sum(), torch.arange(9))
        agree(lambda a: a.sum(), torch.ones(9, dtype=torch.bool))
        agree(lambda a: a.half().sum(0), torch.randn(7, 3))
        agree(lambda a: a.sum(1), torch.randn(3, 4, dtype=torch.complex64))
        agree(lambda a: a.norm(), torch.randn(3, 4, dtype=torch.complex64))
        agree(lambda a: a.sum(0, dtype=torch.float64), torch.randn(7, 3))
        agree(lambda a: torch.sum(a, 1, out=torch.empty(3, device=a.device)), torch.randn(3, 4))


# ---- copies ----


@case
def copies_to_and_from_the_host() -> None:
    x = torch.randn(4, 6)
    with altbackend.no_fallback():
        for given in (x, x.T, x[::2, 1:], noncontiguous(x), x[:, :1].expand(4, 6), x[0, 0]):
            a = given.to("alt")
            assert torch.equal(a.cpu(), given)
            same(a.clone(), given.clone())
            for dtype in (torch.float64, torch.int32, torch.bool, torch.half, torch.complex64):
                same(given.to("alt", dtype), given.to(dtype))
                assert torch.equal(a.to("cpu", dtype), given.to(dtype))
        part = torch.zeros(4, 6, device="alt")
        part[1:3, ::2] = x[1:3, ::2]
        expected = torch.zeros(4, 6)
        expected[1:3, ::2] = x[1:3, ::2]
        same(part, expected)
        back = torch.zeros(6, 4)
        back.T.copy_(x.to("alt"))
        assert torch.equal(back, x.T)
        pinned = torch.empty(4, 6, pin_memory=True)
        pinned.copy_(x.to("alt"), non_blocking=True)
        torch.alt.synchronize()
        assert torch.equal(pinned, x)


@case
def copies_on_the_device() -> None:
    x = torch.randn(5, 6)
    a = x.to("alt")
    with altbackend.no_fallback():
        same(a.T.contiguous(), x.T.contiguous())
        same(a.to(torch.int64), x.to(torch.int64))
        same(a[:, ::2].clone(), x[:, ::2].clone())
        same(torch.empty(5, 6, device="alt").copy_(a[0]), torch.empty(5, 6).copy_(x[0]))
        z = torch.randn(4, dtype=torch.complex64)
        same(z.to("alt").conj().clone(), z.conj().clone())
        same(z.to("alt").conj().resolve_conj(), z.conj().resolve_conj())
        same(a.to(memory_format=torch.preserve_format), x)


@case
def copies_between_devices() -> None:
    x = torch.randn(5, 6)
    with altbackend.no_fallback():
        a = x.to("alt:1")
        assert a.device.index == 1
        same(a + a, x + x)
        same(a.to("alt:0"), x)
        same(a.T.to("alt:0"), x.T)
        same(a.to("alt:0", torch.float64), x.double())
        into = torch.zeros(6, 5, device="alt:0")
        into.T.copy_(a)
        same(into, x.T.contiguous())


@case
def filling_and_reading() -> None:
    with altbackend.no_fallback():
        for dtype in (torch.float32, torch.half, torch.int64, torch.bool, torch.complex128):
            same(
                torch.full((3, 4), 1, dtype=dtype, device="alt"), torch.full((3, 4), 1, dtype=dtype)
            )
            a, x = torch.zeros(4, 6, dtype=dtype, device="alt"), torch.zeros(4, 6, dtype=dtype)
            a[:, ::2] = 1
            x[:, ::2] = 1
            same(a, x)
            assert a[1, 2].item() == x[1, 2].item()
            assert a.tolist() == x.tolist()
        a = torch.arange(6.0).to("alt")
        assert torch.equal(a, a.clone()) and not torch.equal(a, a + 1)
        same(torch.ones_like(a).zero_(), torch.zeros(6))
        a.resize_(9)
        assert a[:6].cpu().tolist() == list(range(6))
        assert bool((a[:6] >= 0).all())
    assert "5." in repr(a[:6])


@case
def dtypes_that_no_kernel_computes_on() -> None:
    x = torch.randn(8)
    a = x.to("alt")
    eight = a.to(torch.float8_e4m3fn)  # cast by the host's kernel
    assert torch.equal(eight.cpu().view(torch.uint8), x.to(torch.float8_e4m3fn).view(torch.uint8))
    assert torch.equal(eight.float().cpu(), x.to(torch.float8_e4m3fn).float())
    with altbackend.no_fallback():  # moved as they are
        assert torch.equal(
            eight[::2].clone().view(torch.uint8).cpu(), eight.cpu().view(torch.uint8)[::2]
        )


# ---- kernels of the host engine, and of stock torch ----


@case
def a_kernel_of_the_host_engine_is_called_on_copies() -> None:
    altbackend.reset_fallback_report()
    x = torch.rand(20)
    agree(lambda a: torch.histc(a, 4, 0, 1), x)
    agree(lambda a: tuple(torch.linalg.ldl_factor(a[:9].view(3, 3))), x)  # a stub
    agree(lambda a: tuple(torch.mode(a.view(4, 5))), x)
    names = counted("host")
    assert names == {"aten::histc": 1, "ldl_factor_stub": 1, "aten::mode": 1}, names
    assert not counted("stock")


@case
def what_a_twin_has_no_kernel_for_is_called_on_copies() -> None:
    altbackend.reset_fallback_report()
    z, index = torch.randn(3, 4, dtype=torch.complex64), torch.tensor([[0, 2, 1, 0]])
    agree(lambda a, i, s: a.clone().scatter_reduce_(0, i, s, "prod"), z, index, z[:1])
    agree(lambda a, i: a.clone().scatter_(0, i, 2j, reduce="multiply"), z, index)
    n = torch.arange(12, dtype=torch.int32).view(3, 4).to(torch.uint16)
    for add in (  # stock has no such kernels
        lambda a, i: a.clone().scatter_add_(0, i, a[:1]),
        lambda a, i: a.clone().index_put_((i[0],), a[:1], accumulate=True),
        lambda a, i: a.clone().index_add_(0, i[0, :1], a[:1]),
    ):
        same(add(n.to("alt"), index.to("alt")), add(n.int(), index).to(n.dtype))
    # Index tensors for more dimensions than a kernel takes, and more dimensions.
    x, two = torch.randn([2] * 7), torch.tensor([0, 1, 1])
    agree(lambda a, i: a[(i,) * 7], x, two)
    agree(lambda a, i: a.clone().index_put_((i,) * 7, i.float()), x, two)
    many = torch.randn([2] * 18).permute([*range(0, 18, 2), *range(1, 18, 2)])
    agree(lambda a: tuple(a.max(4)), many)
    agree(lambda a: tuple(a.min(-1)), many)
    agree(lambda a: tuple(torch.aminmax(a, dim=0)), many)
    agree(lambda a, i: a.gather(0, i), many, torch.ones([1] * 18, dtype=torch.int64))
    found = counted("host")
    assert found.pop("scatter_reduce_two_stub") and found.pop("scatter_scalar_reduce_stub")
    assert found.pop("scatter_add_stub") and found.pop("index_put_stub")
    assert found.pop("aten::index_add_")
    assert found.pop("index_stub") and found.pop("gather_stub")
    assert not counted("stock") and set(found) <= {"max", "min", "aminmax"}, found
    a = torch.zeros(3, device="alt")
    with altbackend.no_fallback():
        a.index_copy_(0, torch.tensor([-1], device="alt"), torch.ones(1, device="alt"))
        assert "index -1 is out of bounds" in refused(torch.alt.synchronize, IndexError)
        bad = torch.tensor([0, 3], device="alt")
        assert "dimension 0 with size 3" in refused(lambda: a.gather(0, bad).cpu(), RuntimeError)


@case
def its_outputs_and_views_are_the_device_s() -> None:
    x = torch.randn(4, 6)
    a = x.to("alt")
    out = torch.empty(0, device="alt")
    torch.histc(a, 5, -1, 1, out=out)  # resized in host memory
    same(out + 0, torch.histc(x, 5, -1, 1))
    whole = torch.zeros(3, 8, device="alt")
    view = whole[:, 2:5]
    torch.mode(a[:3].view(3, 3, 2), out=(view, torch.empty(3, 3, dtype=torch.int64, device="alt")))
    expected = torch.zeros(3, 8)
    expected[:, 2:5] = torch.mode(x[:3].view(3, 3, 2)).values
    same(whole, expected)
    with altbackend.no_fallback():
        view.add_(1)  # the storage is the device's again
    expected[:, 2:5] += 1
    same(whole, expected)


@case
def what_a_host_kernel_raises_leaves_everything_as_it_was() -> None:
    a = torch.randn(4, 6, device="alt")
    before = a.cpu()
    assert "bins must be > 0" in refused(lambda: torch.histc(a, -1), RuntimeError)
    negative = torch.tensor([1.0, -1.0], device="alt")
    assert "non-negative" in refused(lambda: torch.poisson(negative), RuntimeError)
    assert negative.tolist() == [1, -1]
    same(a + 1, before + 1)


@case
def host_kernels_can_be_forbidden() -> None:
    x = torch.rand(20)
    a = x.to("alt")
    with altbackend.no_fallback():
        message = refused(lambda: torch.histc(a, 4), NotImplementedError)
        assert "aten::histc" in message and "the host engine" in message
        message = refused(lambda: torch.linalg.ldl_factor(a[:16].view(4, 4)), NotImplementedError)
        same(a * 2, x * 2)


@case
def an_operator_without_any_kernel_of_ours() -> None:
    altbackend.reset_fallback_report()
    x = torch.randn(3, 4)
    agree(lambda a: torch.special.scaled_modified_bessel_k0(a.abs()), x)
    assert not counted("stock")
    name = "aten::_test_optional_floatlist"
    agree(lambda a: torch.ops.aten._test_optional_floatlist(a[0], None), x)
    assert counted("stock") == {name: 1}, altbackend.fallback_report()
    with altbackend.no_fallback():
        a = x.to("alt")
        refused(lambda: torch.ops.aten._test_optional_floatlist(a[0], None), NotImplementedError)


@case
def lists_of_tensors_and_recurrent_layers_are_composites() -> None:
    x = [torch.randn(3), torch.randn(2, 2)]
    with altbackend.no_fallback():
        agree(lambda a, b: tuple(torch._foreach_add([a, b], 2.0)), *x)
        agree(lambda a, b: tuple(torch._foreach_mul([a, b], [a, b])), *x)


# ---- operators of other operators, and small kernels ----


def unfolded_and_folded(a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    functional = torch.nn.functional
    windows = functional.unfold(a, (2, 3), dilation=(1, 2), padding=1, stride=(2, 1))
    sizes = a.shape[-2:]
    return windows, functional.fold(windows, sizes, (2, 3), (1, 2), padding=1, stride=(2, 1))


@case
def distances_windows_and_vectors() -> None:
    x, y = torch.randn(2, 5, 3), torch.randn(2, 4, 3)
    vectors = torch.randn(4, 3, 2)
    with altbackend.no_fallback():
        for p in (0.0, 0.5, 1.0, 2.0, 3.0, float("inf")):
            agree(lambda a, b, p=p: torch.cdist(a, b, p), x, y)
            agree(lambda a, p=p: torch.nn.functional.pdist(a[0], p), x)
            agree(lambda a, b, p=p: gradients(lambda c, d: torch.cdist(c, d, p), a, b), x, y)
            agree(lambda a, p=p: gradients(lambda c: torch.pdist(c, p), a), x[0])
        agree(unfolded_and_folded, torch.randn(2, 3, 5, 6))
        agree(unfolded_and_folded, torch.randn(2, 3, 5, 6, dtype=torch.complex64))
        agree(lambda a: torch.cross(a[:2], a[2:].flip(1), dim=1), vectors)
        agree(
            lambda a: torch.cross(a[0].T.half(), a[1].T.half(), dim=1), vectors, atol=1e-2, rtol=0
        )
        agree(lambda a: torch.linalg.cross(a, a[:1].flip(1), dim=1), vectors.to(torch.complex64))


def gradients(function: Callable, *operands: torch.Tensor) -> tuple[torch.Tensor, ...]:
    leaves = [t.detach().requires_grad_() for t in operands]
    result = function(*leaves)
    weights = torch.arange(result.numel(), device=result.device).view(result.shape) % 3 - 1.0
    return torch.autograd.grad(result, leaves, weights)


@case
def operators_that_are_made_of_others() -> None:
    rms_norm = torch.nn.functional.rms_norm
    x, n = torch.randn(4, 5), torch.tensor([2, 0, 3])
    half = {"rtol": 2e-3, "atol": 1e-3}  # a step of a half type
    with altbackend.no_fallback():
        agree(torch.repeat_interleave, n)
        agree(lambda a, k: a[:3].repeat_interleave(k.int(), dim=0), x, n)
        message = refused(lambda: torch.repeat_interleave(-n.to("alt")), RuntimeError)
        assert "repeats can not be negative" in message
        agree(lambda k: torch.isin(torch.arange(6, device=k.device).view(2, 3), k), n)
        agree(lambda k: torch.isin(k, 3, invert=True), n)
        for g in (torch.randn(4, 1), torch.randn(1, 5)):
            dim = int(g.shape[0] == 1)
            agree(lambda v, g, dim=dim: torch._weight_norm_interface(v, g, dim), x, g)
            agree(
                lambda v, g, dim=dim: gradients(lambda *a: torch._weight_norm(*a, dim), v, g), x, g
            )
        for width in ((5,), (4, 5)):
            agree(lambda a, w, width=width: rms_norm(a, width, w), x, torch.rand(width))
            agree(
                lambda a, w, width=width: gradients(lambda *t: rms_norm(t[0], width, t[1]), a, w),
                x,
                torch.rand(width),
            )
        agree(lambda a: a.logsumexp(1), x)
        agree(lambda a: a.logsumexp(0, keepdim=True), n)
        for values in (x, x.new_tensor([1, float("nan"), 2, 5]), x.new_empty(0), n, n[:0]):
            agree(torch.median, values)
            agree(torch.nanmedian, values)
        agree(lambda w, i: torch.embedding_renorm_(w.clone(), i, 1.0, 2.0), x, n)
        agree(lambda w, i: torch.embedding_renorm_(w.half(), i, 0.5, 1.0), x, n, **half)
        y, places = torch.nn.functional.max_pool2d(torch.randn(2, 4, 6), 2, return_indices=True)
        agree(lambda a, i: torch.nn.functional.max_unpool2d(a, i, 2), y, places)
        # More dimensions than a kernel takes.
        many = torch.randn([2] * 18).permute([*range(0, 18, 2), *range(1, 18, 2)])
        agree(lambda a, i: a.index_select(3, i), many, torch.tensor([1, 0, 1]))
    altbackend.reset_fallback_report()
    narrow = torch.randn([1] * 15 + [2, 3])
    agree(lambda a: torch.cross(a, a.flip(-2), dim=-1), narrow)
    assert counted("host") == {"cross_stub": 1}, altbackend.fallback_report()


@case
def a_random_fill_needs_memory_for_each_number() -> None:
    for fill in (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.bernoulli_):
        shared = torch.zeros(3, 1, device="alt").expand(3, 4)
        assert "single memory location" in refused(lambda: fill(shared), RuntimeError)  # noqa: B023


@case
def what_is_no_distribution_is_refused() -> None:
    for bad, text in (([0.5, -1], "entry < 0"), ([1, float("inf")], "infinity"), ([0, 0], "<= 0")):
        weights = torch.tensor([[1.0, 1.0], bad], device="alt")
        assert text in refused(lambda: weights.multinomial(3, replacement=True), RuntimeError)  # noqa: B023
    assert weights[:0].multinomial(3, replacement=True).shape == (0, 3)


@case
def results_lie_as_the_host_s() -> None:
    z = torch.randn(5, 6, 4, dtype=torch.complex64)
    for spectrum in (z, z.permute(2, 0, 1)):
        agree(torch.fft.irfft2, spectrum)
        agree(torch.fft.irfftn, spectrum)
    x = torch.eye(3, 4)
    for a in (x, x.T, x.flatten()):
        same(torch.nonzero(a.to("alt")), torch.nonzero(a))
        out = torch.empty(0, dtype=torch.int64, device="alt")
        same(torch.nonzero(a.to("alt"), out=out), torch.nonzero(a))


@case
def the_ends_of_a_sequence_are_rounded_first() -> None:
    for function in (torch.linspace, torch.logspace):
        given = function(-0.7, 1.7, 3, dtype=torch.int64, device="alt")
        same(given, function(-0.7, 1.7, 3, dtype=torch.int64))


# ---- errors ----


@case
def errors_are_the_host_s_and_nothing_is_written() -> None:
    a = torch.randn(4, device="alt")
    n = torch.arange(4, device="alt")
    out = torch.full((4,), 7, device="alt")
    assert "not implemented for 'ComplexFloat'" in refused(
        lambda: torch.erf(a.to(torch.complex64)), RuntimeError
    )
    assert "can't be cast" in refused(lambda: torch.add(a, a, out=out), RuntimeError)
    assert "without overflow" in refused(
        lambda: torch.add(n.to(torch.int8), n.to(torch.int8), alpha=300), RuntimeError
    )
    assert "must match the size" in refused(lambda: a + torch.randn(3, device="alt"), RuntimeError)
    assert out.tolist() == [7] * 4


@case
def a_zero_divisor_is_raised_where_the_host_waits() -> None:
    n = torch.arange(4, device="alt")
    bad = n // (n - 2)
    assert "ZeroDivisionError" in refused(lambda: bad.cpu(), RuntimeError)
    assert (n // (n + 1)).tolist() == [0, 0, 0, 0]


# ---- together ----


@case
def a_small_network_learns() -> None:
    def train(device: str) -> list[float]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4)
        ).to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        x, y = torch.randn(12, 8).to(device), torch.randint(0, 4, (12,)).to(device)
        losses = []
        for _ in range(4):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    altbackend.reset_fallback_report()
    torch.testing.assert_close(train("alt"), train("cpu"), rtol=1e-4, atol=1e-5)
    assert not counted("stock"), altbackend.fallback_report()
    print("host kernels of the network:", counted("host"), file=sys.stderr)


def results(names: list[str]) -> Iterator[tuple[str, str | None]]:
    for name in names or CASES:
        print(f"running {name}", file=sys.stderr, flush=True)
        try:
            CASES[name]()
        except Exception:
            yield name, traceback.format_exc(limit=-4)
        else:
            yield name, None


def main(*names: str) -> None:
    for name, error in results(list(names)):
        print(json.dumps([name, error]), flush=True)
