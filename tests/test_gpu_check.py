"""tools/gpu_check, as far as it goes without a GPU."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parent.parent / "tools" / "gpu_check"


@pytest.fixture
def tool() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("gpu_check", str(TOOL))
    spec = importlib.util.spec_from_loader("gpu_check", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_its_parts_name_tests_that_exist(tool: ModuleType) -> None:
    for _, command in tool.parts().values():
        for word in command:
            if word.startswith("tests/"):
                assert (tool.ROOT / word).exists(), word


def test_every_kernel_test_is_a_part(tool: ModuleType) -> None:
    named = {
        p.stem.removeprefix("test_cuda_") for p in (tool.ROOT / "tests").glob("test_cuda_*.py")
    }
    # Those of `kernels` are whole programs in the simulation.
    without_kernels = {"arrays", "compile", "device", "dispatch", "gpu", "kernels", "shim"}
    assert named - without_kernels == {*tool.KERNELS, *tool.RUNTIME}


def test_without_a_gpu_nothing_is_recorded(tool: ModuleType, tmp_path: Path) -> None:
    before = tool.RECORDS.read_text()
    environment = dict(os.environ) | {"PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(TOOL)], env=environment, text=True, capture_output=True
    )
    assert done.returncode == 1
    assert (
        done.stdout == "gpu_check: nvidia-smi lists no GPU; nothing is run and nothing recorded\n"
    )
    assert tool.RECORDS.read_text() == before


def test_a_record(tool: ModuleType, monkeypatch, tmp_path: Path) -> None:
    page = tool.ROOT / "out" / "gpu-test.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text("# Runs\n")
    good = ({}, [sys.executable, "-c", "print('fine')"])
    bad = ({"WHY": "because"}, [sys.executable, "-c", "import os; exit(os.environ['WHY'])"])
    absent = ({}, [str(tmp_path / "nothing")])
    monkeypatch.setattr(tool, "parts", lambda: {"good": good, "bad": bad, "absent": absent})
    monkeypatch.setattr(tool, "has_gpu", lambda: True)
    monkeypatch.setattr(tool, "RECORDS", page)
    monkeypatch.setattr(sys, "argv", ["gpu_check"])
    assert tool.main() == 1
    text = page.read_text()
    page.unlink()
    assert text.startswith("# Runs\n\n## 20")
    for said in ("**good**: passed", "fine", "**bad**: failed (1)", "because", "could not start"):
        assert said in text


def test_a_part_that_takes_too_long_is_stopped(tool: ModuleType, monkeypatch) -> None:
    monkeypatch.setattr(tool, "LIMIT", 0.5)
    word, _ = tool.run("slow", {}, [sys.executable, "-c", "import time; time.sleep(60)"])
    assert word.startswith("stopped after 0.5 s")
