"""The report: one self-contained page, its plots drawn as inline SVG from the run's data."""

from __future__ import annotations

import dataclasses
import html
import json
from pathlib import Path
from typing import Any

from altbackend.bench import summary, table
from altbackend.bench.records import Row, Run

TEMPLATE = Path(__file__).parent / "report.html"


def page(run: Run) -> str:
    """The page's text."""
    data = {
        "environment": run.environment,
        "limits": dataclasses.asdict(run.limits),
        "rivals": run.rivals,
        "summaries": {rival: _summaries(run, rival) for rival in run.rivals},
        "remarks": summary.remarks(run),
        "rows": [_row(row) for row in run.rows],
    }
    # "</" would end the script element, "<!--" hide what follows.
    encoded = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    title = html.escape(f"altbackend bench, {run.environment['date']}")
    return TEMPLATE.read_text().replace("@TITLE@", title).replace("@DATA@", encoded)


def _summaries(run: Run, rival: str) -> list[dict[str, Any]]:
    found = []
    for name, rows in summary.parts(run).items():
        figures = summary.summarize(rows, rival)
        if figures is not None:
            found.append({"part": name, **dataclasses.asdict(figures)})
    return found


def _row(row: Row) -> dict[str, Any]:
    values = dataclasses.asdict(row)
    values["notes"] = table.notes(row)
    return values
