"""alt tensors between processes: their bytes are sent, as no device memory is shared.

Unlike a cpu tensor's shared memory, they outlive the process that sent them.
"""

from __future__ import annotations

import ctypes
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
        on_cpu = tensor.detach().cpu().contiguous()
        return _rebuild, (
            ctypes.string_at(on_cpu.data_ptr(), on_cpu.nbytes),
            tensor.dtype,
            tensor.shape,
            tensor.device.index,
            isinstance(tensor, torch.nn.Parameter),
            tensor.requires_grad,
        )

    return reduce


def _rebuild(
    content: bytes,
    dtype: torch.dtype,
    shape: torch.Size,
    index: int,
    is_parameter: bool,
    requires_grad: bool,
) -> torch.Tensor:
    on_cpu = torch.empty(shape, dtype=dtype, device="cpu")
    ctypes.memmove(on_cpu.data_ptr(), content, len(content))
    tensor = on_cpu.to(torch.device("alt", index))
    if is_parameter:
        return torch.nn.Parameter(tensor, requires_grad)
    return tensor.requires_grad_(requires_grad)
