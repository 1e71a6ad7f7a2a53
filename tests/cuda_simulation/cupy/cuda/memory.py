"""cupy.cuda.memory: the pool, which keeps what is given back until free_all_blocks."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

from cupy.cuda import driver, runtime


class OutOfMemoryError(MemoryError):
    """The device has no more."""


class UnownedMemory:
    """Memory that somebody else owns."""

    def __init__(self, ptr: int, size: int, owner: Any, device_id: int = -1):
        self.ptr = ptr
        self.size = size
        self.owner = owner


class MemoryPointer:
    """An address in memory, which it keeps."""

    def __init__(self, mem: Any, offset: int):
        self.mem = mem
        self.ptr = mem.ptr + offset
        self._offset = offset

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self._offset + offset)


class _Memory(UnownedMemory):
    """A piece of the pool's."""


class MemoryPool:
    """Free pieces by device and size."""

    def __init__(self) -> None:
        self._free: dict[tuple[int, int], list[int]] = {}

    def malloc(self, size: int) -> MemoryPointer:
        """Memory of the current device."""
        device = runtime.getDevice()
        pieces = self._free.get((device, size))
        if pieces:
            address = pieces.pop()
        else:
            found = ctypes.c_uint64()
            status = driver.library.cuMemAlloc_v2(ctypes.byref(found), ctypes.c_size_t(size))
            if status == 2:
                raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes")
            driver.check(status)
            address = found.value
        memory = _Memory(address, size, self)
        weakref.finalize(memory, self._give_back, device, size, address)
        return MemoryPointer(memory, 0)

    def _give_back(self, device: int, size: int, address: int) -> None:
        self._free.setdefault((device, size), []).append(address)

    def free_all_blocks(self) -> None:
        """Gives the current device's free pieces back to the driver."""
        device = runtime.getDevice()
        for key in [k for k in self._free if k[0] == device]:
            for address in self._free.pop(key):
                driver.check(driver.library.cuMemFree_v2(ctypes.c_uint64(address)))

    def free_bytes(self) -> int:
        """What is kept, of all devices."""
        return sum(size * len(pieces) for (_, size), pieces in self._free.items())


_pool = MemoryPool()


def get_default_memory_pool() -> MemoryPool:
    """What arrays take their memory from."""
    return _pool


def alloc(size: int) -> MemoryPointer:
    """Memory of the pool."""
    return _pool.malloc(size)


def pinned(size: int) -> UnownedMemory:
    """Pinned memory on the host; never freed."""
    found = ctypes.c_void_p()
    driver.check(driver.library.cuMemHostAlloc(ctypes.byref(found), ctypes.c_size_t(size), 0))
    return UnownedMemory(found.value or 0, size, None)
