"""The table and the JSON file."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from conformance.notes.check import DocumentResult, Result
from conformance.notes.extract import Block
from conformance.notes.verdict import AGREES, EXPECTED, NO_REFERENCE, Verdict

_ALIGN_LEFT = 2


def table(result: Result, ways: Sequence[str], with_blocks: bool = True) -> str:
    """One row a block (unless told otherwise) and one a document, with a total."""
    header = ["file", "language", "line", "statements", "stock", *ways]
    header += ["expected", "adapted", "fallbacks", "native"]
    rows: list[list[str]] = []
    total = ["total", f"{sum(len(d.blocks) for d in result.documents)} blocks", ""]
    sums: Counter[str] = Counter()
    for document in result.documents:
        if with_blocks:
            for block in document.blocks:
                counts = _counts(document, [block], ways)
                label = ["", block.language, str(block.line)]
                rows.append(label + _cells(counts, ways))
        counts = _counts(document, document.blocks, ways)
        sums.update(counts)
        label = [document.path.name, f"{len(document.blocks)} blocks", ""]
        rows.append(label + _cells(counts, ways))
        if with_blocks:
            rows.append([])
    rows.append(total + _cells(sums, ways))
    return _aligned([header, [], *rows])


def problems(result: Result) -> str:
    """What went wrong, causes first; what follows from a cause is only counted."""
    lines = [f"problem: {text}" for text in result.problems]
    for document in result.documents:
        lines += [f"{document.path.name}: {run}: {text}" for run, text in document.errors.items()]
        followers: Counter[tuple[str, int]] = Counter()
        for way, verdict in document.failures():
            if verdict.follows is not None:
                followers[way, verdict.follows] += 1
        for way, verdict in document.failures():
            if verdict.follows is not None or not _reached(verdict):
                continue
            count = followers[way, verdict.statement.index]
            where = f"{document.path.name}:{verdict.statement.line}"
            code = " ".join(verdict.statement.source.split())[:80]
            lines.append(f"{where}: {way}: {verdict.outcome}: {code}")
            lines += [f"    {reason[:400]}" for reason in verdict.reasons[:4]]
            if count:
                lines.append(f"    and {count} statements which follow from it")
    return "\n".join(lines)


def _reached(verdict: Verdict) -> bool:
    """Did the process on alt get to the statement? If not, its own error says why."""
    return verdict.record is not None and verdict.record.status != "skipped"


def fallbacks(result: Result, ways: Sequence[str]) -> str:
    """The operators which ran on stock kernels, with the places that called them."""
    calls: dict[str, Counter[str]] = defaultdict(Counter)
    size: Counter[str] = Counter()
    places: dict[str, str] = {}
    for document in result.documents:
        for way in ways:
            for verdict in document.verdicts.get(way, {}).values():
                for row in verdict.record.fallbacks if verdict.record else ():
                    calls[row.op][way] += row.calls
                    size[row.op] += row.bytes
                    places.setdefault(row.op, f"{document.path.name}:{verdict.statement.line}")
    if not calls:
        return ""
    rows = [["operator on stock kernels", "first from", *ways, "bytes"]]
    for op in sorted(calls, key=lambda name: -sum(calls[name].values())):
        counts = [str(calls[op][way]) for way in ways]
        rows.append([op, places[op], *counts, str(size[op])])
    return _aligned(rows)


def summary(result: Result, ways: Sequence[str]) -> str:
    """One line for the whole check."""
    blocks = [(d, b) for d in result.documents for b in d.blocks]
    ran = sum(any(s.index in d.ran_on_stock for s in b.statements) for d, b in blocks)
    statements = sum(len(document.ran_on_stock) for document in result.documents)
    agreed = ", ".join(
        f"{way} {sum(_counts(d, d.blocks, ways)[way] for d in result.documents)}" for way in ways
    )
    outcome = "agree" if result.passed else "DO NOT AGREE"
    return (
        f"{len(blocks)} blocks, {ran} of them run on stock; {statements} statements run on stock; "
        f"agreed: {agreed}; {outcome}"
    )


def to_json(result: Result, ways: Sequence[str]) -> str:
    """Everything, for a program to read."""
    documents = [_document(document, ways) for document in result.documents]
    content = {
        "passed": result.passed,
        "problems": result.problems,
        "ways": list(ways),
        "blocks": sum(len(document.blocks) for document in result.documents),
        "statements_run_on_stock": sum(len(d.ran_on_stock) for d in result.documents),
        "documents": documents,
    }
    return json.dumps(content, indent=1)


def _document(document: DocumentResult, ways: Sequence[str]) -> dict[str, Any]:
    blocks = []
    for block in document.blocks:
        statements = [
            {
                "line": statement.line,
                "source": statement.source,
                "ran_on_stock": statement.index in document.ran_on_stock,
                **{way: _verdict(document.verdicts[way][statement.index]) for way in ways},
            }
            for statement in block.statements
        ]
        blocks.append({"line": block.line, "language": block.language, "statements": statements})
    return {"file": str(document.path), "errors": document.errors, "blocks": blocks}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    content: dict[str, Any] = {"outcome": verdict.outcome}
    if verdict.reasons:
        content["reasons"] = verdict.reasons
    if verdict.follows is not None:
        content["follows_statement"] = verdict.follows
    if verdict.record is not None:
        record = verdict.record
        content["seconds"] = round(record.seconds, 6)
        content["native_calls"] = record.native_calls
        content["adapted"] = record.adapted
        content["fallbacks"] = [vars(row) for row in record.fallbacks]
    return content


def _counts(document: DocumentResult, blocks: Iterable[Block], ways: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for block in blocks:
        for statement in block.statements:
            counts["statements"] += 1
            counts["stock"] += statement.index in document.ran_on_stock
            for way in ways:
                _count_way(counts, way, document.verdicts[way][statement.index])
    return counts


def _count_way(counts: Counter[str], way: str, verdict: Verdict) -> None:
    if verdict.is_failure or verdict.outcome in (AGREES, EXPECTED):
        counts[f"{way} of"] += 1
    counts[way] += verdict.outcome in (AGREES, EXPECTED)
    counts["expected"] += verdict.outcome == EXPECTED
    if verdict.record is not None and verdict.outcome != NO_REFERENCE:
        counts["adapted"] += sum(verdict.record.adapted.values())
        counts["fallbacks"] += sum(row.calls for row in verdict.record.fallbacks)
        counts["native"] += verdict.record.native_calls


def _cells(counts: Counter[str], ways: Sequence[str]) -> list[str]:
    cells = [str(counts["statements"]), str(counts["stock"])]
    cells += [
        f"{counts[way]}/{counts[f'{way} of']}" if counts[f"{way} of"] else "-" for way in ways
    ]
    return cells + [str(counts[key]) for key in ("expected", "adapted", "fallbacks", "native")]


def _aligned(rows: list[list[str]]) -> str:
    columns = max(len(row) for row in rows)
    filled = [row + [""] * (columns - len(row)) for row in rows]
    widths = [max(len(row[column]) for row in filled) for column in range(columns)]
    lines = []
    for row in filled:
        cells = [
            cell.ljust(width) if column < _ALIGN_LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
