"""What must hold before the C++ extension may be loaded.

Loading code built for other instructions ends in SIGILL, and code built for another torch in an
undefined symbol or worse. Both are told from ``altbackend/_build_info.py``, which the build writes:

    TORCH_VERSION = "2.13.0+cpu"      the torch whose headers were used
    ARCH = "native"                   ALT_ARCH of the build
    CPU_FEATURES = ["avx2", ...]      flags of /proc/cpuinfo that the compiler was allowed to use
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import struct
from collections.abc import Iterable, Mapping

REBUILD = "pip install --no-build-isolation -e ."


class Refusal(ImportError):
    """The device cannot be registered; the message is one line and names the cure."""

    def __init__(self, reason: str, cure: str) -> None:
        super().__init__(f"altbackend: {reason}; {cure}")


def check(torch_version: str) -> None:
    """Raise :class:`Refusal` where ``altbackend._C`` must not be loaded into this process.

    Args:
        torch_version: version of the torch that is being imported, such as "2.13.0+cpu".
    """
    check_environment(os.environ)
    try:
        build = importlib.import_module("altbackend._build_info")
    except ModuleNotFoundError:
        raise Refusal("it is not built", f"build it with `{REBUILD}`") from None
    check_torch(torch_version, build.TORCH_VERSION)
    check_cpu(build.CPU_FEATURES, build.ARCH)


def check_torch(running: str, built: str) -> None:
    """C++ symbols and their layout hold within a minor version of torch."""
    if _minor(running) != _minor(built):
        raise Refusal(
            f"it was built for torch {built} and this is torch {running}",
            f"rebuild it with `{REBUILD}` or install torch=={built}",
        )


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split("+")[0].split(".")[:2])


def check_cpu(needed: Iterable[str], arch: str) -> None:
    """Every instruction set that the build used must be there."""
    here = cpu_flags()
    if here is None:
        return  # no /proc/cpuinfo: nothing to compare with
    missing = [flag for flag in needed if flag not in here]
    if missing:
        portable = "armv8" if platform.machine() in ("aarch64", "arm64") else "x86-64-v3"
        raise Refusal(
            f"it was built with ALT_ARCH={arch} and this CPU lacks {', '.join(missing)}",
            f"rebuild it here with `{REBUILD}`, or anywhere with ALT_ARCH={portable}",
        )


def check_library(path: str) -> None:
    """A file that was cut short, as by a full disk, crashes the process that loads it.

    Only ELF is looked at; the loader refuses by itself what is no library at all. An ELF file ends
    with the table of its sections, which its header points to.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        header = file.read(64)
    if header[:5] != b"\x7fELF\x02":
        return
    complete = len(header) == 64
    if complete:
        (table,) = struct.unpack_from("<Q", header, 40)
        entry_size, entries = struct.unpack_from("<HH", header, 58)
        complete = table + entry_size * entries <= size
    if not complete:
        raise Refusal(f"its C++ part {path} is cut short", f"rebuild it with `{REBUILD}`")


def cpu_flags(path: str = "/proc/cpuinfo") -> frozenset[str] | None:
    """Flags of the first CPU as the kernel names them, None where the kernel does not say."""
    try:
        with open(path, encoding="ascii", errors="replace") as cpuinfo:
            for line in cpuinfo:
                key, _, value = line.partition(":")
                if key.strip() in ("flags", "Features"):
                    return frozenset(value.split())
    except OSError:
        pass
    return None


def _one_of(*allowed: str) -> tuple[str, str]:
    return "|".join(map(re.escape, allowed)), f"one of {', '.join(allowed)}"


def _count(most: int) -> tuple[str, str]:
    pattern = f"0*(?:{'|'.join(map(str, range(1, most + 1)))})"
    return pattern, f"a whole number from 1 to {most}"


# Each environment variable that altbackend reads, a pattern of its values, and the pattern in
# words. csrc/runtime/environment.cpp reads them; here they are checked before anything of it is
# loaded.
ENVIRONMENT: dict[str, tuple[str, str]] = {
    "ALT_DEVICE_COUNT": _count(127),
    "ALT_ENGINE": _one_of("auto", "host", "cuda"),
    "ALT_FALLBACK": _one_of("allow", "warn", "forbid"),
    "ALT_MEMORY_LIMIT": (
        r"(?=.*[1-9])(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+]?\d+)?[KMGkmg]?",
        "a positive number of bytes, or one with the suffix K, M or G",
    ),
    "ALT_NUM_THREADS": _count(1024),
}


def check_environment(environment: Mapping[str, str]) -> None:
    """An ALT_* variable with a value that means nothing is an error, not a silent default.

    An empty value is an unset one, as in ``ALT_FALLBACK= python script.py``.
    """
    for name, (pattern, words) in ENVIRONMENT.items():
        value = environment.get(name)
        if value and not re.fullmatch(pattern, value, re.ASCII):
            raise Refusal(
                f"{name}={value!r} is not valid: it must be {words}", "correct it or unset it"
            )
