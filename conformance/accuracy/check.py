"""Which operators ``conformance accuracy`` measures."""

from __future__ import annotations

import argparse

from conformance.ops import database
from conformance.suite.cli import TaskCheck, selected
from conformance.suite.workers import Task

DTYPES = ("float32", "float64", "bfloat16", "float16")
QUICK_STEP = 6


def tasks(options: argparse.Namespace) -> list[Task]:
    """One task an operator and floating-point dtype; not those with random results."""
    chosen = options.dtypes.split(",") if options.dtypes else DTYPES
    if options.quick and not options.dtypes:
        chosen = DTYPES[:1]
    found = []
    for index, (name, op) in enumerate(database.entries().items()):
        sampled = options.quick and options.only is None
        if not selected(name, options.only) or (sampled and index % QUICK_STEP):
            continue
        if op.has_nondeterministic_output or "empty" in name:
            continue
        supported = database.dtypes(op)
        found += [Task("accuracy", name, d, {}) for d in chosen if d in supported]
    return found


CHECK = TaskCheck(
    "accuracy", "errors in ULP against the truth", "conformance.accuracy.worker", tasks
)
