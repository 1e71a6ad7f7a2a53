"""The part of a page of documentation that a command writes: between two marks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """A part of a page by its name, which the marks bear."""

    name: str

    @property
    def begin(self) -> str:
        """The line before it."""
        return f"<!-- {self.name} -->"

    @property
    def end(self) -> str:
        """The line after it."""
        return f"<!-- end of {self.name} -->"

    def check(self, page: Path) -> None:
        """Raises ValueError where the page has no place for it."""
        text = page.read_text() if page.is_file() else ""
        if not 0 <= text.find(self.begin) < text.find(self.end):
            raise ValueError(f"{page} has no lines {self.begin} and {self.end}")

    def write(self, page: Path, text: str) -> None:
        """Put ``text`` between the marks."""
        before, rest = page.read_text().split(self.begin, 1)
        _, after = rest.split(self.end, 1)
        page.write_text(f"{before}{self.begin}\n{text}\n{self.end}{after}")
