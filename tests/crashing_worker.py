"""A conformance worker that dies in one of its two cells, for test_conformance.py."""

import os
import sys
from types import SimpleNamespace

import torch

from conformance.suite.cells import Suite, main


def dies(context: SimpleNamespace) -> None:
    """Ends the process as a crash would."""
    print("altbackend: these are its last words", file=sys.stderr, flush=True)
    os.abort()


def lives(context: SimpleNamespace) -> None:
    """Passes."""
    torch.ones(2, device="alt").add_(1)
    context.cases += 1


SUITE = Suite(
    name="ops",
    context=lambda task: SimpleNamespace(cases=0),
    variants={"dies": dies, "lives": lives},
    native=lambda context: True,
)

if __name__ == "__main__":
    main(SUITE)
