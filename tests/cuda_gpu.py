"""The kernels' tests on a real GPU: ALT_CUDA_TESTS=gpu, as tools/gpu_check sets it.

The tests hand over tensors on the CPU. Their memory is copied to the device, addresses in the
arguments (and in tables of addresses) are replaced by the copies', and what the kernel wrote is
copied back: bytes around outputs too, so that what a kernel wrote beside them is still seen.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch


class Memory(Protocol):
    """Where copies go: the device's memory, or a second place on the host, in a test of this."""

    def allocate(self, size: int) -> int: ...

    def free(self, address: int) -> None: ...

    def copy(self, to: int, source: int, size: int) -> None: ...


def _storages(tensors: Iterable[torch.Tensor]) -> dict[int, torch.UntypedStorage]:
    storages = (t.untyped_storage() for t in tensors)
    return {s.data_ptr(): s for s in storages if s.nbytes() > 0}


def _replaced(words: Any, copies: Sequence[tuple[int, int, int]]) -> None:
    """Addresses within (start, size, copy) become addresses within the copy."""
    for i, word in enumerate(words):
        for start, size, copy in copies:
            if start <= word < start + size:
                words[i] = copy + (word - start)


def launch_on_copies(
    memory: Memory,
    arguments: ctypes.Structure,
    tensors: Sequence[torch.Tensor],
    tables: Sequence[torch.Tensor],
    run: Callable[[ctypes.Structure], None],
) -> None:
    """Calls `run` with arguments whose addresses are those of copies, and copies back.

    `tables` are tensors of int64 that hold addresses themselves; kernels only read them.
    """
    found = _storages(tensors)
    copies = [(at, s.nbytes(), memory.allocate(s.nbytes())) for at, s in found.items()]
    try:
        for at, size, copy in copies:
            memory.copy(copy, at, size)
        translated = [t.clone() for t in tables]
        for table, clone in zip(tables, translated, strict=True):
            _replaced((ctypes.c_uint64 * clone.numel()).from_address(clone.data_ptr()), copies)
            copy = next(c for at, _, c in copies if at == table.untyped_storage().data_ptr())
            memory.copy(copy, clone.data_ptr(), clone.nbytes)
        given = type(arguments).from_buffer_copy(arguments)
        words = (ctypes.c_uint64 * (ctypes.sizeof(given) // 8)).from_buffer(given)
        _replaced(words, copies)
        run(given)
        read_only = {t.untyped_storage().data_ptr() for t in tables}
        for at, size, copy in copies:
            if at not in read_only:
                memory.copy(at, copy, size)
    finally:
        for _, _, copy in copies:
            memory.free(copy)


class Gpu:
    """The first GPU, through CuPy; a kernel's source stands for its library."""

    def __init__(self) -> None:
        from cupy.cuda import runtime

        from altbackend.cuda import device

        device.count()
        self.runtime = runtime

    def allocate(self, size: int) -> int:
        return self.runtime.malloc(size)

    def free(self, address: int) -> None:
        self.runtime.free(address)

    def copy(self, to: int, source: int, size: int) -> None:
        self.runtime.memcpy(to, source, size, self.runtime.memcpyDefault)

    def launch(
        self,
        source: str,
        name: str,
        arguments: ctypes.Structure,
        dims: Sequence[int],
        tensors: Sequence[torch.Tensor],
        tables: Sequence[torch.Tensor],
    ) -> None:
        """Runs one kernel; what it reports is raised, as the runtime would."""
        from cupy.cuda import driver

        from altbackend.cuda import failure, module

        handle = module.load(f"tests' {name}", source, 0).get_function(name).ptr

        def run(given: ctypes.Structure) -> None:
            parameters = (ctypes.c_void_p * 1)(ctypes.addressof(given))
            driver.launchKernel(handle, *dims, 0, 0, ctypes.addressof(parameters), 0)
            self.runtime.deviceSynchronize()

        launch_on_copies(self, arguments, tensors, tables, run)
        failure.check(failure.record(0))


def nested(tensors: Iterable[Any]) -> list[torch.Tensor]:
    """The tensors among tensors, Guardeds and Nones; of a Guarded, with the bytes around it."""
    lists = ([getattr(t, "bytes", t)] for t in tensors if t is not None)
    return list(itertools.chain.from_iterable(lists))
