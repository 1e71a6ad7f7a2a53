"""Which entries and dtypes ``conformance ops`` runs."""

from __future__ import annotations

import argparse

from conformance.ops import database
from conformance.suite.cli import Check, selected
from conformance.suite.workers import Task

# A --quick run takes every sixth entry (which ones does not depend on the run) and few samples.
QUICK_STEP = 6
QUICK_SAMPLES = 3
SAMPLES = 60


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
                found.append(
                    Task(
                        "ops",
                        name,
                        dtype,
                        {
                            "samples": QUICK_SAMPLES if options.quick else SAMPLES,
                            "variants": options.variants.split(",") if options.variants else None,
                        },
                    )
                )
    return found


CHECK = Check(
    "ops", "PyTorch's operator database, by dtype and variant", "conformance.ops.worker", tasks
)
