"""docs/adding-an-operator.md, followed: a tree without the page's operators, then its steps."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build"
PAGE = ROOT / "docs" / "adding-an-operator.md"
BLOCK = re.compile(r"<!-- source: (?P<path>\S+) -->\n```\w*\n(?P<code>.*?)```\n", re.DOTALL)
# What the page adds, by the name in the source; the rest it only shows.
NAMES = {"silu": "silu", "Product": "prod", "repeat_interleave": "repeat_interleave.Tensor"}
CALLS = {
    "silu": "torch.nn.functional.silu(x)",
    "prod": "x.prod(0)",
    "repeat_interleave.Tensor": "torch.repeat_interleave(torch.tensor([1, 0, 2]).to(device))",
}
SCRIPT = f"""
import json, torch, altbackend
lacks = {{}}
for name, call in {CALLS!r}.items():
    x, device = torch.randn(5, 7), "cpu"
    expected = eval(call)
    x, device = x.to("alt"), "alt"
    altbackend.reset_fallback_report()
    try:
        torch.testing.assert_close(eval(call).cpu(), expected)
        lacks[name] = [row["op"] for row in altbackend.fallback_report()]
    except RuntimeError as error:
        lacks[name] = [str(error)]
print(json.dumps(lacks))
"""


@dataclass
class Step:
    """A block of the page: code that goes into a file."""

    path: str
    code: str
    offset: int = 0  # where it stood in the file


def steps() -> list[Step]:
    found = [Step(m["path"], m["code"]) for m in BLOCK.finditer(PAGE.read_text())]
    adding = [s for s in found if any(re.search(rf"\b{n}(_stub)?\b", s.code) for n in NAMES)]
    assert len(adding) >= 6
    return adding


def take_out(step: Step, tree: Path) -> None:
    file = tree / step.path
    text = file.read_text()
    assert text.count(step.code) == 1, f"{step.path} has not once:\n{step.code}"
    step.offset = text.index(step.code)
    file.write_text(text.replace(step.code, ""))


def put_in(step: Step, tree: Path) -> None:
    file = tree / step.path
    text = file.read_text()
    file.write_text(text[: step.offset] + step.code + text[step.offset :])


def generate(tree: Path) -> None:
    subprocess.run(
        [sys.executable, tree / "csrc/dispatch/generate.py", tree / "csrc/dispatch/ops.yaml",
         tree / "include/generated"],
        check=True,
    )  # fmt: skip


def same(a: Path, b: Path) -> bool:
    return b.exists() and a.read_bytes() == b.read_bytes()


def compile_changed(tree: Path) -> dict[str, str | None]:
    """Object files of the build by what replaces them in the tree: None where nothing does."""
    replaced: dict[str, str | None] = {}
    commands = []
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        original = Path(entry["file"])
        if original.is_relative_to(BUILD / "include"):
            source = tree / "include" / original.relative_to(BUILD / "include")
        elif original.is_relative_to(ROOT / "csrc"):
            source = tree / original.relative_to(ROOT)
        else:
            continue
        built = str(Path(entry["output"]).relative_to(BUILD))
        if not source.exists():
            replaced[built] = None
        elif not same(original, source):
            target = tree / (source.stem + ".o")
            command = entry["command"].replace(str(original), str(source))
            command = command.replace(f"-I{ROOT}/csrc", f"-I{tree}/csrc")
            command = command.replace(f"-I{BUILD}/include", f"-I{tree}/include")
            commands.append(re.sub(r" -o \S+", f" -o {target}", command))
            replaced[built] = str(target)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda c: subprocess.run(c, shell=True, check=True, cwd=BUILD), commands):
            pass
    return replaced


def link(tree: Path, replaced: dict[str, str | None]) -> None:
    """The extension, from the build's objects and the tree's own."""
    library = "_C" + str(sysconfig.get_config_var("EXT_SUFFIX"))
    listing = subprocess.run(
        ["ninja", "-C", BUILD, "-t", "commands", ROOT / "altbackend" / library],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    words = listing.stdout.strip().splitlines()[-1].split()
    kept = (replaced.get(word, word) for word in words)
    command = " ".join(word for word in kept if word is not None)
    command = command.replace(
        str(ROOT / "altbackend" / library), str(tree / "altbackend" / library)
    )
    subprocess.run(command, shell=True, check=True, cwd=BUILD)


def lacking(tree: Path) -> dict[str, list[str]]:
    """What fell back or had no kernel, by the operator called; the values agree with cpu's."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(tree), "ALT_FALLBACK": "allow"},
        cwd=tree, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    if not (BUILD / "compile_commands.json").exists():
        pytest.skip("the extension was not built in this tree: there are no objects to link")
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc", ignore=ignored)
    shutil.copytree(ROOT / "altbackend", tmp_path / "altbackend", ignore=ignored)
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.slow
def test_the_pages_steps(tree: Path) -> None:
    added = steps()
    for step in added:
        take_out(step, tree)
    # The page leaves nothing out: the operators are mentioned nowhere else.
    for file in (tree / "csrc").rglob("*.*"):
        code = re.sub(r"(//|#).*", "", file.read_text())
        for name in NAMES:
            assert not re.search(rf"\b{name}\b", code), f"{name} in {file}"
    generate(tree)
    link(tree, compile_changed(tree))
    without = lacking(tree)
    assert without["silu"] and without["silu"][0].startswith("aten::silu")
    assert "missing kernel for alt" in without["prod"][0]  # the front-end is there, its stub empty
    assert without["repeat_interleave.Tensor"] == ["aten::repeat_interleave.Tensor"]

    for step in reversed(added):
        put_in(step, tree)
    generate(tree)
    # Nothing to compile: this is the tree that the other tests run.
    assert compile_changed(tree) == {}
    assert not any(lacking(ROOT).values())
