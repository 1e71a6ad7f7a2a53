"""Shell patterns, of which the reviewed lists and ``--only`` are made."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence


def matches(value: str, patterns: str | Sequence[str]) -> bool:
    """Whether a pattern, or any of several, means ``value``."""
    if isinstance(patterns, str):
        patterns = [patterns]
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns)
