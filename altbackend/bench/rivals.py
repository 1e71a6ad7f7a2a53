"""The sides of the bench: alt, and whom it is held against."""

from __future__ import annotations

import ctypes.util
import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from altbackend import _C
from altbackend.bench.place import Place

ALT, STOCK, COMPILE, CUDA = "alt", "stock", "compile", "cuda"
RIVALS = (STOCK, COMPILE, CUDA)

# Besides where the system looks by itself.
LIBRARIES = {
    "tcmalloc": ("tcmalloc_minimal", "tcmalloc"),
    "jemalloc": ("jemalloc",),
}
FOLDERS = (
    "/usr/lib/*-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/opt/conda/lib",
)


@dataclass(frozen=True)
class Side:
    """One of those who take turns."""

    name: str
    place: Place


def engine() -> str:
    """Alt's engine: "host" or "cuda"."""
    return str(_C.engine()["name"])


def default_rivals() -> list[str]:
    """Stock on the same hardware as alt."""
    return [CUDA if engine() != "host" and torch.cuda.is_available() else STOCK]


def side(name: str) -> Side:
    """The side of that name.

    Raises:
        ValueError: where this machine does not have it.
    """
    if name == ALT:
        return Side(name, Place("alt"))
    if name == STOCK:
        return Side(name, Place("cpu"))
    if name == COMPILE:
        return Side(name, Place("cpu", compile=True))
    if name == CUDA:
        if not torch.cuda.is_available():
            raise ValueError("torch has no cuda device here")
        return Side(name, Place("cuda"))
    raise ValueError(f"no such rival: {name}; there are {', '.join(RIVALS)}")


def find_allocator(name: str) -> str | None:
    """The path of the shared library of tcmalloc or jemalloc, or None where it is not installed."""
    for stem in LIBRARIES[name]:
        for folder in FOLDERS:
            found = sorted(glob.glob(f"{folder}/lib{stem}.so*"))
            if found:
                return found[0]
        library = ctypes.util.find_library(stem)
        if library is not None:
            return library  # a name that the loader finds, too
    return None


def allocator_name(path: str) -> str:
    """What a library is called in the table: "tcmalloc", "jemalloc", or the file's own name."""
    stem = Path(path).name
    return next((name for name in LIBRARIES if name in stem), stem)


def allocators(names: Iterable[str] = tuple(LIBRARIES)) -> dict[str, str]:
    """Name and path of the first of these allocators that is installed, or nothing.

    Nothing also where this process has one preloaded: then it is no rival any more.
    """
    if any(name in os.environ.get("LD_PRELOAD", "") for name in LIBRARIES):
        return {}
    for name in names:
        path = find_allocator(name)
        if path is not None:
            return {name: path}
    return {}
