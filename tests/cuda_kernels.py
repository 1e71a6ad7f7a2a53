"""Runs the kernels of altbackend/cuda/kernels in the simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from cuda_simulator import Guarded, dtype_name, launch, simulate

from altbackend.cuda import arguments, failure, kernels


def as_args(t: torch.Tensor | Guarded | None) -> arguments.TensorArgs | None:
    if t is None:
        return None
    t = t.tensor if isinstance(t, Guarded) else t
    return arguments.tensor(t.data_ptr(), t.shape, t.stride())


class Family:
    """The kernels of one file, all dtypes compiled at once."""

    def __init__(self, file: str):
        self.keys = [
            kernels.Key(name, given)
            for name, (where, lists) in kernels.KERNELS.items()
            if where == file
            for given in lists
        ]
        self.prefixes = {key: f"kernel{i}_" for i, key in enumerate(self.keys)}
        self.library = simulate(self.text())
        self.record = failure.Failure()
        self.library.listen(self.record)

    def text(self) -> str:
        return kernels.entries(self.keys, self.prefixes.values())

    def run(
        self,
        name: str,
        dtypes: Sequence[torch.dtype],
        tensors: Sequence[torch.Tensor | Guarded | None],
        integers: Sequence[int] = (),
        numbers: Sequence[float] = (),
        *,
        grid: Sequence[int] = (2,),
        block: Sequence[int] = (64,),
        beside: Sequence[Any] = (),
        tables: Sequence[torch.Tensor] = (),
        backwards: bool = False,
    ) -> None:
        """One launch; what it wrote outside of a Guarded is an error, as is what it reported.

        `beside` are tensors whose addresses the kernel has otherwise than as its tensors.
        """
        key = kernels.key(name, *(dtype_name(d) for d in dtypes))
        made = arguments.kernel([as_args(t) for t in tensors], integers, numbers)
        launch(
            self.library,
            self.prefixes[key] + name,
            made,
            grid,
            block,
            tensors=[*tensors, *beside],
            tables=tables,
            backwards=backwards,
        )
        for t in tensors:
            if isinstance(t, Guarded):
                t.check()
        failure.check(self.record)
