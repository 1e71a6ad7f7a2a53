"""g++ in the part of NVRTC: kernels' text to a library that runs them on the CPU.

Also builds the library that plays CUDA's driver. What was made is kept in build/cuda_simulation.
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from altbackend.cuda.compile import INCLUDE_PATHS

HERE = Path(__file__).parent / "cuda_simulation"
BUILD = Path(__file__).parent.parent / "build" / "cuda_simulation"
COMPILER = os.environ.get("CXX", "g++")


class CompilationFailed(Exception):
    """g++'s complaints."""


@functools.cache
def headers_digest() -> str:
    """Of every header that a kernel may include here."""
    digest = hashlib.sha256()
    for folder in (HERE, *INCLUDE_PATHS):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".h", ".cuh"):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def compiled(source: str) -> Path:
    """The kernels of `source` as functions of a library. Unoptimised: they are run once."""
    digest = hashlib.sha256((headers_digest() + source).encode())
    options = ["-O0", "-ffp-contract=off", "-Wno-unknown-pragmas"]
    options += ["-include", str(HERE / "cuda.h"), *(f"-I{f}" for f in (HERE, *INCLUDE_PATHS))]
    return _library(digest.hexdigest(), options, source)


def driver() -> Path:
    """The library that plays libcuda (cuda_simulation/driver.cpp)."""
    source = (HERE / "driver.cpp").read_text()
    digest = hashlib.sha256(source.encode()).hexdigest()
    return _library(f"driver-{digest}", ["-O1"], source)


def _library(name: str, options: Sequence[str], source: str) -> Path:
    target = BUILD / f"{name[:40]}.so"
    if target.exists():
        return target
    BUILD.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(f".{os.getpid()}.so")
    command: Iterable[str] = [COMPILER, "-x", "c++", "-std=c++20", "-shared", "-fPIC", *options]
    command = [*command, "-", "-o", str(temporary), "-ldl"]
    done = subprocess.run(command, input=source, text=True, capture_output=True)
    if done.returncode != 0:
        raise CompilationFailed(done.stderr[:8000])
    os.replace(temporary, target)
    return target
