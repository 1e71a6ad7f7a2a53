"""Which optimizers ``conformance optimizers`` runs."""

from __future__ import annotations

import argparse

from conformance.optimizers import database
from conformance.suite.cli import TaskCheck, selected
from conformance.suite.workers import Task

DTYPES = ("float32", "float64")


def tasks(options: argparse.Namespace) -> list[Task]:
    """One task an optimizer and dtype."""
    chosen = options.dtypes.split(",") if options.dtypes else DTYPES
    if options.quick and not options.dtypes:
        chosen = DTYPES[:1]
    variants = options.variants.split(",") if options.variants else None
    return [
        Task("optimizers", name, dtype, {"variants": variants})
        for name in database.entries()
        if selected(name, options.only)
        for dtype in chosen
    ]


CHECK = TaskCheck("optimizers", "torch.optim's optimizers", "conformance.optimizers.worker", tasks)
