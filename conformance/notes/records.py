"""The notes as cells of the suite: a block is an entry, a way of running it is a variant."""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable
from pathlib import Path

from conformance.notes.check import WAYS, DocumentResult, check
from conformance.notes.extract import Block
from conformance.notes.launch import Settings
from conformance.notes.verdict import AGREES, BOTH_RAISE, EXPECTED
from conformance.suite.cli import Progress, selected
from conformance.suite.records import Ran, Record, Status

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "tests/data/notes.md"
NAME = "notes"
AS_STOCK = (AGREES, EXPECTED, BOTH_RAISE)


def documents(quick: bool) -> list[Path]:
    """The project's own documents, where they lie beside the checkout; else the tests' page."""
    beside = [] if quick else sorted((ROOT.parent / "shared/seeds").glob("*.txt"))
    return beside or [OWN]


def cell(document: DocumentResult, block: Block, way: str) -> Record:
    """One block in one way."""
    judged = document.verdicts.get(way, {})
    verdicts = [judged[s.index] for s in block.statements if s.index in judged]
    failures = [verdict for verdict in verdicts if verdict.is_failure]
    cases = sum(verdict.outcome in AS_STOCK for verdict in verdicts)
    records = [verdict.record for verdict in verdicts if verdict.record]
    fell = sorted({row.op for record in records for row in record.fallbacks})
    native = sum(record.native_calls for record in records)
    if failures:
        status, reasons = Status.FAILED, [r for verdict in failures for r in verdict.reasons]
        detail = "; ".join([f"line {failures[0].statement.line}", *reasons[:3]])[:400]
    else:
        status = Status.PASSED if cases else Status.EXCLUDED
        detail = "" if cases else "no statement of it runs on stock"
    return Record(
        suite=NAME,
        entry=f"{document.path.name}:{block.line}",
        dtype="mixed",
        variant=way,
        status=status,
        ran=Ran.FALLBACK if fell else Ran.COMPOSITE if native else Ran.NOTHING,
        cases=cases,
        detail=detail,
        fallbacks=tuple(fell),
    )


class NotesCheck:
    """What ``conformance all`` runs of the notes."""

    name = NAME
    extent = "Notes: every block that stock can run, on alt as default device, as cuda, and moved."
    help = "the code of Markdown pages, statement by statement"

    def records(self, options: argparse.Namespace) -> list[Record]:
        """Every block in every way."""
        paths = [path for path in documents(options.quick) if selected(path.name, options.only)]
        if not paths:
            return []
        before = children_seconds()
        result = check(paths, Settings(), WAYS, options.jobs, bar(options.quiet))
        found = [
            cell(document, block, way)
            for document in result.documents
            for block in document.blocks
            if block.statements
            for way in WAYS
        ]
        seconds = round((children_seconds() - before) / max(1, len(found)), 4)
        found = [Record(**{**vars(record), "seconds": seconds}) for record in found]
        errors = [text for document in result.documents for text in document.errors.values()]
        for text in [*result.problems, *errors]:
            found.append(Record(NAME, "documents", "mixed", "run", Status.FAILED, detail=text))
        return found


def children_seconds() -> float:
    """Processor time of the child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def bar(quiet: bool) -> Callable[[int, int], None]:
    """A progress bar that learns the total as it goes."""
    progress: list[Progress] = []

    def advance(done: int, total: int) -> None:
        if not progress:
            progress.append(Progress(NAME, total, quiet))
        progress[0].advance()

    return advance


CHECK = NotesCheck()
