"""Totals of a run, as text for the terminal and as Markdown for the README."""

from __future__ import annotations

import argparse
import datetime
import platform
from collections import Counter, defaultdict

import torch

from conformance.suite.expectations import Verdict
from conformance.suite.records import Ran, Record, Status

MOST_SHOWN = 60


def environment(seconds: float, options: argparse.Namespace) -> dict:
    """What the figures were measured on."""
    import altbackend

    return {
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
        "altbackend": altbackend.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "quick": bool(options.quick),
        "only": options.only or "",
        "seconds": round(seconds),
    }


def totals(records: list[Record]) -> list[dict]:
    """One row a suite: cells by status, entries passed whole, entries with a fallback."""
    rows = []
    by_suite: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_suite[record.suite].append(record)
    for suite, members in by_suite.items():
        status = Counter(record.status for record in members)
        ran = Counter(record.ran for record in members if record.status is Status.PASSED)
        entries = {record.entry for record in members}
        failing = {record.entry for record in members if record.bad}
        falling = {record.entry for record in members if record.ran is Ran.FALLBACK}
        rows.append(
            {
                "suite": suite,
                "entries": len(entries),
                "entries_passed": len(entries - failing),
                "entries_fallback": len(falling),
                "cells": len(members) - status[Status.EXCLUDED],
                "passed": status[Status.PASSED],
                "failed": status[Status.FAILED],
                "crashed": status[Status.CRASHED],
                "native": ran[Ran.NATIVE],
                "composite": ran[Ran.COMPOSITE],
                "fallback": ran[Ran.FALLBACK],
            }
        )
    return rows


def text(records: list[Record], verdict: Verdict) -> str:
    """What the terminal shows at the end."""
    lines = []
    for record in verdict.unexpected[:MOST_SHOWN]:
        lines.append(
            f"{record.status}: {record.suite} {record.entry} {record.dtype} {record.variant}: "
            f"{record.detail}"
        )
    if len(verdict.unexpected) > MOST_SHOWN:
        lines.append(f"... and {len(verdict.unexpected) - MOST_SHOWN} more")
    lines += [f"stale expectation, remove it: {e}" for e in verdict.stale]
    for row in totals(records):
        lines.append(
            f"{row['suite']}: {row['passed']} of {row['cells']} cells passed "
            f"({row['native']} native, {row['composite']} composite, {row['fallback']} with a "
            f"fallback), {row['failed']} failed, {row['crashed']} crashed; "
            f"{row['entries_passed']} of {row['entries']} entries pass whole, "
            f"{row['entries_fallback']} use a fallback"
        )
    if verdict.expected:
        lines.append(f"{len(verdict.expected)} failures are expected (expectations.yaml)")
    return "\n".join(lines)


def markdown(environment: dict, records: list[Record]) -> str:
    """The table that the README shows."""
    lines = [
        "| check | entries | pass whole | cells | passed | failed | crashed | native | composite "
        "| fallback |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in totals(records):
        lines.append(
            f"| {row['suite']} | {row['entries']} | {row['entries_passed']} | {row['cells']} "
            f"| {row['passed']} | {row['failed']} | {row['crashed']} | {row['native']} "
            f"| {row['composite']} | {row['fallback']} |"
        )
    lines.append("")
    lines.append(
        f"Measured {environment['date']} with torch {environment['torch']} and altbackend "
        f"{environment['altbackend']} on {environment['machine']}, "
        f"in {environment['seconds'] / 60:.0f} minutes"
        + (" (--quick)." if environment["quick"] else ".")
    )
    return "\n".join(lines)
