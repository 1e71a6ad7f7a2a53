"""The report: one self-contained page, a row an entry and dtype, a cell a variant."""

from __future__ import annotations

import html
import json
from collections import defaultdict
from pathlib import Path

from conformance.suite.expectations import Verdict
from conformance.suite.records import Ran, Record, Status
from conformance.suite.summary import totals

TEMPLATE = Path(__file__).parent / "report.html"

# One letter a cell keeps a page of 100,000 cells at a few megabytes.
PASSED = {Ran.NATIVE: "n", Ran.COMPOSITE: "c", Ran.FALLBACK: "f", Ran.NOTHING: "n"}
OTHER = {Status.FAILED: "X", Status.CRASHED: "!", Status.EXCLUDED: "-"}


def letter(record: Record) -> str:
    """How the page writes a cell."""
    return PASSED[record.ran] if record.status is Status.PASSED else OTHER[record.status]


def rows(records: list[Record]) -> tuple[list[str], list[list]]:
    """The variants of the page, and [suite, entry, dtype, letters, details] for each row."""
    variants = list(dict.fromkeys(record.variant for record in records))
    table: dict[tuple[str, str, str], dict[str, Record]] = defaultdict(dict)
    for record in records:
        table[(record.suite, record.entry, record.dtype)][record.variant] = record
    result = []
    for (suite, entry, dtype), cells in sorted(table.items()):
        letters = "".join(letter(cells[v]) if v in cells else " " for v in variants)
        details = {v: cells[v].detail for v in variants if v in cells and cells[v].bad}
        fallbacks = sorted({name for cell in cells.values() for name in cell.fallbacks})
        result.append([suite, entry, dtype, letters, details, fallbacks])
    return variants, result


def accuracy_points(records: list[Record]) -> list[list]:
    """[entry, dtype, stock's largest error, alt's] in ULP, from the accuracy records."""
    points = []
    for record in records:
        if record.suite == "accuracy" and record.detail.startswith("{"):
            measured = json.loads(record.detail)
            points.append([record.entry, record.dtype, measured["stock_max"], measured["alt_max"]])
    return points


def page(environment: dict, records: list[Record], verdict: Verdict) -> str:
    """The page's text."""
    variants, table = rows([record for record in records if record.suite != "accuracy"])
    data = {
        "environment": environment,
        "variants": variants,
        "rows": table,
        "totals": totals(records),
        "accuracy": accuracy_points(records),
        "unexpected": len(verdict.unexpected),
        "expected": len(verdict.expected),
    }
    encoded = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    title = html.escape(f"altbackend conformance, {environment['date']}")
    return TEMPLATE.read_text().replace("@TITLE@", title).replace("@DATA@", encoded)
