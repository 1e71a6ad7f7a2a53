"""CuPy, played on the simulated driver: arrays are NumPy's, on memory of a simulated GPU.

While an array on device memory is alive that memory is open to everybody; results lie in memory of
NumPy's own. What altbackend does not use is not here.
"""

from __future__ import annotations

import ctypes
import types
import weakref
from collections.abc import Sequence
from typing import Any

import numpy

from cupy import _dlpack, cuda
from cupy.cuda.memory import MemoryPointer, alloc, get_default_memory_pool, pinned

__version__ = "0.0 (simulated)"
__all__ = ["asarray", "asnumpy", "cuda", "from_dlpack", "get_default_memory_pool", "ndarray"]

cuda.alloc_pinned_memory = pinned


def _open(pointer: MemoryPointer, size: int) -> Any:
    """Bytes of device memory that may be touched as long as they are referred to."""
    held = (ctypes.c_char * size).from_address(pointer.ptr)
    cuda.driver.library.simulation_open(1)
    weakref.finalize(held, cuda.driver.library.simulation_open, 0)
    held._owner = pointer
    return held


def _reach(shape: Sequence[int], strides: Sequence[int], item: int) -> tuple[int, int]:
    """Bytes before and after the first element."""
    ends = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    return -sum(e for e in ends if e < 0), sum(e for e in ends if e > 0) + item


class ndarray(numpy.ndarray):
    """An array on device memory, or a result."""

    def __new__(
        cls,
        shape: Any,
        dtype: Any = float,
        memptr: MemoryPointer | None = None,
        strides: Sequence[int] | None = None,
        order: str = "C",
    ) -> ndarray:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        dtype = numpy.dtype(dtype)
        if memptr is None:
            size = dtype.itemsize
            for n in shape:
                size *= n
            memptr = alloc(max(size, 1))
        if strides is None:
            strides = numpy.empty(shape, dtype, order=order).strides  # type: ignore[call-overload]
        if 0 in shape:
            return numpy.empty(shape, dtype).view(cls)
        before, after = _reach(shape, strides, dtype.itemsize)
        held = _open(memptr + -before, before + after)
        return super().__new__(cls, shape, dtype, held, before, strides)

    @property
    def data(self) -> Any:  # type: ignore[override]
        return types.SimpleNamespace(ptr=self.ctypes.data)

    @property
    def device(self) -> Any:  # type: ignore[override]
        return cuda.Device(cuda.driver.device_of(self.ctypes.data))

    def get(self) -> numpy.ndarray:
        """On the host."""
        return numpy.array(self, subok=False)

    def __dlpack_device__(self) -> tuple[int, int]:
        return _dlpack.CUDA, self.device.id

    def __dlpack__(self, **_: Any) -> Any:
        return _dlpack.capsule(self)


def _wrapped(result: Any) -> Any:
    """NumPy's result as CuPy's, which has no scalars."""
    if isinstance(result, (numpy.ndarray, numpy.generic)):
        return numpy.asarray(result).view(ndarray)
    if isinstance(result, tuple):
        items = [_wrapped(r) for r in result]
        return type(result)(*items) if hasattr(result, "_fields") else tuple(items)
    return result


class _Functions(types.ModuleType):
    """A module of NumPy's, by CuPy's name."""

    def __init__(self, module: Any, name: str):
        super().__init__(name)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return _as_cupy(getattr(self._module, name))


def _as_cupy(found: Any) -> Any:
    if isinstance(found, types.ModuleType):
        return _Functions(found, found.__name__.replace("numpy", "cupy", 1))
    if callable(found) and not isinstance(found, (type, numpy.ufunc)):
        return lambda *arguments, **keywords: _wrapped(found(*arguments, **keywords))
    return found


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _as_cupy(getattr(numpy, name))


def asnumpy(array: Any) -> numpy.ndarray:
    """On the host."""
    return numpy.array(array, subok=False)


def asarray(array: Any, dtype: Any = None) -> ndarray:
    """An array of the host's, copied to the device; one of the device's as it is."""
    if isinstance(array, ndarray):
        return array if dtype is None else array.astype(dtype)
    if hasattr(array, "__cuda_array_interface__"):
        return _interfaced(array, array.__cuda_array_interface__)
    given = numpy.asarray(array, dtype)
    result = ndarray(given.shape, given.dtype)
    result[...] = given
    return result


def _interfaced(owner: Any, interface: dict[str, Any]) -> ndarray:
    """Another library's array, by its __cuda_array_interface__."""
    shape, (address, _) = interface["shape"], interface["data"]
    dtype = numpy.dtype(interface["typestr"])
    memory = cuda.UnownedMemory(address, 0, owner)
    return ndarray(shape, dtype, MemoryPointer(memory, 0), interface["strides"])


def from_dlpack(other: Any) -> ndarray:
    """Another library's array, without copying."""
    kind, device = other.__dlpack_device__()
    if kind != _dlpack.CUDA:
        raise ValueError(f"cannot import from device type {kind}")
    with cuda.Device(device):
        return _dlpack.imported(other.__dlpack__(stream=1), ndarray)
