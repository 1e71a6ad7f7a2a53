"""A conformance worker whose `neg` has a kernel that reads past the end, for test_sanitizers.py."""

import ctypes
import dataclasses
import os
from typing import Any

import torch

from conformance.ops.context import Context
from conformance.ops.worker import SUITE
from conformance.suite.cells import main


def neg_and_one_more(x: torch.Tensor) -> torch.Tensor:
    """The kernel of the library that the test compiled, which looks at one element too many."""
    kernel = ctypes.CDLL(os.environ["ALT_TEST_KERNEL"]).neg
    kernel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long]
    result = torch.empty_like(x)
    kernel(x.data_ptr(), result.data_ptr(), x.numel())
    return result


class Spoiled(Context):
    """`neg`, with that kernel on alt."""

    def __init__(self, task: dict) -> None:
        super().__init__(task["entry"], task["dtype"], 3)
        sound = self.op

        class Op:
            def __getattr__(self, name: str) -> Any:
                return getattr(sound, name)

            @staticmethod
            def op(given: torch.Tensor) -> torch.Tensor:
                return neg_and_one_more(given) if given.device.type == "alt" else -given

        self.op = Op()


if __name__ == "__main__":
    main(dataclasses.replace(SUITE, context=Spoiled))
