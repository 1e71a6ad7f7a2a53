"""Which optimizers ``conformance optimizers`` runs."""

from __future__ import annotations

import argparse

from torch.testing._internal.common_optimizers import optim_db

from conformance.suite.cli import Check, selected
from conformance.suite.workers import Task

DTYPES = ("float32", "float64")


def tasks(options: argparse.Namespace) -> list[Task]:
    """One task an optimizer and dtype."""
    chosen = options.dtypes.split(",") if options.dtypes else DTYPES
    if options.quick and not options.dtypes:
        chosen = DTYPES[:1]
    variants = options.variants.split(",") if options.variants else None
    return [
        Task("optimizers", info.optim_cls.__name__, dtype, {"variants": variants})
        for info in optim_db
        if selected(info.optim_cls.__name__, options.only)
        for dtype in chosen
    ]


CHECK = Check("optimizers", "torch.optim's optimizers", "conformance.optimizers.worker", tasks)
