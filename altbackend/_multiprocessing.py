"""alt tensors between processes: sent as a copy through shared host memory, as no device memory is
shared."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch


def register() -> None:
    """Let ``torch.multiprocessing`` queues and pipes carry alt tensors and parameters."""
    from torch.multiprocessing import reductions

    ForkingPickler.register(torch.Tensor, _reducer(reductions.reduce_tensor))
    ForkingPickler.register(torch.nn.Parameter, _reducer(reductions.reduce_tensor))


def _reducer(stock: Callable[[torch.Tensor], Any]) -> Callable[[torch.Tensor], Any]:
    def reduce(tensor: torch.Tensor) -> Any:
        # str.__eq__: not what the cuda shim makes of a device's type.
        if tensor.layout != torch.strided or not str.__eq__(tensor.device.type, "alt"):
            return stock(tensor)
        if tensor.requires_grad and not tensor.is_leaf:
            raise RuntimeError(
                "Cowardly refusing to serialize non-leaf tensor which requires_grad, "
                "since autograd does not support crossing process boundaries.  "
                "If you just want to transfer the data, call detach() on the tensor "
                "before serializing (e.g., putting it on the queue)."
            )
        on_cpu = tensor.detach().cpu()
        is_parameter = isinstance(tensor, torch.nn.Parameter)
        return _rebuild, (on_cpu, tensor.device.index, is_parameter, tensor.requires_grad)

    return reduce


def _rebuild(
    on_cpu: torch.Tensor, index: int, is_parameter: bool, requires_grad: bool
) -> torch.Tensor:
    tensor = on_cpu.to(torch.device("alt", index))
    if is_parameter:
        return torch.nn.Parameter(tensor, requires_grad)
    return tensor.requires_grad_(requires_grad)
