"""cupy.cuda.nvrtc: g++. A program's code is the library that it makes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence

import cuda_compiler


class NVRTCError(RuntimeError):
    """A kernel does not compile."""


_sources: dict[int, str] = {}
_codes: dict[int, bytes] = {}
_logs: dict[int, str] = {}
_numbers = itertools.count(1)


def getVersion() -> tuple[int, int]:
    """Of CUDA's toolkit; ALT_SIMULATED_NVRTC="13.0" plays another, "missing" none."""
    played = os.environ.get("ALT_SIMULATED_NVRTC", "12.9")
    if played == "missing":
        raise RuntimeError("CuPy failed to load libnvrtc.so.12: cannot open shared object file")
    major, minor = played.split(".")
    return int(major), int(minor)


def getSupportedArchs() -> list[int]:
    """Compute capabilities."""
    return [80, 90]


def createProgram(
    source: str, name: str, headers: Sequence[bytes], include_names: Sequence[bytes]
) -> int:
    """A program's number."""
    number = next(_numbers)
    _sources[number] = source
    return number


def compileProgram(program: int, options: Sequence[str]) -> None:
    """Compiles it; the simulation's options are cuda_compiler's."""
    try:
        _codes[program] = cuda_compiler.compiled(_sources[program]).read_bytes()
    except cuda_compiler.CompilationFailed as error:
        _logs[program] = str(error)
        raise NVRTCError("NVRTC_ERROR_COMPILATION (6)") from None


def getProgramLog(program: int) -> str:
    """What the compiler complained of."""
    return _logs.get(program, "")


def getCUBIN(program: int) -> bytes:
    """The library."""
    return _codes[program]


getPTX = getCUBIN


def destroyProgram(program: int) -> None:
    """Forgets it."""
    for known in (_sources, _codes, _logs):
        known.pop(program, None)  # type: ignore[attr-defined]
