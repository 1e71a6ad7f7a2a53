"""cupy.cuda.function: modules and their kernels' handles."""

from __future__ import annotations

import ctypes
import hashlib
import os
from types import SimpleNamespace

from cuda_compiler import BUILD

from cupy.cuda import driver, runtime


class Module:
    """A loaded module. Each device has a copy of its library, as its variables are its own."""

    def __init__(self) -> None:
        self.ptr = ctypes.c_void_p()

    def load(self, code: bytes) -> None:
        """Loads what the simulated NVRTC made."""
        digest = hashlib.sha256(code).hexdigest()[:32]
        path = BUILD / f"loaded-{digest}-{runtime.getDevice()}.so"
        if not path.exists():
            temporary = path.with_suffix(f".{os.getpid()}.so")
            temporary.write_bytes(code)
            os.replace(temporary, path)
        path_bytes = str(path).encode()
        driver.check(driver.library.simulation_load(ctypes.byref(self.ptr), path_bytes))

    def get_function(self, name: str) -> SimpleNamespace:
        """A kernel; `ptr` is its handle."""
        handle = ctypes.c_void_p()
        find = driver.library.cuModuleGetFunction
        driver.check(find(ctypes.byref(handle), self.ptr, name.encode()))
        return SimpleNamespace(ptr=handle.value)

    def get_global_var(self, name: str) -> SimpleNamespace:
        """A variable; `ptr` is its address."""
        address = ctypes.c_uint64()
        find = driver.library.cuModuleGetGlobal_v2
        driver.check(find(ctypes.byref(address), None, self.ptr, name.encode()))
        return SimpleNamespace(ptr=address.value)
