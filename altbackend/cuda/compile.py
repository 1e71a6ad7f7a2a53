"""From a kernel's text to a GPU's code, by NVRTC, once: the result is kept on disk.

The architecture is always named, so nothing here needs a GPU or a driver.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from altbackend.cuda.errors import CompileError, CudaError
from altbackend.cuda.table import CSRC, PACKAGE

INCLUDE_PATHS = (PACKAGE / "headers", PACKAGE, CSRC)
# The C++ library's headers that csrc/ops includes; NVRTC has none of them.
STANDARD_HEADERS = ("cmath", "cstddef", "cstdint", "limits", "numeric", "type_traits")
OPTIONS = (
    "--std=c++20",
    # As on the host, rounding is what an operator's text says: fma is written where it is meant.
    "--fmad=false",
    "--device-as-default-execution-space",
    "--disable-warnings",
)
# A line of NVRTC's log that says what is wrong, and where.
_COMPLAINT = re.compile(
    r"^(?P<file>[^\s(][^(\n]*)\((?P<line>\d+)\): (?:catastrophic )?error: .*$", re.MULTILINE
)


def nvrtc() -> ModuleType:
    """CuPy's binding of NVRTC, seen to work."""
    try:
        from cupy.cuda import nvrtc as binding
    except ImportError as error:
        raise CudaError(
            f"the CUDA engine needs CuPy, which cannot be imported ({error}); "
            "install altbackend[cuda12] or altbackend[cuda13]"
        ) from error
    try:
        binding.getVersion()
    except Exception as error:  # CuPy loads the library at the first call, and fails in many ways
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CudaError(
            f"CuPy finds no NVRTC to compile kernels with ({reason}); "
            "install nvidia-cuda-nvrtc-cu12 (or nvidia-cuda-nvrtc for CUDA 13)"
        ) from error
    return binding


def architecture(capability: int, supported: Sequence[int]) -> str:
    """What to compile for a GPU of this compute capability (90 is 9.0).

    A GPU newer than the compiler gets the newest portable code, which its driver finishes.
    """
    if capability in supported:
        return f"sm_{capability}"
    older = [c for c in supported if c < capability]
    if not older:
        raise CudaError(
            f"this NVRTC compiles for compute capability {min(supported) / 10} and newer; "
            f"the GPU has {capability / 10}"
        )
    return f"compute_{max(older)}"


@functools.cache
def _headers_digest() -> str:
    """Of every header that a kernel may include, so that a change of one is seen."""
    digest = hashlib.sha256()
    for folder in (PACKAGE, CSRC / "ops", CSRC / "loops"):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".h", ".cuh"):
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "altbackend" / "cuda"


def compile_source(name: str, source: str, arch: str, *, cached: bool = True) -> bytes:
    """The code of `source` for `arch` (sm_90: binary; compute_90: PTX). `name` is for people."""
    binding = nvrtc()
    version = "{}.{}".format(*binding.getVersion())
    text = "\0".join((version, arch, *OPTIONS, _headers_digest(), source))
    path = cache_folder() / f"{hashlib.sha256(text.encode()).hexdigest()}.bin"
    if cached and (found := _read(path)) is not None:
        return found
    code = _compile(binding, name, source, arch)
    if cached:
        _write(path, code)
    return code


def _compile(binding: ModuleType, name: str, source: str, arch: str) -> bytes:
    names = [n.encode() for n in STANDARD_HEADERS]
    headers = [b'#include "loops/standard.cuh"'] * len(names)
    options = (
        f"--gpu-architecture={arch}",
        *OPTIONS,
        *(f"--include-path={p}" for p in INCLUDE_PATHS),
    )
    program = binding.createProgram(source, "kernel.cu", headers, names)
    try:
        try:
            binding.compileProgram(program, options)
        except binding.NVRTCError as error:
            log = binding.getProgramLog(program)
            raise CompileError(explain(name, arch, source, log or str(error))) from error
        return bytes(
            binding.getCUBIN(program) if arch.startswith("sm_") else binding.getPTX(program)
        )
    finally:
        with contextlib.suppress(Exception):
            binding.destroyProgram(program)


def explain(name: str, arch: str, source: str, log: str) -> str:
    """The operator, the compiler's first complaint, and the line that it is about."""
    complaint = _COMPLAINT.search(log)
    first = f"the kernel of {name} does not compile for {arch}"
    if complaint is None:
        return f"{first}:\n{log.strip()}"
    number = int(complaint["line"])
    file = Path(complaint["file"])
    text = source if file.name == "kernel.cu" else ""
    with contextlib.suppress(OSError):
        text = text or file.read_text()
    lines = text.splitlines()
    shown = f"\n    {lines[number - 1].strip()}" if 0 < number <= len(lines) else ""
    return f"{first}:\n{complaint[0]}{shown}"


def _read(path: Path) -> bytes | None:
    """A kept result, or None where there is none or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    code = content[32:]
    return code if code and hashlib.sha256(code).digest() == content[:32] else None


def _write(path: Path, code: bytes) -> None:
    """Keeps a result; other processes see all of it or nothing. A full disk costs only time."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
