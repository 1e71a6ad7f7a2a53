"""cupy.cuda.runtime: the current device is the one of the current context."""

from __future__ import annotations

import ctypes
import os

from cupy.cuda import driver

memcpyHostToDevice = 1
memcpyDeviceToHost = 2
memcpyDefault = 4

driver.check(driver.library.cuInit(0))
_contexts: list[int] = []
for _device in range(16):
    _context = ctypes.c_void_p()
    driver.check(driver.library.cuDevicePrimaryCtxRetain(ctypes.byref(_context), _device))
    _contexts.append(_context.value or 0)


def runtimeGetVersion() -> int:
    """CUDA that CuPy is built for; ALT_SIMULATED_TOOLKIT plays another."""
    return int(os.environ.get("ALT_SIMULATED_TOOLKIT", "12090"))


def driverGetVersion() -> int:
    """CUDA that the driver knows."""
    version = ctypes.c_int()
    driver.check(driver.library.cuDriverGetVersion(ctypes.byref(version)))
    return version.value


def getDeviceCount() -> int:
    """How many GPUs there are."""
    count = ctypes.c_int()
    driver.check(driver.library.cuDeviceGetCount(ctypes.byref(count)))
    return count.value


def getDevice() -> int:
    """The current device: the first, where the thread has no context."""
    context = ctypes.c_void_p()
    driver.check(driver.library.cuCtxGetCurrent(ctypes.byref(context)))
    if not context.value:
        setDevice(0)
        return 0
    return _contexts.index(context.value)


def setDevice(device: int) -> None:
    """Make a device the current one."""
    if not 0 <= device < getDeviceCount():
        raise driver.CUDADriverError(101)
    driver.check(driver.library.cuCtxSetCurrent(ctypes.c_void_p(_contexts[device])))


def deviceSynchronize() -> None:
    """Wait for the current device."""
    getDevice()
    driver.check(driver.library.cuCtxSynchronize())


def memcpy(to: int, source: int, size: int, kind: int) -> None:
    """A copy of bytes."""
    getDevice()
    copy = driver.library.cuMemcpy
    driver.check(copy(ctypes.c_uint64(to), ctypes.c_uint64(source), ctypes.c_size_t(size)))


def malloc(size: int) -> int:
    """Memory of the current device, past the pool."""
    getDevice()
    found = ctypes.c_uint64()
    driver.check(driver.library.cuMemAlloc_v2(ctypes.byref(found), ctypes.c_size_t(size)))
    return found.value


def free(address: int) -> None:
    """Gives it back."""
    driver.check(driver.library.cuMemFree_v2(ctypes.c_uint64(address)))
