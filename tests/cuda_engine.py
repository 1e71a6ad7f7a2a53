"""Python in a process of its own whose engine is CUDA, on simulated GPUs.

``tests/cuda_simulation/driver.cpp`` plays the driver and ``tests/cuda_simulation/cupy`` CuPy; both
say what they can be asked to play by ALT_SIMULATED_* variables. Kernels are compiled by g++, once:
about a second for each module that a test needs.

In the process, ``import simulation`` reaches the driver: ``simulation.driver.simulation_hold(1)``.

``python tests/cuda_engine.py COMMAND`` runs a command so: the conformance suite, say.

With ALT_CUDA_TESTS=gpu there is no simulation: the process sees the machine's GPUs and CuPy, and
tests that are ``simulated`` are left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import cuda_compiler
import pytest
from python_process import python

ON_GPU = os.environ.get("ALT_CUDA_TESTS") == "gpu"
# For tests that plant a fault, hold a stream, or know the simulated GPUs.
simulated = pytest.mark.skipif(ON_GPU, reason="needs the simulated driver")

TESTS = Path(__file__).parent
SIMULATION = TESTS / "cuda_simulation"


def environment(**more: str) -> dict[str, str]:
    """What makes a process of Python's see simulated GPUs, or the machine's."""
    if ON_GPU:
        return {"ALT_ENGINE": "cuda", **more}
    paths = [str(SIMULATION), str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    cache = cuda_compiler.BUILD / f"engine-{cuda_compiler.headers_digest()[:16]}"
    return {
        "ALT_ENGINE": "cuda",
        "ALT_CUDA_DRIVER": str(cuda_compiler.driver()),
        "PYTHONPATH": os.pathsep.join(p for p in paths if p),
        "PYTHONFAULTHANDLER": "1",  # where host code touched device memory
        "XDG_CACHE_HOME": str(cache),
        **more,
    }


def cuda_process(code: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs code with ALT_ENGINE=cuda and two simulated GPUs."""
    return python("-c", textwrap.dedent(code), **environment(**settings))


def on_cuda(code: str, **settings: str) -> str:
    """What it printed; it must end well."""
    done = cuda_process(code, **settings)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


if __name__ == "__main__":
    os.execvpe(sys.argv[1], sys.argv[1:], {**os.environ, **environment()})
