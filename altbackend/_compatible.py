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
from collections.abc import Callable, Iterable

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


def _one_of(*allowed: str) -> Callable[[str], str | None]:
    return lambda value: None if value in allowed else f"one of {', '.join(allowed)}"


def _whole_number(lowest: int, highest: int) -> Callable[[str], str | None]:
    def complaint(value: str) -> str | None:
        if value.isascii() and value.isdigit() and lowest <= int(value) <= highest:
            return None
        return f"a whole number from {lowest} to {highest}"

    return complaint


# Each environment variable that altbackend reads, and what it must be.
ENVIRONMENT: dict[str, Callable[[str], str | None]] = {
    "ALT_ARCH": _one_of("native", "x86-64-v3", "x86-64-v4", "armv8"),
    "ALT_DEVICE_COUNT": _whole_number(1, 64),
    "ALT_ENGINE": _one_of("host"),
    "ALT_FALLBACK": _one_of("allow", "warn", "forbid"),
    "ALT_NUM_THREADS": _whole_number(1, 4096),
}


def check_environment(environment: os._Environ[str] | dict[str, str]) -> None:
    """An ALT_* variable with a value that means nothing is an error, not a silent default."""
    for name, complaint in ENVIRONMENT.items():
        value = environment.get(name)
        if value is not None and (expected := complaint(value)) is not None:
            raise Refusal(f"{name}={value!r} is not {expected}", "correct it or unset it")
