"""Which entries and dtypes ``conformance ops`` runs."""

from __future__ import annotations

import argparse
from typing import Any

from conformance.ops import database
from conformance.ops.autograd import MANY
from conformance.ops.context import LARGEST
from conformance.ops.database import REFERENCE_SAMPLES
from conformance.ops.variants import FEW
from conformance.suite.cli import TaskCheck, selected
from conformance.suite.workers import Task

# A --quick run takes every twelfth entry (which ones does not depend on the run) and few samples.
QUICK_STEP = 12
QUICK_SAMPLES = 3


def variants(op: Any, asked: str | None) -> list[str] | None:
    """The variants of an entry that ``--variants`` leaves; None for all."""
    own, names = database.variants(op), asked.split(",") if asked else None
    if own is None or names is None:
        return names if own is None else list(own)
    return [name for name in own if name in names]


def tasks(options: argparse.Namespace) -> list[Task]:
    """One task an entry and dtype."""
    chosen = options.dtypes.split(",") if options.dtypes else None
    if chosen is None and options.quick:
        chosen = list(database.QUICK_DTYPES)
    found = []
    for index, (name, op) in enumerate(database.entries().items()):
        if not selected(name, options.only):
            continue
        if options.quick and options.only is None and index % QUICK_STEP:
            continue
        for dtype in database.dtypes(op):
            if chosen is None or dtype in chosen:
                samples = QUICK_SAMPLES if options.quick else database.most_samples(op)
                asked = variants(op, options.variants)
                if asked != []:
                    found.append(Task("ops", name, dtype, {"samples": samples, "variants": asked}))
    return found


EXTENT = (
    "Operators: forward and strides on all of PyTorch's sample inputs, and so gradients in double "
    f"precision; gradients in other dtypes on about {MANY} samples evenly spread, every other "
    f"variant on about {FEW}. Forward mode and double backward in double precision, error inputs "
    "in one dtype, Python references (_refs) forward on about "
    f"{REFERENCE_SAMPLES}, reference inputs of up to {LARGEST:,} elements. Sparse and nested "
    "samples are left out."
)
CHECK = TaskCheck(
    "ops",
    "PyTorch's operator databases, by dtype and variant",
    "conformance.ops.worker",
    tasks,
    EXTENT,
)
