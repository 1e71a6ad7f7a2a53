"""The report: one page, a table a suite, a row an entry and dtype, a cell a variant."""

from __future__ import annotations

import html
import json
from collections import Counter, defaultdict
from pathlib import Path

from conformance.suite.expectations import Verdict
from conformance.suite.records import Ran, Record, Status
from conformance.suite.summary import stock_wrong_sentence, totals

TEMPLATE = Path(__file__).parent / "report.html"

# One letter a cell keeps a page of 100,000 cells at a few megabytes.
PASSED = {Ran.NATIVE: "n", Ran.COMPOSITE: "c", Ran.FALLBACK: "f", Ran.NOTHING: "n"}
OTHER = {Status.STOCK_WRONG: "w", Status.FAILED: "X", Status.CRASHED: "!", Status.EXCLUDED: "-"}


def letter(record: Record) -> str:
    """How the page writes a cell."""
    return PASSED[record.ran] if record.status is Status.PASSED else OTHER[record.status]


def tables(records: list[Record]) -> list[dict]:
    """For each suite its variants, and [entry, dtype, letters, details, fallbacks] for each row."""
    suites: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        suites[record.suite].append(record)
    return [
        {"suite": suite, "variants": (names := variants(found)), "rows": rows(found, names)}
        for suite, found in suites.items()
    ]


def variants(records: list[Record]) -> list[str]:
    """The variants that records have, in the order in which workers run them."""
    most: dict[str, list[str]] = defaultdict(list)
    for record in records:
        most[record.entry + record.dtype].append(record.variant)
    longest = max(most.values(), key=len)
    return list(dict.fromkeys([*longest, *(record.variant for record in records)]))


def rows(records: list[Record], names: list[str]) -> list[list]:
    """[entry, dtype, letters, details, fallbacks] for each entry and dtype."""
    table: dict[tuple[str, str], dict[str, Record]] = defaultdict(dict)
    for record in records:
        table[(record.entry, record.dtype)][record.variant] = record
    result = []
    for (entry, dtype), cells in sorted(table.items()):
        letters = "".join(letter(cells[v]) if v in cells else " " for v in names)
        details = {
            v: cells[v].detail for v in names if v in cells and (cells[v].bad or cells[v].rule)
        }
        fallbacks = sorted({name for cell in cells.values() for name in cell.fallbacks})
        result.append([entry, dtype, letters, details, fallbacks])
    return result


def accuracy_points(records: list[Record]) -> list[list]:
    """[entry, dtype, stock's largest error, alt's] in ULP, from the accuracy records."""
    points = []
    for record in records:
        if record.suite == "accuracy" and record.detail.startswith("{"):
            measured = json.loads(record.detail)
            points.append([record.entry, record.dtype, measured["stock_max"], measured["alt_max"]])
    return points


def known(verdict: Verdict) -> list[list]:
    """[suite, entry, dtype, variant, cells, reason] of each expectation that this run met."""
    met = Counter(expectation for expectation, _ in verdict.met)
    return [
        [e.suite, ", ".join(e.entries), e.dtype, e.variant, n, e.reason] for e, n in met.items()
    ]


def page(environment: dict, records: list[Record], verdict: Verdict) -> str:
    """The page's text."""
    data = {
        "environment": environment,
        "tables": tables(records),
        "totals": totals(records),
        "accuracy": accuracy_points(records),
        "unexpected": len(verdict.unexpected),
        "expected": len(verdict.expected),
        "known": known(verdict),
        "stock_wrong": stock_wrong_sentence(records),
    }
    encoded = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    title = html.escape(f"altbackend conformance, {environment['date']}")
    return TEMPLATE.read_text().replace("@TITLE@", title).replace("@DATA@", encoded)
