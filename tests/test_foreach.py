"""The _foreach_ operators on alt against the same ones on cpu."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.testing._internal.common_methods_invocations import (
    foreach_binary_op_db,
    foreach_other_op_db,
    foreach_pointwise_op_db,
    foreach_reduce_op_db,
    foreach_unary_op_db,
)

import altbackend

SHAPES = [(1,), (7,), (64, 3), (0,), (3, 5, 17), (40_000,)]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]

# Called on lists a, b, c of the same shapes. Each is run in place and not.
CALLS: dict[str, Callable] = {
    "add": lambda f, a, b, c: f(a, 0.5),
    "add list": lambda f, a, b, c: f(a, b, alpha=0.3),
    "add scalars": lambda f, a, b, c: f(a, [float(i) for i in range(len(a))]),
    "add tensor": lambda f, a, b, c: f(a, torch.tensor(1.5, device=a[0].device), alpha=2),
    "sub": lambda f, a, b, c: f(a, 0.5),
    # Stock rounds alpha to the half types here, and not in add.
    "sub list": lambda f, a, b, c: f(a, b, alpha=0.25),
    "mul": lambda f, a, b, c: f(a, 0.5),
    "mul list": lambda f, a, b, c: f(a, b),
    "mul scalars": lambda f, a, b, c: f(a, [i + 0.5 for i in range(len(a))]),
    "mul tensor": lambda f, a, b, c: f(a, torch.tensor(1.5, device=a[0].device)),
    "div": lambda f, a, b, c: f(a, 3.0),
    "div list": lambda f, a, b, c: f(a, c),
    "div scalars": lambda f, a, b, c: f(a, [i + 0.5 for i in range(len(a))]),
    "div tensor": lambda f, a, b, c: f(a, torch.tensor(1.5, device=a[0].device)),
    "addcmul": lambda f, a, b, c: f(a, b, c, 0.7),
    "addcmul scalars": lambda f, a, b, c: f(a, b, c, [i + 0.5 for i in range(len(a))]),
    "addcmul tensor": lambda f, a, b, c: f(a, b, c, torch.arange(float(len(a)))),
    "addcdiv": lambda f, a, b, c: f(a, b, c, 0.7),
    "addcdiv scalars": lambda f, a, b, c: f(a, b, c, [i + 0.5 for i in range(len(a))]),
    "addcdiv tensor": lambda f, a, b, c: f(a, b, c, torch.arange(float(len(a)))),
    "lerp": lambda f, a, b, c: f(a, b, 0.9),
    "lerp list": lambda f, a, b, c: f(a, b, c),
    "lerp scalars": lambda f, a, b, c: f(a, b, [0.1 * i for i in range(len(a))]),
    "sqrt": lambda f, a, b, c: f(a),
    "neg": lambda f, a, b, c: f(a),
    "abs": lambda f, a, b, c: f(a),
    "reciprocal": lambda f, a, b, c: f(a),
    "clamp_max": lambda f, a, b, c: f(a, 0.5),
    "clamp_min list": lambda f, a, b, c: f(a, b),
    "maximum list": lambda f, a, b, c: f(a, b),
    "minimum": lambda f, a, b, c: f(a, 0.25),
}


def lists(dtype: torch.dtype, shapes: list[tuple[int, ...]] = SHAPES) -> list[list[torch.Tensor]]:
    torch.manual_seed(0)
    return [[(torch.rand(s) + 0.1).to(dtype) for s in shapes] for _ in range(3)]


def to_alt(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return [t.to("alt") for t in tensors]


def same(actual: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for a, e in zip(actual, expected, strict=True):
        assert a.device.type == "alt"
        torch.testing.assert_close(a.cpu(), e, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("in_place", [False, True])
def test_native(call: str, dtype: torch.dtype, in_place: bool) -> None:
    function = getattr(torch, f"_foreach_{call.split()[0]}{'_' if in_place else ''}")
    cpu = lists(dtype)
    alt = [to_alt(tensors) for tensors in cpu]
    with altbackend.no_fallback():
        result = CALLS[call](function, *alt)
    expected = CALLS[call](function, *cpu)
    same(alt[0] if in_place else result, cpu[0] if in_place else expected)
    same(alt[1], cpu[1])
    same(alt[2], cpu[2])


@pytest.mark.parametrize("call", CALLS)
def test_lists_that_no_single_pass_serves(call: str) -> None:
    """Integers, unlike layouts, unlike dtypes, complex numbers: as on cpu, or the same error."""
    function = getattr(torch, f"_foreach_{call.split()[0]}")
    plain = lists(torch.float32, [(4, 6), (5,)])
    variants: list[list[list[torch.Tensor]]] = [
        [[(t * 10).int() for t in tensors] for tensors in plain],
        [plain[0], [plain[1][0].clone().t().contiguous().t(), plain[1][1]], plain[2]],
        [plain[0], [t.double() for t in plain[1]], plain[2]],
        [[t + 1j for t in tensors] for tensors in plain],
        [[t[::2] for t in tensors] for tensors in plain],
        [plain[0], plain[1][:1], plain[2]],
        [[], [], []],
    ]
    for variant in variants:
        try:
            expected = CALLS[call](function, *variant)
        except Exception as error:
            with pytest.raises(type(error)):
                CALLS[call](function, *[to_alt(v) for v in variant])
        else:
            same(CALLS[call](function, *[to_alt(v) for v in variant]), expected)


def test_a_tensor_that_is_in_the_list_twice() -> None:
    a, b = torch.ones(50_000), torch.ones(50_000)
    x = a.to("alt")
    torch._foreach_mul_([x, x], [2.0, 3.0])
    torch._foreach_mul_([b, b], [2.0, 3.0])
    assert torch.equal(x.cpu(), b)


def test_zero() -> None:
    tensors = [torch.ones(s, device="alt") for s in SHAPES]
    strided = torch.ones(6, 6, device="alt")
    with altbackend.no_fallback():
        torch._foreach_zero_([*tensors, strided[:, ::2]])
    assert all(not t.any() for t in tensors)
    assert torch.equal(strided.cpu(), torch.tensor([0.0, 1.0]).repeat(6, 3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ord", [1, 2, 2.0, float("inf"), 3, 0])
def test_norm(ord: float, dtype: torch.dtype) -> None:
    """One pass for the usual orders, with the bits that a norm alone has; others one by one."""
    torch.manual_seed(0)
    tensors = [torch.randn(s).to(dtype) for s in [(1,), (7,), (64, 3), (40_000,), (300, 700)]]
    tensors.append(tensors[4].t())
    alt = to_alt(tensors)
    with altbackend.no_fallback():
        norms = torch._foreach_norm(alt, ord)
    assert all(norm.dtype == dtype and norm.dim() == 0 for norm in norms)
    for norm, tensor in zip(norms, alt, strict=True):
        assert torch.equal(norm, torch.linalg.vector_norm(tensor, ord))
    # In double: stock's own sum of 40,000 cubes is off by more than float's tolerance.
    exact = torch._foreach_norm([t.double() for t in tensors], ord)
    same(norms, [norm.to(dtype) for norm in exact])


def test_norm_of_what_no_single_pass_serves() -> None:
    for tensors in ([torch.zeros(0)], [torch.ones(6, 6)[:, ::2]], [torch.full((3,), 1 + 1j)]):
        same(torch._foreach_norm(to_alt(tensors)), torch._foreach_norm(tensors))
    with_nan = [torch.tensor([1.0, torch.nan]), torch.tensor([torch.inf])]
    same(torch._foreach_norm(to_alt(with_nan)), torch._foreach_norm(with_nan))
    wide = torch._foreach_norm([torch.ones(4, device="alt")], 2, torch.float64)
    assert wide[0].dtype == torch.float64
    with pytest.raises(RuntimeError, match="infinity norm on an empty"):
        torch._foreach_norm([torch.zeros(0, device="alt")], torch.inf)


ALL = [
    *foreach_unary_op_db,
    *foreach_binary_op_db,
    *foreach_pointwise_op_db,
    *foreach_reduce_op_db,
    *foreach_other_op_db,
]


@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_op_db(op: Any) -> None:
    """Every _foreach_ operator of PyTorch, by its own samples."""
    compared = 0
    for dtype in (torch.float32, torch.int64):
        if dtype not in op.dtypes:
            continue
        for sample in op.sample_inputs("cpu", dtype, noncontiguous=False):
            moved = sample.transform(lambda t: t.to("alt") if isinstance(t, torch.Tensor) else t)
            kwargs = {k: v for k, v in sample.kwargs.items() if k != "is_fastpath"}
            function = op.method_variant or op.inplace_variant
            try:
                expected = function(sample.input, *sample.args, **kwargs)
            except Exception as error:
                with pytest.raises(type(error)):
                    function(moved.input, *moved.args, **kwargs)
                continue
            actual = function(moved.input, *moved.args, **kwargs)
            if op.method_variant is None:
                actual, expected = moved.input, sample.input
            same(actual, expected)
            compared += 1
    assert compared


def test_gradients_flow_through_lists() -> None:
    cpu = [t.requires_grad_() for t in lists(torch.float64, [(3,), (2, 2)])[0]]
    alt = [t.detach().to("alt").requires_grad_() for t in cpu]
    for tensors in (cpu, alt):
        out = torch._foreach_sqrt(torch._foreach_add(torch._foreach_mul(tensors, 2.0), 1.0))
        torch.autograd.backward([o.sum() for o in out])
    same([t.grad for t in alt if t.grad is not None], [t.grad for t in cpu if t.grad is not None])


@pytest.mark.parametrize("name", ["sqrt_", "zero_"])
def test_in_place_is_seen_by_autograd(name: str) -> None:
    x = torch.full((3,), 2.0, device="alt", requires_grad=True)
    y = x * 1
    z = y * y
    getattr(torch, f"_foreach_{name}")([y])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_in_place_by_a_number_counts_versions() -> None:
    tensors = [torch.ones(3, device="alt"), torch.ones(2, device="alt")]
    torch._foreach_add_(tensors, 1.0)
    torch._foreach_mul_(tensors, tensors)
    assert [x._version for x in tensors] == [2, 2]
