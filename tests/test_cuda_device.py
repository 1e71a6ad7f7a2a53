"""Where the CUDA engine cannot run, one line says why and what to do. CuPy is played here."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from altbackend.cuda import device
from altbackend.cuda.errors import CudaError


def play(
    monkeypatch: Any, *, toolkit: int, driver: int, nvrtc: tuple[int, int], devices: Any
) -> None:
    """Puts a CuPy of these versions in place of the real one."""

    def count() -> int:
        if isinstance(devices, Exception):
            raise devices
        return devices

    cuda: Any = types.ModuleType("cupy.cuda")
    cuda.nvrtc = types.SimpleNamespace(getVersion=lambda: nvrtc)
    cuda.runtime = types.SimpleNamespace(
        runtimeGetVersion=lambda: toolkit, driverGetVersion=lambda: driver, getDeviceCount=count
    )
    monkeypatch.setitem(sys.modules, "cupy", types.ModuleType("cupy"))
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)


REFUSED = [
    ((12090, 0, (12, 9), 0), "no NVIDIA driver is loaded"),
    (
        (13000, 12040, (13, 0), 1),
        r"built for CUDA 13.0, but the driver knows CUDA 12.4; .*altbackend\[cuda12\]",
    ),
    (
        (12090, 12090, (13, 0), 1),
        "CuPy is built for CUDA 12, but finds the NVRTC of CUDA 13.0; install the cupy-cuda13x",
    ),
    ((12090, 12090, (12, 9), 0), "finds no GPU"),
    (
        (12090, 12090, (12, 9), RuntimeError("cudaErrorNoDevice: no CUDA-capable device\nmore")),
        "finds no GPU: cudaErrorNoDevice: no CUDA-capable device$",
    ),
]


@pytest.mark.parametrize(("found", "text"), REFUSED)
def test_refusal(monkeypatch, found: tuple, text: str) -> None:
    toolkit, driver, nvrtc, devices = found
    play(monkeypatch, toolkit=toolkit, driver=driver, nvrtc=nvrtc, devices=devices)
    with pytest.raises(CudaError, match=text) as error:
        device.count()
    assert "\n" not in str(error.value)


def test_a_driver_newer_than_cupy_serves(monkeypatch) -> None:
    play(monkeypatch, toolkit=12090, driver=13000, nvrtc=(12, 9), devices=2)
    assert device.count() == 2


def test_this_machine() -> None:
    """With the real CuPy: GPUs, or one line."""
    try:
        assert device.count() > 0
    except CudaError as error:
        assert "\n" not in str(error)
