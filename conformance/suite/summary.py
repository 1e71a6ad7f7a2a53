"""Totals of a run, as text for the terminal and as Markdown for the README."""

from __future__ import annotations

import argparse
import datetime
import platform
from collections import Counter, defaultdict

import torch

from altbackend._page import Part
from conformance.suite.expectations import Verdict
from conformance.suite.judge import MEANING, Rule
from conformance.suite.records import Ran, Record, Status

MOST_SHOWN = 60
PART = Part("conformance totals")


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
        "jobs": options.jobs,
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
        entries = {record.entry for record in members if record.status is not Status.EXCLUDED}
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
                "stock_wrong": status[Status.STOCK_WRONG],
                "failed": status[Status.FAILED],
                "crashed": status[Status.CRASHED],
                "native": ran[Ran.NATIVE],
                "composite": ran[Ran.COMPOSITE],
                "fallback": ran[Ran.FALLBACK],
                "processor_minutes": round(sum(record.seconds for record in members) / 60, 1),
            }
        )
    return rows


def text(records: list[Record], verdict: Verdict) -> str:
    """What the terminal shows at the end."""
    lines = []
    for record in verdict.unexpected[:MOST_SHOWN]:
        cell = " ".join((record.suite, record.entry, record.dtype, record.variant))
        lines.append(f"{record.status}: {cell}: {record.detail}")
    if len(verdict.unexpected) > MOST_SHOWN:
        lines.append(f"... and {len(verdict.unexpected) - MOST_SHOWN} more")
    lines += [f"stale expectation, remove it: {e}" for e in verdict.stale]
    for row in totals(records):
        lines.append(
            f"{row['suite']}: {row['passed']} of {row['cells']} cells passed "
            f"({row['native']} native, {row['composite']} composite, {row['fallback']} with a "
            f"fallback), stock wrong in {row['stock_wrong']}, {row['failed']} failed, "
            f"{row['crashed']} crashed; "
            f"{row['entries_passed']} of {row['entries']} entries pass whole, "
            f"{row['entries_fallback']} use a fallback; {row['processor_minutes']} core-minutes"
        )
    if sentence := stock_wrong_sentence(records):
        lines.append(sentence)
    if verdict.expected:
        lines.append(f"{len(verdict.expected)} failures are expected (expectations.yaml)")
    return "\n".join(lines)


def accuracy_sentence(records: list[Record]) -> str:
    """On how many operators alt is as near to the truth as stock; empty where none was measured."""
    measured = [r for r in records if r.suite == "accuracy" and r.status is not Status.EXCLUDED]
    if not measured:
        return ""
    operators = {record.entry for record in measured}
    good = operators - {record.entry for record in measured if record.bad}
    return (
        f"On {len(good)} of {len(operators)} operators ({len(good) / len(operators):.1%}) alt's "
        "largest error is no larger than stock's, or under 1 ULP, in every dtype."
    )


def stock_wrong_sentence(records: list[Record]) -> str:
    """In how many cells stock is wrong and alt right, and by what; empty where in none."""
    rules = Counter(record.rule for record in records if record.status is Status.STOCK_WRONG)
    if not rules:
        return ""
    found = "; ".join(f"{n} where {MEANING[Rule(rule)]}" for rule, n in rules.most_common())
    return (
        f"In {rules.total()} cells, which do not count as passed, stock is wrong and alt right: "
        f"{found}."
    )


def markdown(environment: dict, records: list[Record], verdict: Verdict) -> str:
    """The table that the README shows."""
    lines = [
        "| check | entries | pass whole | cells | passed | stock wrong | failed | crashed | native "
        "| composite | with a fallback |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in totals(records):
        lines.append(
            f"| {row['suite']} | {row['entries']} | {row['entries_passed']} | {row['cells']} "
            f"| {row['passed']} | {row['stock_wrong']} | {row['failed']} | {row['crashed']} "
            f"| {row['native']} | {row['composite']} | {row['fallback']} |"
        )
    lines.append("")
    if sentence := accuracy_sentence(records):
        lines.append(sentence)
    if sentence := stock_wrong_sentence(records):
        lines.append(sentence)
    lines.append(
        f"Of the failures {len(verdict.expected)} are known differences, each with its reason in "
        "[expectations.yaml](conformance/expectations.yaml)."
    )
    lines.append(
        f"Measured {environment['date']} with torch {environment['torch']}, altbackend "
        f"{environment['altbackend']}, Python {environment['python']} on {environment['machine']}, "
        f"in {environment['seconds'] / 60:.0f} minutes"
        + (" (--quick)." if environment["quick"] else ".")
    )
    return "\n".join(lines)
