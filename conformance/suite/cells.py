"""What a worker process does: runs the cells of one entry and dtype after another."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

import torch

import altbackend  # noqa: F401 - registers the device
from conformance.suite.counters import Counted, counting
from conformance.suite.judge import Rule
from conformance.suite.outcome import Difference
from conformance.suite.records import Ran, Record, Status


class NotApplicable(Exception):
    """Stock does not have this variant of the entry."""


class CellContext(Protocol):
    """What variants get: at least a count of the comparisons they made.

    ``judged`` has the comparisons in which stock was found wrong: by what rule, what differed.
    """

    cases: int
    judged: list[tuple[Rule, str]]


@dataclass(frozen=True)
class Suite:
    """A database check as its worker sees it.

    ``context`` makes the context of a task; a variant may return what is to be said of a cell that
    passed; ``native`` says whether the entry itself has a kernel
    on alt; ``without_alt`` names the variants that may pass although no kernel of alt ran.
    """

    name: str
    context: Callable[[dict], Any]
    variants: Mapping[str, Callable[[Any], str | None]]
    native: Callable[[Any], bool]
    without_alt: frozenset[str] = frozenset()


def how_it_ran(suite: Suite, context: Any, counted: Counted) -> Ran:
    """From the counters of everything that the variant ran."""
    if counted.fallbacks:
        return Ran.FALLBACK
    if counted.native == 0:
        return Ran.NOTHING
    return Ran.NATIVE if suite.native(context) else Ran.COMPOSITE


def run_cell(suite: Suite, context: Any, task: dict, variant: str) -> Record:
    """One cell's record."""
    context.cases, context.judged = 0, []
    status, detail = Status.PASSED, ""
    began = time.process_time()
    with counting() as counted:
        try:
            detail = suite.variants[variant](context) or ""
        except NotApplicable as reason:
            status, detail = Status.EXCLUDED, str(reason)
        except Difference as difference:
            status, detail = Status.FAILED, str(difference)
        except Exception as error:
            # A check that breaks is a cell that fails: nobody looked at the results.
            status, detail = Status.FAILED, f"{type(error).__name__}: {error}"[:300]
    ran = how_it_ran(suite, context, counted)
    if status is Status.PASSED and context.cases == 0:
        status, detail = Status.EXCLUDED, "no sample of it runs on stock"
    if status is Status.PASSED and ran is Ran.NOTHING and variant not in suite.without_alt:
        status, detail = Status.FAILED, "nothing ran on alt"
    rule = ""
    if status is Status.PASSED and context.judged:
        status, (rule, detail) = Status.STOCK_WRONG, context.judged[0]
    return Record(
        suite=suite.name,
        entry=task["entry"],
        dtype=task["dtype"],
        variant=variant,
        status=status,
        ran=ran,
        cases=context.cases,
        detail=detail,
        rule=rule,
        fallbacks=tuple(sorted(counted.fallbacks)),
        seconds=round(time.process_time() - began, 4),
    )


def serve(suite: Suite, tasks: TextIO, answers: TextIO) -> None:
    """Answers tasks until there are no more."""

    def say(line: str) -> None:
        answers.write(line + "\n")
        answers.flush()

    for line in tasks:
        task = json.loads(line)
        context = suite.context(task)
        for variant in task.get("variants") or suite.variants:
            if variant in task.get("skip", ()) or variant not in suite.variants:
                continue
            say(json.dumps({"begin": variant}))
            say(run_cell(suite, context, task, variant).to_json())
        say(json.dumps({"done": True}))


def main(suite: Suite) -> None:
    """Keeps the answers' channel to itself: what operators print goes nowhere."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    serve(suite, sys.stdin, answers)
