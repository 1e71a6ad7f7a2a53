"""DLPack capsules by ctypes."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy

CUDA = 2
CODES = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}
NAMES = {code: kind for kind, code in CODES.items()}


class Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class Managed(ctypes.Structure):
    """DLManagedTensor."""


DELETER = ctypes.CFUNCTYPE(None, ctypes.POINTER(Managed))
Managed._fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", DELETER)]

_api = ctypes.pythonapi
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_void_p]
_USED = ctypes.create_string_buffer(b"used_dltensor")

# What was exported lives until its deleter is called.
exported: dict[int, Any] = {}


@DELETER
def _delete(managed: Any) -> None:
    exported.pop(ctypes.addressof(managed.contents))


_NAME = ctypes.create_string_buffer(b"dltensor")


def capsule(array: Any) -> Any:
    """An array for others to use."""
    shape = (ctypes.c_int64 * max(array.ndim, 1))(*array.shape)
    strides = (ctypes.c_int64 * max(array.ndim, 1))(*(s // array.itemsize for s in array.strides))
    managed = Managed()
    tensor = managed.tensor
    tensor.data, tensor.ndim = array.ctypes.data, array.ndim
    tensor.device_type, tensor.device_id = CUDA, array.device.id
    tensor.code, tensor.bits, tensor.lanes = CODES[array.dtype.kind], array.itemsize * 8, 1
    tensor.shape, tensor.strides = shape, strides
    managed.deleter = _delete
    # The memory stays, but not the array that holds it open.
    exported[ctypes.addressof(managed)] = (managed, shape, strides, array.base._owner)
    return _api.PyCapsule_New(ctypes.addressof(managed), ctypes.addressof(_NAME), None)


def imported(given: Any, cls: Any) -> Any:
    """An array on what another library exported."""
    from cupy.cuda.memory import MemoryPointer, UnownedMemory

    address = _api.PyCapsule_GetPointer(given, b"dltensor")
    managed = Managed.from_address(address)
    tensor = managed.tensor
    dtype = numpy.dtype(f"{NAMES[tensor.code]}{tensor.bits // 8}")
    shape = [tensor.shape[d] for d in range(tensor.ndim)]
    strides = [tensor.strides[d] * dtype.itemsize for d in range(tensor.ndim)]
    memory = UnownedMemory(tensor.data + tensor.byte_offset, 0, None)
    _api.PyCapsule_SetName(given, ctypes.addressof(_USED))
    weakref.finalize(memory, managed.deleter, ctypes.pointer(managed))
    return cls(shape, dtype, MemoryPointer(memory, 0), strides)
