"""Memory shared, never copied, with other libraries on the same GPUs: DLPack and CUDA's arrays.

torch knows alt as a device that is nobody else's. With the CUDA engine its memory is CUDA's, and is
offered as that: ``cupy.from_dlpack(tensor)``, or ``torch.from_dlpack(tensor)`` where torch itself
has CUDA; ``cupy.asarray(tensor)`` and Numba's kernels by ``__cuda_array_interface__``, which says
nothing of streams, as a cuda tensor's does not. The other way goes
``torch.alt.from_dlpack(array)``, since ``torch.from_dlpack`` makes cuda tensors of CUDA's memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from altbackend import _C

_CUDA = 2  # kDLCUDA
_CUDA_MANAGED = 13


def register() -> None:
    """Let tensors on GPUs say to other libraries what they are."""
    for name, ours in (("__dlpack__", _export), ("__dlpack_device__", _device)):
        setattr(torch.Tensor, name, _wrapped(getattr(torch.Tensor, name), ours))
    stock = torch.Tensor.__cuda_array_interface__.fget  # type: ignore[attr-defined]
    interface = functools.wraps(stock)(lambda self: (_interface if _is_alt(self) else stock)(self))
    torch.Tensor.__cuda_array_interface__ = property(interface)  # type: ignore[assignment, method-assign]


def _is_alt(self: torch.Tensor) -> bool:
    return str.__eq__(self.device.type, "alt")  # not what the cuda shim makes of a device's type


def _wrapped(stock: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def method(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if _is_alt(self) and _C.engine()["name"] == "cuda":
            return ours(self, *args, **kwargs)
        return stock(self, *args, **kwargs)

    return method


def _device(self: torch.Tensor) -> tuple[int, int]:
    return _CUDA, self.device.index


def _export(
    self: torch.Tensor,
    *,
    stream: int | None = -1,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """A capsule; `stream` is CUDA's, on which the caller may use the memory at once."""
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if self.is_conj() or self.is_neg():
        raise BufferError("Can't export tensors with the conjugate or the negative bit set")
    if self.layout != torch.strided:
        raise BufferError("Can't export tensors with layout other than torch.strided")
    if dl_device is not None and tuple(map(int, dl_device)) != _device(self):
        raise BufferError(f"a tensor on {self.device} cannot be exported to device {dl_device}")
    if stream is not None and type(stream) is not int:
        raise TypeError("stream must be ``int`` or ``none``")
    if stream in (0, 2):
        raise BufferError(f"unsupported stream: {stream}")
    given = self.clone() if copy else self
    # 1 is CUDA's default stream, whose address is null; -1 asks for no order.
    waiting = 0 if stream in (None, 1) else stream
    return _C.to_cuda_dlpack(given, waiting)


def _typestr(dtype: torch.dtype) -> str:
    kind = "u"
    if dtype is torch.bool:
        kind = "b"
    elif dtype.is_complex:
        kind = "c"
    elif dtype in (torch.float16, torch.float32, torch.float64):
        kind = "f"
    elif dtype.is_floating_point:
        kind = "V"  # which arrays do not know, as ml_dtypes writes them
    elif dtype.is_signed:
        kind = "i"
    return f"{'|' if dtype.itemsize == 1 else '<'}{kind}{dtype.itemsize}"


def _interface(self: torch.Tensor) -> dict[str, Any]:
    """What the tensor is, as Numba's protocol has it; errors are those of cuda tensors."""
    if _C.engine()["name"] != "cuda":
        raise AttributeError(
            f"{self.device} lies in the host's memory, which has no __cuda_array_interface__"
        )
    if self.layout != torch.strided:
        raise AttributeError(f"Can't get __cuda_array_interface__ on sparse type: {self.type()}")
    if self.requires_grad:
        raise RuntimeError(
            "Can't get __cuda_array_interface__ on Variable that requires grad. "
            "If gradients aren't required, use var.detach() to get Variable that doesn't require "
            "grad."
        )
    if self.is_conj() or self.is_neg():
        raise RuntimeError("Can't get __cuda_array_interface__ of a conjugate or negative view")
    size = self.element_size()
    return {
        "typestr": _typestr(self.dtype),
        "shape": tuple(self.shape),
        "strides": None if self.is_contiguous() else tuple(s * size for s in self.stride()),
        "data": (self.data_ptr() if self.numel() > 0 else 0, False),
        "version": 2,
    }


def from_dlpack(array: Any) -> torch.Tensor:
    """An alt tensor on a CuPy array's memory, or on that of whatever offers CUDA memory by DLPack.

    Args:
        array: an object with ``__dlpack__`` and ``__dlpack_device__``.

    Raises:
        BufferError: where its memory is no GPU's.
        RuntimeError: where the engine is not CUDA.
    """
    kind, device = array.__dlpack_device__()
    if int(kind) not in (_CUDA, _CUDA_MANAGED):
        raise BufferError(f"the array lies on device type {int(kind)}, not in a GPU's memory")
    # By DLPack's rule 1 is the default stream.
    stream = torch.alt.current_stream(device).stream_id or 1  # type: ignore[attr-defined]
    return _C.from_cuda_dlpack(array.__dlpack__(stream=stream))
