"""The fenced code blocks of a document, and the statements in them.

Notes are not programs: they hold pseudo-code, shell commands, half statements and printed output
between the lines of Python. A block which does not parse as a whole gives as many statements as do.
"""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass, field

# A fence may stand in a list or in a quotation: "  - ```py", "> ```".
_FENCE = re.compile(
    r"^(?P<prefix>(?:[ \t]|>)*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$"
)
_QUOTE = re.compile(r"^[ \t]*>[ \t]?")
_PROMPT = re.compile(r"^[ \t]*>>>(?: |$)")
_CONTINUATION = re.compile(r"^[ \t]*\.\.\.(?: |$)")


@dataclass(frozen=True)
class Statement:
    """One top-level statement of a block."""

    index: int  # counted through the document: the seed of the random numbers depends on it
    block: int
    line: int  # in the document, from 1
    source: str
    reads: frozenset[str]  # names whose values the statement uses


@dataclass
class Block:
    """One fenced block: where it starts, its language tag and its statements."""

    index: int
    line: int
    language: str
    source: str
    statements: list[Statement] = field(default_factory=list)


def extract(document: str) -> list[Block]:
    """All code blocks of `document`, statements numbered through."""
    blocks = []
    count = 0
    for index, (line, language, lines) in enumerate(_fenced(re.split(r"\r\n|\n|\r", document))):
        source_lines = _without_output(lines)
        block = Block(index, line, language, "\n".join(source_lines))
        for first, source in _statements(source_lines):
            position = line + 1 + first
            block.statements.append(Statement(count, index, position, source, _reads(source)))
            count += 1
        blocks.append(block)
    return blocks


def _fenced(lines: list[str]) -> list[tuple[int, str, list[str]]]:
    """(line number of the opening fence, language tag, content) of each fenced block."""
    found = []
    position = 0
    while position < len(lines):
        opening = _FENCE.match(lines[position])
        if opening is None:
            position += 1
            continue
        start = position + 1
        position = start
        content = []
        while position < len(lines) and not _closes(lines[position], opening):
            content.append(_without_prefix(lines[position], opening["prefix"]))
            position += 1
        position += 1
        language = opening["info"].strip().split()
        found.append((start, language[0] if language else "", content))
    return found


def _closes(line: str, opening: re.Match[str]) -> bool:
    """A closing fence has the opening's character, at least its length and no language tag."""
    match = _FENCE.match(line)
    return (
        match is not None
        and not match["info"].strip()
        and match["fence"].startswith(opening["fence"])
    )


def _without_prefix(line: str, prefix: str) -> str:
    """`line` without the quotation marks and the indentation that its fence has."""
    for _ in range(prefix.count(">")):
        line = _QUOTE.sub("", line, count=1)
    indentation = len(prefix.rsplit(">", 1)[-1])
    spaces = len(line) - len(line.lstrip(" \t"))
    return line[min(indentation, spaces) :]


def _without_output(lines: list[str]) -> list[str]:
    """In a session with ``>>>``, blank what is not typed; line numbers stay as they were."""
    if not any(_PROMPT.match(line) for line in lines):
        return lines
    kept = []
    in_statement = False
    for line in lines:
        if _PROMPT.match(line):
            in_statement = True
            kept.append(_PROMPT.sub("", line, count=1))
        elif in_statement and _CONTINUATION.match(line):
            kept.append(_CONTINUATION.sub("", line, count=1))
        else:
            in_statement = False
            kept.append("")
    return kept


def _statements(lines: list[str]) -> list[tuple[int, str]]:
    """(first line, source) of each statement that parses, in order."""
    lines = textwrap.dedent("\n".join(lines).expandtabs()).split("\n")
    found: list[tuple[int, str]] = []
    start = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        end, tree = _longest_parse(lines, start)
        if tree is None:  # not code: go on with the next line
            start += 1
            continue
        source = "\n".join(lines[start:end])
        for node in tree.body:
            text = ast.get_source_segment(source, node, padded=True)
            first = node.lineno
            decorators = getattr(node, "decorator_list", [])
            if decorators:  # a segment leaves them out
                first = decorators[0].lineno
                text = "\n".join(source.split("\n")[first - 1 : node.end_lineno])
            if text is not None:
                found.append((start + first - 1, text))
        start = end
    return found


def _longest_parse(lines: list[str], start: int) -> tuple[int, ast.Module | None]:
    """The longest run of lines from `start` which parses: its end and its tree."""
    end = len(lines)
    while end > start:
        try:
            return end, ast.parse("\n".join(lines[start:end]))
        except SyntaxError as error:
            # Nothing past the line of the error helps, but an earlier line may be to blame.
            culprit = start + (error.lineno or 1) - 1
            end = min(end - 1, max(culprit, start))
        except ValueError:  # a null byte
            return start, None
    return start, None


def _reads(source: str) -> frozenset[str]:
    """The names that the statement loads, within functions and classes too."""
    nodes = ast.walk(ast.parse(source))
    return frozenset(
        node.id
        for node in nodes
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)
    )
