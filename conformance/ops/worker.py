"""The process that runs op_db's cells."""

from __future__ import annotations

from collections.abc import Callable

from conformance.ops import autograd, database, variants
from conformance.ops.context import Context
from conformance.ops.layouts import LAYOUTS
from conformance.suite.cells import Suite, main

VARIANTS: dict[str, Callable[[Context], None]] = {
    "forward": variants.forward,
    "reference": variants.reference,
    "strides": variants.strides,
    "memory_format": variants.memory_format,
    "views": variants.views,
    **{name: variants.layout_variant(name) for name in LAYOUTS},
    "inplace": variants.inplace,
    "out": variants.out_variant("right_size"),
    "out_wrong_size": variants.out_variant("wrong_size"),
    "out_wrong_dtype": variants.out_variant("wrong_dtype"),
    "out_noncontiguous": variants.out_variant("noncontiguous"),
    "conj": variants.lazy_variant("conj"),
    "neg": variants.lazy_variant("neg"),
    "gradient": autograd.gradient,
    "double_backward": autograd.double_backward,
    "forward_mode": autograd.forward_mode,
    "metadata": autograd.metadata,
    "errors": variants.errors,
    "error_messages": variants.error_messages,
    "determinism": variants.determinism,
}

SUITE = Suite(
    name="ops",
    context=lambda task: Context(task["entry"], task["dtype"], task["samples"]),
    variants=VARIANTS,
    native=lambda context: database.has_kernel(context.op),
    without_alt=frozenset({"errors", "error_messages"}),
)

if __name__ == "__main__":
    main(SUITE)
