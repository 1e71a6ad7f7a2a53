"""Which modules and dtypes ``conformance modules`` runs."""

from __future__ import annotations

import argparse

from conformance.modules import database
from conformance.suite.cli import TaskCheck, selected
from conformance.suite.workers import Task

QUICK_STEP = 4


def tasks(options: argparse.Namespace) -> list[Task]:
    """One task a module and dtype."""
    chosen = options.dtypes.split(",") if options.dtypes else None
    if chosen is None and options.quick:
        chosen = ["float32"]
    found = []
    for index, (name, info) in enumerate(database.entries().items()):
        sampled = options.quick and options.only is None
        if not selected(name, options.only) or (sampled and index % QUICK_STEP):
            continue
        for dtype in database.dtypes(info):
            if chosen is None or dtype in chosen:
                variants = options.variants.split(",") if options.variants else None
                found.append(Task("modules", name, dtype, {"variants": variants}))
    return found


CHECK = TaskCheck("modules", "torch.nn's modules", "conformance.modules.worker", tasks)
