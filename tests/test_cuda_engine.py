"""The engine's choice, streams, events and bad input, on simulated GPUs (tests/cuda_engine.py)."""

from __future__ import annotations

import ast
import functools
import os
import re
from pathlib import Path

import pytest
from cuda_engine import SIMULATION, cuda_process, environment, on_cuda, simulated
from python_process import output, python_code

INDEX_KERNEL = """
import ctypes
import torch
from altbackend import _C
from altbackend.cuda import failure, module
from cupy.cuda import driver, Device

SOURCE = '''
#include "loops/kernel.cuh"
#include "loops/arguments.h"
#include "loops/failure.cuh"
ALT_KERNEL(refuse, alt::KernelArgs) {
  if (threadIdx.x == arguments.integers[0]) {
    alt::fail(alt::FailureKind::kIndexOutOfRange, arguments.integers[1], arguments.integers[2]);
  }
}
'''

def refuse(device, *integers):
    from altbackend.cuda import arguments
    given = arguments.kernel([], integers)
    handle = module.load("refuse", SOURCE, device).get_function("refuse").ptr
    parameters = (ctypes.c_void_p * 1)(ctypes.addressof(given))
    with Device(device):
        driver.launchKernel(handle, 1, 1, 1, 32, 1, 1, 0, 0, ctypes.addressof(parameters), 0)
"""


@simulated
def test_the_gpus_are_the_devices() -> None:
    code = """
        import torch
        alt = torch.alt
        print(alt.device_count(), alt.get_device_name(1), alt.get_device_capability())
        properties = alt.get_device_properties(0)
        print(properties.engine, properties.warp_size, properties.total_memory)
        print(alt.can_device_access_peer(0, 1), alt.can_device_access_peer(1, 1))
        x = torch.empty(2, device="alt:1")
        print(x.device, alt.device_count())
    """
    assert on_cuda(code).splitlines() == [
        "2 Simulated GPU 1 (alt) (9, 0)",
        f"cuda 32 {4 << 30}",
        "True False",
        "alt:1 2",
    ]


@simulated
def test_fewer_devices_on_request() -> None:
    code = "import torch; print(torch.alt.device_count())"
    assert on_cuda(code, ALT_DEVICE_COUNT="1") == "1"
    assert on_cuda(code, ALT_DEVICE_COUNT="9") == "2"


@simulated
def test_the_engine_is_chosen_once() -> None:
    code = """
        import os
        import torch
        from altbackend import _C
        x = torch.ones(3, device="alt")
        os.environ["ALT_ENGINE"] = "host"
        print((x + torch.ones(3, device="alt")).tolist(), _C.engine()["name"])
        os.environ["ALT_ENGINE"] = "nonsense"
        print((x + x).tolist(), _C.engine()["name"])
    """
    assert on_cuda(code).splitlines() == ["[2.0, 2.0, 2.0] cuda"] * 2


ENGINE = "from altbackend import _C; print(_C.engine()['name'], '|', _C.engine()['reason'])"


def test_auto_takes_the_gpus() -> None:
    name, reason = on_cuda(ENGINE, ALT_ENGINE="auto").split(" | ")
    assert name == "cuda" and reason.startswith("CuPy ") and "driver for CUDA" in reason


def test_host_leaves_the_driver_alone() -> None:
    assert on_cuda(ENGINE, ALT_ENGINE="host") == "host | ALT_ENGINE=host"


REFUSED = {
    "no driver": (
        {"ALT_CUDA_DRIVER": "libcuda-of-nowhere.so"},
        "no NVIDIA driver is loaded; the CUDA engine needs one, and a GPU",
    ),
    "no GPU": ({"ALT_SIMULATED_DEVICES": "0"}, "CUDA finds no GPU"),
    "driver of CUDA 11": (
        {"ALT_SIMULATED_VERSION": "11040"},
        "the NVIDIA driver knows CUDA 11.4, and the engine needs CUDA 12.0; install a newer driver",
    ),
    "driver older than CuPy's toolkit": (
        {"ALT_SIMULATED_TOOLKIT": "13000", "ALT_SIMULATED_NVRTC": "13.0"},
        "CuPy is built for CUDA 13.0, but the driver knows CUDA 12.9; "
        "install a newer driver, or altbackend[cuda12]",
    ),
    "CuPy for another CUDA": (
        {"ALT_SIMULATED_TOOLKIT": "13000"},
        "CuPy is built for CUDA 13, but finds the NVRTC of CUDA 12.9; "
        "install the cupy-cuda12x or the NVRTC of CUDA 13",
    ),
    "no NVRTC": (
        {"ALT_SIMULATED_NVRTC": "missing"},
        "CuPy finds no NVRTC to compile kernels with (CuPy failed to load libnvrtc.so.12: cannot "
        "open shared object file); install nvidia-cuda-nvrtc-cu12 (or nvidia-cuda-nvrtc for CUDA "
        "13)",
    ),
    "driver that does not start": (
        {"ALT_SIMULATED_INIT": "804"},
        "CUDA does not start: CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE: as the simulated driver "
        "says",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
@simulated
def test_where_cuda_cannot_be(why: str) -> None:
    """`auto` computes on the host, and knows why in one line."""
    settings, reason = REFUSED[why]
    assert on_cuda(ENGINE, ALT_ENGINE="auto", **settings) == f"host | {reason}"


@simulated
def test_a_broken_cupy_leaves_the_host(tmp_path: Path) -> None:
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text("raise OSError('libcublas:\\n cut short')")
    paths = f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}"
    assert on_cuda(ENGINE, ALT_ENGINE="auto", PYTHONPATH=paths) == (
        "host | CuPy does not work here (OSError: libcublas: cut short); install it anew"
    )


@simulated
def test_cuda_asked_for_where_it_cannot_be() -> None:
    code = """
        import torch
        for _ in range(2):
            try:
                torch.ones(2, device="alt")
            except ValueError as error:
                print(error)
    """
    settings, reason = REFUSED["no NVRTC"]
    assert on_cuda(code, **settings).splitlines() == [f"ALT_ENGINE='cuda' cannot be: {reason}"] * 2


def test_importing_torch_starts_nothing() -> None:
    code = "import sys, torch; print('cupy' in sys.modules)"
    assert on_cuda(code) == "False"


@simulated
def test_info_on_the_host_says_why() -> None:
    code = "import sys; sys.argv[1:] = ['info']; from altbackend.__main__ import main; main()"
    text = output(python_code(code, ALT_CUDA_DRIVER="libcuda-of-nowhere.so"))
    assert "engine       host (no NVIDIA driver is loaded" in text


# ---- streams and events ----


@simulated
def test_streams_are_cudas() -> None:
    code = """
        import torch
        from simulation import driver
        main = torch.alt.current_stream()
        side = torch.alt.Stream()
        assert main.stream_id == 0 and side.stream_id != 0
        with torch.alt.stream(side):
            assert torch.alt.current_stream() == side
        assert torch.alt.current_stream() == main
        ids = {torch.alt.Stream().stream_id for _ in range(64)}
        assert len(ids) == 32  # a pool, as PyTorch's for CUDA
        assert torch.alt.Stream(priority=-1).stream_id not in ids
        assert torch.alt.Stream("alt:1").stream_id not in ids

        torch.empty(1, device="alt")
        driver.simulation_hold(1)
        begin, end = torch.alt.Event(enable_timing=True), torch.alt.Event(enable_timing=True)
        assert begin.query()
        begin.record(); end.record(side)
        assert not begin.query() and not side.query()
        end.synchronize()
        assert end.query()
        side.wait_event(begin)
        side.synchronize()
        torch.alt.synchronize()
        driver.simulation_hold(0)
        assert 0 <= begin.elapsed_time(end) < 1000
    """
    on_cuda(code)


@simulated
def test_events_of_two_devices() -> None:
    code = """
        import torch
        event = torch.alt.Event()
        event.record(torch.alt.current_stream("alt:1"))
        torch.alt.current_stream("alt:0").wait_event(event)
        event.synchronize()
        try:
            event.record(torch.alt.current_stream("alt:0"))
        except RuntimeError as error:
            print(error)
        from cupy.cuda import runtime
        print(runtime.getDevice())
    """
    assert on_cuda(code).splitlines() == [
        "Event device alt:1 does not match recording stream's device alt:0.",
        "0",
    ]


@simulated
def test_the_current_device_is_cupys() -> None:
    code = """
        import torch
        from cupy.cuda import runtime
        torch.empty(1, device="alt:1")
        torch.alt.synchronize(1)
        print(runtime.getDevice())
        torch.alt.set_device(1)
        print(runtime.getDevice())
        torch.alt.set_device(0)
        print(runtime.getDevice())
    """
    assert on_cuda(code).split() == ["0", "1", "0"]


# ---- bad input ----


@simulated
def test_bad_index_is_raised_at_the_next_synchronization() -> None:
    code = (
        INDEX_KERNEL
        + """
def attempt(wait):
    refuse(0, 3, 17, 5)
    try:
        wait()
    except IndexError as error:
        print(error)
    wait()  # raised once, and the device is as good as before

torch.empty(1, device="alt")
stream, event = torch.alt.current_stream(), torch.alt.Event()
event.record()
attempt(torch.alt.synchronize)
attempt(stream.synchronize)
attempt(event.synchronize)
refuse(1, 3, 17, 5)  # another device's, whose record is its own
torch.alt.synchronize(0)
try:
    torch.alt.synchronize(1)
except IndexError as error:
    print(error)
"""
    )
    lines = on_cuda(code).splitlines()
    assert lines == ["index 17 is out of bounds for a dimension of size 5"] * 4


@simulated
def test_a_kernel_that_does_not_compile_is_named() -> None:
    code = """
        import torch
        from altbackend.cuda import pointwise
        whole = pointwise.source
        pointwise.source = lambda key: whole(key) + "int broken = undeclared;\\n"
        x = torch.zeros(3, device="alt")
        try:
            torch.sigmoid(x)
        except Exception as error:
            print(type(error).__name__, error)
        pointwise.source = whole
        print(torch.sigmoid(x).tolist())
    """
    first, *more = on_cuda(code).splitlines()
    assert first.startswith("CompileError the kernel of sigmoid_stub(float32")
    assert "does not compile for sm_90" in first
    assert any("error" in line and "undeclared" in line for line in [first, *more])
    assert more[-1] == "[0.5, 0.5, 0.5]"


def test_a_forked_process_is_told() -> None:
    code = """
        import os, sys, torch
        x = torch.empty(4, device="alt")
        cpu = torch.ones(3)
        child = os.fork()
        if child == 0:
            torch.manual_seed(0)  # as a DataLoader's workers do
            assert (cpu + 1).sum() == 6
            empty = lambda: torch.empty(4, device="alt")
            for use in (empty, torch.alt.synchronize, torch.alt.Stream):
                try:
                    use()
                except RuntimeError as error:
                    print(error, flush=True)
            del x
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        torch.alt.synchronize()
        torch.empty(4, device="alt")
    """
    line = (
        "Cannot re-initialize alt in forked subprocess. To use alt with multiprocessing, "
        "you must use the 'spawn' start method"
    )
    assert on_cuda(code).splitlines() == [line] * 3


def test_a_process_forked_before_cuda_started_may_use_it() -> None:
    code = """
        import os, torch
        child = os.fork()
        if child == 0:
            os._exit(torch.empty(4, device="alt").numel())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
    """
    on_cuda(code)


@simulated
def test_the_simulation_sees_host_code_in_device_memory() -> None:
    code = """
        import ctypes, torch
        x = torch.empty(4, device="alt")
        ctypes.memset(x.data_ptr(), 0, 16)
    """
    done = cuda_process(code)
    assert done.returncode == -11 and "Segmentation fault" in done.stderr


# ---- the simulation itself ----

# What the rest of the simulation uses of it.
OF_ITS_OWN = {
    "cupy.cuda.driver": {"library", "check", "device_of"},
    "cupy.cuda.memory": {"get_default_memory_pool", "pinned"},
}


def test_the_played_cupy_offers_nothing_that_cupy_lacks() -> None:
    import cupy

    for path in SIMULATION.glob("cupy/**/*.py"):
        if path.name.startswith("_") and path.name != "__init__.py":
            continue
        parts = path.relative_to(SIMULATION).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        real = functools.reduce(getattr, name.split(".")[1:], cupy)
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
                continue
            if node.name in OF_ITS_OWN.get(name, ()):
                continue
            assert hasattr(real, node.name), f"{name}.{node.name}"
            for member in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(member, ast.FunctionDef) and not re.match("_[^_]", member.name):
                    assert hasattr(getattr(real, node.name), member.name), (node.name, member.name)
