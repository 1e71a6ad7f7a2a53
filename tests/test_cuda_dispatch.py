"""Operators on the CUDA engine, from the dispatcher to the kernels, on simulated GPUs.

The cases are in tests/cuda_dispatch_cases.py; each is a test here, and a process runs several.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from pathlib import Path

import pytest
from cuda_engine import cuda_process

SCRIPT = Path(__file__).parent / "cuda_dispatch_cases.py"


def names() -> list[str]:
    tree = ast.parse(SCRIPT.read_text())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return [f.name for f in functions if f.decorator_list]


NAMES = names()
GROUP = 6  # cases to a process, which is to end within two minutes


@functools.cache
def outcomes(group: int) -> dict[str, str | None]:
    """What each case of a group raised; a case that ended the process did not finish."""
    chosen = NAMES[group * GROUP : (group + 1) * GROUP]
    arguments = ", ".join(repr(name) for name in chosen)
    done = cuda_process(f"import cuda_dispatch_cases; cuda_dispatch_cases.main({arguments})")
    found = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    for name in chosen:
        found.setdefault(name, f"did not finish ({done.returncode}):\n{done.stderr[-4000:]}")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_on_simulated_gpus(name: str) -> None:
    error = outcomes(NAMES.index(name) // GROUP)[name]
    assert error is None, error


@pytest.mark.parametrize("pattern", ["add", "sigmoid", "sum"])
def test_agrees_over_pytorch_s_samples(pattern: str) -> None:
    arguments = ["ops", "--only", pattern, "--dtypes", "float32,int64", "--jobs", "1", "--quiet"]
    done = cuda_process(
        f"""
        import runpy, sys
        sys.argv = ["conformance", *{arguments}]
        runpy.run_module("conformance", run_name="__main__")
        """
    )
    found = re.search(r"(\d+) of (\d+) cells passed .* (\d+) with a fallback", done.stdout)
    assert found is not None, done.stderr
    passed, cells, fallbacks = map(int, found.groups())
    assert passed == cells > 10 and fallbacks == 0, done.stdout
