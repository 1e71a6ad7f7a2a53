"""The documents speak of files and code that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPET = re.compile(r"<!-- source: (?P<path>\S+) -->\n```\w*\n(?P<code>.*?)```", re.DOTALL)


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_quoted_code_is_in_its_source(document: Path) -> None:
    for match in SNIPPET.finditer(document.read_text()):
        source = (ROOT / match["path"]).read_text()
        assert squeezed(match["code"]) in squeezed(source), f"not in {match['path']} any more"


def test_there_is_quoted_code() -> None:
    assert sum(len(SNIPPET.findall(document.read_text())) for document in DOCUMENTS) >= 3


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_paths_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (document.parent / target).exists(), target
    for path in re.findall(r"`((?:csrc|altbackend|conformance|docs|tests)/[\w./]*)`", text):
        assert (ROOT / path).exists(), path


def test_the_readme_lists_the_variables_that_are_read() -> None:
    from altbackend._compatible import ENVIRONMENT

    listed = set(re.findall(r"^\| `(ALT_\w+)`", (ROOT / "README.md").read_text(), re.MULTILINE))
    built_with = set(re.findall(r'environ\.get\("(ALT_\w+)"', (ROOT / "setup.py").read_text()))
    built_with |= set(re.findall(r"environ\.get\('(ALT_\w+)'", (ROOT / "setup.py").read_text()))
    assert listed == {*ENVIRONMENT, *built_with}


def test_make_targets_named_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z][\w-]*)", (ROOT / "README.md").read_text()))
    named -= {"and"}  # "cmake and make"
    assert {"run", "test"} <= named
    assert named <= targets
