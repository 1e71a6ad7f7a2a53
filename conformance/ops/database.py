"""The entries of torch's own databases, and which dtypes stock CPU supports for each."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch.testing._internal import common_methods_invocations as invocations
from torch.testing._internal.common_device_type import toleranceOverride
from torch.testing._internal.opinfo.core import ForeachFuncInfo

from conformance.suite.outcome import Tolerance

# The dtypes of a --quick run: one of each way a kernel computes.
QUICK_DTYPES = ("float32", "int64", "bfloat16")


FOREACH_DATABASES = ("unary", "binary", "pointwise", "reduce", "other")

# PyTorch's own Python references of its operators: on alt they are compositions, whose use is to
# run operators in ways that nobody thought of. What else op_db asks is asked of those operators.
REFERENCE_VARIANTS = ("forward", "strides", "views", "errors", "error_messages")
REFERENCE_SAMPLES = 24


@functools.cache
def entries() -> dict[str, Any]:
    """Entry name to OpInfo: op_db's, the foreach databases' and the Python references'."""
    return {op.full_name: op for op in _all()}


def _all() -> Iterator[Any]:
    yield from invocations.op_db
    for kind in FOREACH_DATABASES:
        yield from getattr(invocations, f"foreach_{kind}_op_db")
    yield from invocations.python_ref_db


def is_foreach(op: Any) -> bool:
    """Whether the entry takes lists of tensors."""
    return isinstance(op, ForeachFuncInfo)


def variants(op: Any) -> tuple[str, ...] | None:
    """The variants that the entry is asked for; None for all."""
    return REFERENCE_VARIANTS if op.full_name.startswith("_refs.") else None


def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` for torch.float32."""
    return str(dtype).removeprefix("torch.")


def dtypes(op: Any) -> list[str]:
    """What stock's CPU kernels of the entry take."""
    return sorted(dtype_name(dtype) for dtype in op.supported_dtypes("cpu"))


# PyTorch's front-end asks that the other tensor than the input be on the cpu, on every device.
INDICES_ON_CPU = ("tensor_split", "_refs.tensor_split")

# What stock's CPU kernels answer for no elements is memory that nobody has written.
UNWRITTEN = ("nn.functional.multi_margin_loss", "nn.functional.multilabel_margin_loss")


def most_samples(op: Any) -> int | None:
    """How many of its samples the entry is run on; None for all."""
    return REFERENCE_SAMPLES if op.full_name.startswith("_refs.") else None


def error_dtype(op: Any) -> str:
    """The one dtype under which the entry's error inputs are run: they bring their own."""
    supported = dtypes(op)
    return "float32" if "float32" in supported else supported[0]


def tolerance(op: Any, dtype: torch.dtype) -> Tolerance:
    """What torch's own tests allow the entry beyond its dtype's tolerance."""
    relative = absolute = 0.0
    for info in op.decorators:
        for decorator in getattr(info, "decorators", [info]):
            if isinstance(decorator, toleranceOverride) and dtype in decorator.d:
                allowed = decorator.d[dtype]
                relative = max(relative, allowed.rtol)
                absolute = max(absolute, allowed.atol)
    return Tolerance(relative, absolute)


@functools.cache
def operators_with_kernel() -> frozenset[str]:
    """Names of aten operators, without overload, that have a kernel registered for alt."""
    registered = torch._C._dispatch_get_registrations_for_dispatch_key("PrivateUse1")
    return frozenset(name.removeprefix("aten::").split(".")[0] for name in registered)


def has_kernel(op: Any) -> bool:
    """Whether the entry's own operator (not only what it is made of) has a kernel on alt."""
    names = {op.name.split(".")[-1], op.aten_name or "", op.name.replace(".", "_")}
    names |= {f"_{name}" for name in names} | {f"{name}_" for name in names}
    return bool(names & operators_with_kernel())
