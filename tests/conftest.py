"""What several test files need."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest


@pytest.fixture
def run_python() -> Callable[..., str]:
    """Run code in a new process, with the environment variables given; return what it printed."""

    def run(code: str, **environment: str) -> str:
        process = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run
