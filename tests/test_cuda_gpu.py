"""How the kernels' tests reach a GPU: copies and addresses, with host memory as the device."""

from __future__ import annotations

import ctypes

import torch
from cuda_gpu import launch_on_copies, nested
from cuda_simulator import CANARY, Guarded

from altbackend.cuda import arguments


class Pretended:
    """A second place on the host."""

    def __init__(self) -> None:
        self.blocks: dict[int, ctypes.Array] = {}

    def allocate(self, size: int) -> int:
        block = ctypes.create_string_buffer(size)
        self.blocks[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def free(self, address: int) -> None:
        del self.blocks[address]

    def copy(self, to: int, source: int, size: int) -> None:
        ctypes.memmove(to, source, size)


def test_a_kernel_sees_copies_and_its_results_come_back() -> None:
    memory = Pretended()
    x = torch.arange(6, dtype=torch.float32)
    part = x[2:]  # an address inside of a storage
    output = Guarded((4,), torch.float32)
    table = torch.tensor([part.data_ptr(), 5])
    kernel = arguments.kernel(
        [arguments.tensor(t.data_ptr(), t.shape, t.stride()) for t in (output.tensor, table)],
        [7, x.data_ptr()],
    )

    def run(given: ctypes.Structure) -> None:
        assert given.integers[0] == 7
        words = (ctypes.c_int64 * 2).from_address(given.tensors[1].data)
        assert words[1] == 5
        assert words[0] == given.integers[1] + 8  # both point into the one copy of x
        assert given.integers[1] != x.data_ptr()
        ctypes.memmove(given.tensors[0].data, words[0], 16)
        ctypes.memset(given.integers[1], 0, 4)

    launch_on_copies(memory, kernel, nested([output, part, table, None]), [table], run)
    assert output.tensor.tolist() == [2, 3, 4, 5]
    output.check()
    assert x.tolist() == [0, 1, 2, 3, 4, 5]  # the zero was written over a zero
    assert table[0] == part.data_ptr()
    assert not memory.blocks

    def overruns(given: ctypes.Structure) -> None:
        ctypes.memset(given.tensors[0].data + 16, 0, 1)

    launch_on_copies(memory, kernel, nested([output, part, table]), [table], overruns)
    assert output.bytes[Guarded.EDGE + 16] != CANARY
