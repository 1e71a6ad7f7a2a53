"""Python in a process of its own, for tests of what happens at import, at exit and after a fork."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

SETTINGS = (
    "ALT_DEVICE_COUNT",
    "ALT_ENGINE",
    "ALT_FALLBACK",
    "ALT_MEMORY_LIMIT",
    "ALT_NUM_THREADS",
    "TORCH_DEVICE_BACKEND_AUTOLOAD",
)


def python(
    *arguments: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``python *arguments``, which ends by itself within two minutes.

    The settings of altbackend that the tests' own process has do not reach it; ``environment``
    does.
    """
    inherited = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        cwd=folder,
    )


def python_code(
    code: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a piece of code, which imports from ``folder`` first."""
    return python("-c", textwrap.dedent(code), folder=folder, **environment)


def output(process: subprocess.CompletedProcess[str]) -> str:
    """What a process printed, which must have ended well."""
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()
