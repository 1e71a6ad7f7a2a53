"""Run documents in all ways and judge them: what the command line does, as a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conformance.notes.extract import Block, extract
from conformance.notes.launch import Run, Settings, run_all
from conformance.notes.values import Record
from conformance.notes.verdict import AGREES, EXPECTED, Judge, Verdict

REFERENCES = {"default": "stock", "cuda": "stock-cuda", "moved": "stock"}
WAYS = tuple(REFERENCES)


@dataclass
class DocumentResult:
    """One document: its blocks, and the verdict on each statement in each way."""

    path: Path
    blocks: list[Block]
    ran_on_stock: set[int] = field(default_factory=set)
    verdicts: dict[str, dict[int, Verdict]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def failures(self) -> list[tuple[str, Verdict]]:
        """(way, verdict) of everything that makes the check fail."""
        return [
            (way, verdict)
            for way, verdicts in self.verdicts.items()
            for verdict in verdicts.values()
            if verdict.is_failure
        ]


@dataclass
class Result:
    """All documents, and what follows from them together."""

    documents: list[DocumentResult]
    problems: list[str]  # of the check as a whole

    @property
    def passed(self) -> bool:
        """Do all documents agree in all ways?"""
        return not self.problems and not any(d.failures() or d.errors for d in self.documents)


def check(
    paths: Sequence[Path],
    settings: Settings,
    ways: Sequence[str] = WAYS,
    jobs: int = 2,
    finished: Callable[[int, int], None] = lambda done, total: None,
) -> Result:
    """Run and judge `paths`; `finished` hears how many of the processes have ended."""
    documents = []
    runs: dict[tuple[Path, str, int], Run] = {}
    for path in paths:
        text = path.read_text(errors="replace")
        blocks = [block for block in extract(text) if block.index <= settings.last_block]
        documents.append(DocumentResult(path, blocks))
        if any(block.statements for block in blocks):
            for way in ways:
                reference = _reference(way, text)
                for key in ((path, "stock", 0), (path, "stock", 1), (path, way, 0)):
                    runs[key] = Run(*key)
                for repetition in (0, 1):
                    runs[path, reference, repetition] = Run(path, reference, repetition)
    # The longest documents first, so that none is left alone at the end.
    order = sorted(runs.values(), key=lambda run: -run.document.stat().st_size)
    done: list[Run] = []

    def count(run: Run) -> None:
        done.append(run)
        finished(len(done), len(order))

    run_all(order, settings, jobs, count)
    for document in documents:
        _judge(document, ways, runs)
    return Result(documents, _problems(documents, ways, settings))


def _reference(way: str, text: str) -> str:
    """The stock runs to compare with; a document without cuda needs none of its own."""
    return REFERENCES[way] if "cuda" in text else "stock"


def _judge(
    document: DocumentResult, ways: Sequence[str], runs: dict[tuple[Path, str, int], Run]
) -> None:
    text = document.path.read_text(errors="replace")
    statements = [statement for block in document.blocks for statement in block.statements]
    if not statements:
        return

    def record(way: str, repetition: int, index: int) -> Record:
        records = runs[document.path, way, repetition].records
        return records.get(index) or Record(index, "skipped", error="the process did not get there")

    for statement in statements:
        pair = [record("stock", repetition, statement.index) for repetition in (0, 1)]
        if all(one.status == "ok" for one in pair):
            document.ran_on_stock.add(statement.index)
    for way in ways:
        reference = _reference(way, text)
        judge = Judge()
        verdicts = document.verdicts.setdefault(way, {})
        for statement in statements:
            index = statement.index
            stock = (record(reference, 0, index), record(reference, 1, index))
            verdicts[index] = judge.judge(statement, stock, record(way, 0, index))
        for name, repetition in ((reference, 0), (reference, 1), (way, 0)):
            error = runs[document.path, name, repetition].error
            if error:
                document.errors[f"{name} {repetition}"] = error


def _problems(
    documents: list[DocumentResult], ways: Sequence[str], settings: Settings
) -> list[str]:
    problems = []
    if not any(document.blocks for document in documents):
        problems.append("no code block was found")
    elif not any(document.ran_on_stock for document in documents):
        problems.append("no statement ran on stock torch")
    for way in ways:
        verdicts = [v for document in documents for v in document.verdicts.get(way, {}).values()]
        if not any(verdict.outcome in (AGREES, EXPECTED) for verdict in verdicts):
            problems.append(f"{way}: nothing ran")
        records = [verdict.record for verdict in verdicts if verdict.record]
        fallbacks = sum(row.calls for record in records for row in record.fallbacks)
        if settings.device == "alt" and not fallbacks + sum(r.native_calls for r in records):
            problems.append(f"{way}: no operator ran on alt")
        if settings.fallback == "forbid" and fallbacks:
            problems.append(f"{way}: {fallbacks} fallbacks, where none is allowed")
    return problems
