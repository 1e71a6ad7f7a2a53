"""The entries of optim_db."""

from __future__ import annotations

import functools
from typing import Any

from torch.testing._internal import common_optimizers


@functools.cache
def entries() -> dict[str, Any]:
    """Optimizer class name to OptimizerInfo."""
    database: list[Any] = common_optimizers.optim_db
    return {info.optim_cls.__name__: info for info in database}
