"""The ways of using an entry that are checked; each is one function on a Context.

A variant raises Difference where alt and stock disagree, and counts what it compared. One that has
nothing to compare for an entry raises NotApplicable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from altbackend import _C
from conformance.ops import database
from conformance.ops.context import UNINITIALIZED, Context
from conformance.ops.layouts import LAYOUTS
from conformance.suite.cells import NotApplicable
from conformance.suite.outcome import (
    Difference,
    Outcome,
    compare_errors,
    normalized_message,
    outcome,
    short,
)
from conformance.suite.tensors import strided, tensors_in, twins

SEVERAL = 3  # threads
FEW = 6  # samples, evenly spread, of the variants that multiply the work


def forward(context: Context) -> None:
    """Values, dtypes and shapes on all samples."""
    for sample, stock, alt in context.pairs(context.samples()):
        context.agree(sample, stock, alt)


def reference(context: Context) -> None:
    """Forward on the reference inputs: extremal values, broadcasting, large sizes."""
    if context.op.reference_inputs_func is None:
        raise NotApplicable("no reference inputs of its own")
    for sample, stock, alt in context.pairs(context.reference_samples()):
        context.agree(sample, stock, alt)


def strides(context: Context) -> None:
    """Strides and lazy bits of the results."""
    for _, stock, alt in context.pairs(context.samples()):
        _same_strides(context, stock, alt, "")


def memory_format(context: Context) -> None:
    """Strides of the results where the inputs are permuted, channels_last or spread out."""
    for name in ("transposed", "channels_last", "noncontiguous"):
        for sample in context.samples(FEW):
            changed = _laid(sample, name)
            if _changed(sample, changed):
                stock, alt = context.call(changed, "cpu"), context.call(changed, "alt")
                _same_strides(context, stock, alt, f"{name}: ")
    _require(context, "no sample can lie that way")


def _same_strides(context: Context, stock: Outcome, alt: Outcome, where: str) -> None:
    if stock.error is not None or alt.error is not None:
        return
    for a, b in zip(tensors_in(stock.value), tensors_in(alt.value), strict=True):
        if a.layout != torch.strided:
            continue
        if a.numel() > 1 and a.stride() != b.stride():
            theirs = f"stock has {a.stride()}, {tuple(a.shape)}"
            raise Difference(f"{where}strides {b.stride()}, {theirs}")
        if a.is_conj() != b.is_conj() or a.is_neg() != b.is_neg():
            raise Difference(f"{where}a lazy conjugate or negation differs")
        context.cases += 1


def views(context: Context) -> None:
    """A result shares its storage with the input where stock's does, at the same offset."""
    for sample in context.samples(FEW):
        shared = []
        for device in ("cpu", "alt"):
            given, args, kwargs = context.arguments(sample, device)
            result = outcome(context.op.op, given, *args, **kwargs)
            if result.error is not None:
                break
            inputs = tensors_in((given, args, kwargs))
            shared.append(
                [
                    (_owner(x, inputs), x.storage_offset() if _owner(x, inputs) >= 0 else 0)
                    for x in tensors_in(result.value)
                    if x.layout == torch.strided and x.numel()
                ]
            )
        if len(shared) == 2:
            if shared[0] != shared[1]:
                raise Difference(f"shares (input, offset) {shared[1]}, stock {shared[0]}")
            context.cases += 1


def _owner(x: torch.Tensor, inputs: list[torch.Tensor]) -> int:
    for i, y in enumerate(inputs):
        if x.untyped_storage().data_ptr() == y.untyped_storage().data_ptr():
            return i
    return -1


def layout_variant(name: str) -> Callable[[Context], None]:
    """Forward on inputs that lie differently in memory."""

    def variant(context: Context) -> None:
        if name == "zero_size" and context.op.full_name in database.UNWRITTEN:
            raise NotApplicable("stock answers memory that nobody has written")
        for sample in context.samples():
            changed = _laid(sample, name)
            if name != "offset" and not _changed(sample, changed):
                continue
            if context.cases == FEW:
                break
            context.agree(changed, context.call(changed, "cpu"), context.call(changed, "alt"))
        _require(context, "no sample can lie that way")

    variant.__doc__ = f"Forward on {name.replace('_', '-')} inputs."
    return variant


def _laid(sample: Any, name: str) -> Any:
    return sample.transform(lambda x: LAYOUTS[name](x) if isinstance(x, torch.Tensor) else x)


def _changed(before: Any, after: Any) -> bool:
    a, b = (tensors_in((s.input, s.args, s.kwargs)) for s in (before, after))
    return any(x.stride() != y.stride() or x.shape != y.shape for x, y in zip(a, b, strict=True))


def _require(context: Context, why: str) -> None:
    if context.cases == 0:
        raise NotApplicable(why)


def inplace(context: Context) -> None:
    """The in-place variant: the values written, the tensor returned, its version."""
    function = context.op.get_inplace()
    if function is None:
        raise NotApplicable("no in-place variant")
    for sample in context.samples(FEW):
        results = []
        for device in ("cpu", "alt"):
            given, args, kwargs = context.arguments(sample, device)
            result = outcome(function, given, *args, **kwargs)
            results.append((result, given))
        (stock, stock_self), (alt, alt_self) = results
        if not compare_errors(stock, alt):
            continue
        if stock.error is None:
            context.agree_values(sample, stock_self, alt_self, "self")
            if (alt.value is alt_self) != (stock.value is stock_self):
                raise Difference("returns another tensor than self")
            for a, b in zip(tensors_in(stock_self), tensors_in(alt_self), strict=True):
                if a._version != b._version:
                    raise Difference(f"version {b._version}, stock has {a._version}")
        context.cases += 1


def out_variant(shape: str) -> Callable[[Context], None]:
    """out= of a given kind."""

    def make(expected: torch.Tensor) -> torch.Tensor:
        if shape == "wrong_size":
            return expected.new_zeros((*expected.shape, 2))
        if shape == "wrong_dtype":
            other = torch.int64 if expected.dtype.is_floating_point else torch.float32
            return torch.zeros(expected.shape, dtype=other)
        result = torch.zeros(expected.shape, dtype=expected.dtype)
        return LAYOUTS["noncontiguous"](result) if shape == "noncontiguous" else result

    def variant(context: Context) -> None:
        if not context.op.supports_out or database.is_foreach(context.op):
            raise NotApplicable("no out= variant")
        for sample in context.samples(FEW):
            expected = context.call(sample, "cpu")
            if expected.error is not None or not tensors_in(expected.value):
                continue
            single = isinstance(expected.value, torch.Tensor)
            outs = [make(x) for x in tensors_in(expected.value)]
            given = {d: twins(tuple(outs), d) for d in ("cpu", "alt")}
            results = {
                d: context.call(sample, d, out=given[d][0] if single else given[d])
                for d in ("cpu", "alt")
            }
            if not compare_errors(results["cpu"], results["alt"]):
                continue
            if results["cpu"].error is None:
                context.agree(sample, results["cpu"], results["alt"], "out")
                for a, b in zip(given["cpu"], given["alt"], strict=True):
                    if a.numel() > 1 and a.stride() != b.stride():
                        raise Difference(f"out has strides {b.stride()}, stock {a.stride()}")
                if results["cpu"].warnings != results["alt"].warnings:
                    raise Difference(
                        f"warns {results['alt'].warnings}, stock {results['cpu'].warnings}"
                    )
            context.cases += 1

    variant.__doc__ = f"out= {shape.replace('_', ' ')}."
    return variant


def lazy_variant(kind: str) -> Callable[[Context], None]:
    """Inputs that are lazily conjugated or negated."""

    def lazy(x: Any) -> Any:
        if not isinstance(x, torch.Tensor):
            return x
        if kind == "conj":
            return torch.conj(x.conj().resolve_conj()) if x.is_complex() else x
        return torch._neg_view(-x) if x.is_floating_point() or x.is_complex() else x

    def variant(context: Context) -> None:
        asked = context.op.test_conjugated_samples if kind == "conj" else context.op.test_neg_view
        suited = context.dtype.is_complex or (kind == "neg" and context.dtype.is_floating_point)
        if not asked or not suited:
            raise NotApplicable("not a lazy dtype")
        for sample in context.samples(FEW):
            try:
                changed = sample.transform(lazy)
            except NotImplementedError as error:
                raise NotApplicable(short(error)) from None
            context.agree(changed, context.call(changed, "cpu"), context.call(changed, "alt"))

    variant.__doc__ = f"Forward on inputs with the {kind} bit."
    return variant


def errors(context: Context) -> None:
    """Error inputs: the same exception type."""
    _errors(context, messages=False)


def error_messages(context: Context) -> None:
    """Error inputs: the same message, but for the names of device and kernel."""
    _errors(context, messages=True)


def _errors(context: Context, messages: bool) -> None:
    if context.op.error_inputs_func is None:
        raise NotApplicable("no error inputs")
    if database.dtype_name(context.dtype) != database.error_dtype(context.op):
        raise NotApplicable("error inputs bring their own dtypes: one cell runs them")
    for item in context.op.error_inputs("cpu"):
        sample = item.sample_input
        if not strided((sample.input, sample.args, sample.kwargs)):
            continue  # of another device, or a layout that alt has not
        stock, alt = context.call(sample, "cpu"), context.call(sample, "alt")
        if messages and stock.error is not None and alt.error is not None:
            expected, got = normalized_message(stock.error), normalized_message(alt.error)
            if expected != got and not re.search(item.error_regex, str(alt.error)):
                raise Difference(f"says {short(alt.error)!r}, stock {short(stock.error)!r}")
        elif not messages and not compare_errors(stock, alt):
            raise Difference(f"raises nothing, stock raises NotImplementedError: {stock.error}")
        context.cases += 1


def determinism(context: Context) -> None:
    """Two runs from one seed give the same bytes, with one thread and with several."""
    for sample in context.samples(FEW):
        first = context.call(sample, "alt")
        with threads(SEVERAL):
            second = context.call(sample, "alt")
        if first.error is not None or context.op.name.endswith(UNINITIALIZED):
            continue
        for a, b in zip(tensors_in(first.value), tensors_in(second.value), strict=True):
            if not _same_bytes(a, b):
                raise Difference("two runs from one seed differ")
        context.cases += 1
    _require(context, "nothing to repeat")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Alt's pool has ``count`` threads inside."""
    before = _C.num_threads()
    _C.set_num_threads(count)
    try:
        yield
    finally:
        _C.set_num_threads(before)


def _same_bytes(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.layout != torch.strided:
        return True
    x, y = (_memory(t.detach().cpu().resolve_conj().resolve_neg()) for t in (a, b))
    return a.shape == b.shape and torch.equal(x, y)


def _memory(x: torch.Tensor) -> torch.Tensor:
    # Into memory of its own: a tensor of one element keeps whatever stride it has.
    return x.new_empty(x.numel()).copy_(x.flatten()).view(torch.uint8)


def seeded_like(x: torch.Tensor, seed: int, dtype: torch.dtype) -> torch.Tensor:
    """A tensor to multiply a gradient with: numbers of ``dtype``, the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    return (numbers.to(dtype) if dtype.is_floating_point else numbers).to(x.dtype)
