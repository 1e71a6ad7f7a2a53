"""The process that runs the cells of one entry and dtype after another."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

import torch

import altbackend  # noqa: F401 - registers the device
from conformance.ops import autograd, database, variants
from conformance.ops.context import Context
from conformance.ops.layouts import LAYOUTS
from conformance.suite.counters import Counted, counting
from conformance.suite.outcome import Difference
from conformance.suite.records import Ran, Record, Status

VARIANTS: dict[str, Callable[[Context], None]] = {
    "forward": variants.forward,
    "strides": variants.strides,
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


def how_it_ran(op: Any, counted: Counted) -> Ran:
    """From the counters of everything that the variant ran."""
    if counted.fallbacks:
        return Ran.FALLBACK
    if counted.native == 0:
        return Ran.NOTHING
    return Ran.NATIVE if database.has_kernel(op) else Ran.COMPOSITE


def run_cell(context: Context, entry: str, dtype: str, variant: str) -> Record:
    """One cell's record."""
    context.cases = 0
    status, detail = Status.PASSED, ""
    with counting() as counted:
        try:
            VARIANTS[variant](context)
        except variants.NotApplicable as reason:
            status, detail = Status.EXCLUDED, str(reason)
        except Difference as difference:
            status, detail = Status.FAILED, str(difference)
        except Exception as error:  # noqa: BLE001 - a check that breaks is a cell that fails
            status, detail = Status.FAILED, f"{type(error).__name__}: {error}"[:300]
    ran = how_it_ran(context.op, counted)
    if status is Status.PASSED and context.cases == 0:
        status, detail = Status.EXCLUDED, "no sample of it runs on stock"
    if (
        status is Status.PASSED
        and ran is Ran.NOTHING
        and variant not in ("errors", "error_messages")
    ):
        status, detail = Status.FAILED, "nothing ran on alt"
    return Record(
        suite="ops",
        entry=entry,
        dtype=dtype,
        variant=variant,
        status=status,
        ran=ran,
        cases=context.cases,
        detail=detail,
        fallbacks=tuple(sorted(counted.fallbacks)),
    )


def serve(tasks: TextIO, answers: TextIO) -> None:
    """Answers tasks until there are no more."""

    def say(line: str) -> None:
        answers.write(line + "\n")
        answers.flush()

    for line in tasks:
        task = json.loads(line)
        entry, dtype = task["entry"], task["dtype"]
        context = Context(entry, dtype, task["samples"])
        for variant in task.get("variants") or VARIANTS:
            if variant in task.get("skip", ()):
                continue
            say(json.dumps({"begin": variant}))
            say(run_cell(context, entry, dtype, variant).to_json())
        say(json.dumps({"done": True}))


def main() -> None:
    """Keeps the answers' channel to itself: what operators print goes nowhere."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
