"""The entries of module_db."""

from __future__ import annotations

import functools
from typing import Any

from torch.testing._internal.common_modules import module_db


@functools.cache
def entries() -> dict[str, Any]:
    """Module name to ModuleInfo."""
    return {info.name: info for info in module_db}


def dtypes(info: Any) -> list[str]:
    """The dtypes that torch's tests give the module on the CPU."""
    return sorted(str(dtype).removeprefix("torch.") for dtype in info.dtypes)
