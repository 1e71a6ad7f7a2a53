"""LAPACK and BLAS of libtorch_cpu on a simulated GPU's memory: what plays cuSOLVER and cuBLAS."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import torch
from cupy.cuda import driver

TRANSPOSES, SIDES, TRIANGLES, DIAGONALS = "NTC", "LR", "LU", "NU"
ITEM_SIZES = {"s": 4, "d": 8, "c": 8, "z": 16}

_library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))


def call(name: str, *arguments: Any) -> int:
    """A routine whose letters and numbers come as such, and addresses as `at` makes them; its
    last argument, `info`, is added and returned."""
    info = ctypes.c_int()
    run(name, *arguments, ctypes.byref(info))
    return info.value


def run(name: str, *arguments: Any) -> None:
    """The same of a routine without `info`."""
    given: list[Any] = []
    for argument in arguments:
        if isinstance(argument, str):
            given.append(ctypes.c_char_p(argument.encode()))
        elif isinstance(argument, int):
            given.append(ctypes.byref(ctypes.c_int(argument)))
        else:
            given.append(argument)
    driver.library.simulation_open(1)
    getattr(_library, f"{name}_")(*given)
    driver.library.simulation_open(0)


def at(address: int) -> ctypes.c_void_p:
    """Memory at an address."""
    return ctypes.c_void_p(address)


def room(letter: str, count: int) -> ctypes.Array:
    """Memory on the host for so many numbers."""
    return ctypes.create_string_buffer(max(1, count) * ITEM_SIZES[letter])


def put(address: int, values: list[int]) -> None:
    """Numbers of 32 bits to device memory."""
    driver.library.simulation_open(1)
    (ctypes.c_int * len(values)).from_address(address)[:] = values
    driver.library.simulation_open(0)


def addresses(table: int, count: int) -> list[int]:
    """What a table in device memory holds."""
    driver.library.simulation_open(1)
    found = list((ctypes.c_uint64 * count).from_address(table))
    driver.library.simulation_open(0)
    return found
