"""Memory of GPUs: blocks, streams, limits, pinned memory, and arrays shared with CuPy.

On simulated GPUs (tests/cuda_engine.py), where an event is over at once, unless
``simulation_hold(1)`` keeps it open.
"""

from __future__ import annotations

from cuda_engine import on_cuda, simulated

MIB = 1 << 20


@simulated
def test_statistics_and_reuse() -> None:
    code = """
        import torch
        alt = torch.alt
        empty = lambda n: torch.empty(n, dtype=torch.uint8, device="alt")

        a, b = empty(1000), empty(3 << 20)
        print(alt.memory_allocated(), alt.memory_reserved())
        assert a.data_ptr() % 512 == 0 and b.data_ptr() % 512 == 0
        stats = alt.memory_stats()
        print([stats[f"{k}.all.current"] for k in ("allocation", "segment", "requested_bytes")])
        print(stats["allocated_bytes.small_pool.current"], stats["segment.large_pool.current"])

        where = a.data_ptr()
        del a
        c = empty(900)
        assert c.data_ptr() == where  # at once: whoever used it is on the same stream
        d = empty(100)
        assert d.data_ptr() == where + 1024
        del b, c, d
        assert alt.memory_allocated() == 0 and alt.memory_stats()["inactive_split.all.current"] == 0
        alt.empty_cache()
        assert alt.memory_reserved() == 0 and alt.memory_stats()["segment.all.current"] == 0
        assert alt.memory_stats()["allocation.all.peak"] == 3
        import cupy
        assert cupy.get_default_memory_pool().free_bytes() == 0
    """
    assert on_cuda(code).splitlines() == [
        f"{1024 + 3 * MIB} {34 * MIB}",
        f"[2, 2, {1000 + 3 * MIB}]",
        "1024 1",
    ]


@simulated
def test_zero_bytes_and_devices_of_their_own() -> None:
    code = """
        import torch
        torch.empty(0, device="alt")
        x = torch.empty(5, device="alt:1")
        assert torch.alt.memory_allocated(0) == 0 and torch.alt.memory_allocated(1) == 512
        assert torch.alt.current_device() == 0
        storage = x.untyped_storage()
        storage.resize_(4 << 20)
        assert torch.alt.memory_allocated(1) == 4 << 20
    """
    on_cuda(code)


def test_each_stream_has_its_own_free_blocks() -> None:
    code = """
        import torch
        empty = lambda: torch.empty(4096, dtype=torch.uint8, device="alt")
        side = torch.alt.Stream()
        a = empty()
        where = a.data_ptr()
        del a
        with torch.alt.stream(side):
            b = empty()
            assert b.data_ptr() != where
            there = b.data_ptr()
        del b  # whichever stream is current now
        assert empty().data_ptr() == where
        with torch.alt.stream(side):
            assert empty().data_ptr() == there
        torch.alt.empty_cache()
        assert torch.alt.memory_reserved() == 0
    """
    on_cuda(code)


def test_another_streams_block_before_running_out() -> None:
    code = """
        import torch
        empty = lambda: torch.empty(3 << 20, dtype=torch.uint8, device="alt")
        a = empty()
        where = a.data_ptr()
        del a
        with torch.alt.stream(torch.alt.Stream()):
            assert empty().data_ptr() == where
    """
    on_cuda(code, ALT_MEMORY_LIMIT="32M")


@simulated
def test_record_stream_keeps_a_block_until_that_stream_is_done() -> None:
    code = """
        import torch
        from simulation import driver
        empty = lambda: torch.empty(4096, dtype=torch.uint8, device="alt")
        side = torch.alt.Stream()
        a = empty()
        where = a.data_ptr()
        a.record_stream(side)
        driver.simulation_hold(1)
        del a
        assert torch.alt.memory_allocated() == 0
        assert torch.alt.memory_stats()["active_bytes.all.current"] == 4096
        b = empty()
        assert b.data_ptr() != where
        driver.simulation_hold(0)
        c = empty()
        assert c.data_ptr() == where
        assert torch.alt.memory_stats()["active_bytes.all.current"] == 8192

        c.record_stream(side)
        driver.simulation_hold(1)
        del b, c
        torch.alt.empty_cache()  # waits
        assert torch.alt.memory_reserved() == 0
    """
    on_cuda(code)


OUT_OF_MEMORY = """
    import torch
    held = torch.empty(100 << 20, dtype=torch.uint8, device="alt")
    cached = torch.empty(90 << 20, dtype=torch.uint8, device="alt")
    del cached
    fits = torch.empty(110 << 20, dtype=torch.uint8, device="alt")  # in what the cache gives back
    try:
        torch.empty(100 << 20, dtype=torch.uint8, device="alt")
    except torch.OutOfMemoryError as error:
        print(error)
    stats = torch.alt.memory_stats()
    print(stats["num_ooms"], stats["num_alloc_retries"], torch.alt.memory_reserved() >> 20)
    torch.empty(10 << 20, dtype=torch.uint8, device="alt")
"""


@simulated
def test_out_of_memory() -> None:
    message, counts = on_cuda(OUT_OF_MEMORY, ALT_SIMULATED_MEMORY=str(256 * MIB)).splitlines()
    assert message == (
        "alt out of memory. Tried to allocate 100.00 MiB. alt:0 has a total capacity of 256.00 MiB "
        "of which 46.00 MiB is free. 210.00 MiB is allocated by PyTorch, and 0 bytes is reserved "
        "but unallocated."
    )
    assert counts == "1 2 210"


@simulated
def test_out_of_memory_at_the_limit() -> None:
    message, counts = on_cuda(OUT_OF_MEMORY, ALT_MEMORY_LIMIT="256M").splitlines()
    assert message.startswith("alt out of memory. Tried to allocate 100.00 MiB.")
    assert message.endswith("It may take 256.00 MiB.")
    assert counts == "1 2 210"


def test_a_size_that_no_gpu_has() -> None:
    code = """
        import torch
        try:
            torch.empty(1 << 60, dtype=torch.uint8, device="alt")
        except torch.OutOfMemoryError:
            print("out of memory")
    """
    assert on_cuda(code) == "out of memory"


def test_threads_allocate_and_free_what_others_made() -> None:
    code = """
        import random, threading, torch
        made, lock = [], threading.Lock()

        def work(seed):
            draw = random.Random(seed)
            for _ in range(400):
                x = torch.empty(draw.choice((10, 4000, 2 << 20)), dtype=torch.uint8, device="alt")
                with lock:
                    made.append(x)
                    if len(made) > 20:
                        made.pop(draw.randrange(len(made)))
                if draw.random() < 0.02:
                    torch.alt.empty_cache()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in threads: t.start()
        for t in threads: t.join()
        spans = sorted((x.data_ptr(), x.nbytes) for x in made)
        assert all(a + n <= b for (a, n), (b, _) in zip(spans, spans[1:]))
        del x, spans
        made.clear()
        assert torch.alt.memory_allocated() == 0
        torch.alt.empty_cache()
        assert torch.alt.memory_reserved() == 0
    """
    on_cuda(code.replace("del x, spans", "del spans"))


def test_pinned_memory() -> None:
    code = """
        import torch
        from simulation import driver
        a = torch.empty(1000, dtype=torch.uint8, pin_memory=True)
        assert a.is_pinned() and not torch.empty(3).is_pinned()
        assert a[10:].is_pinned()
        where = a.data_ptr()
        a.fill_(3)
        del a
        b = torch.empty(900, dtype=torch.uint8, pin_memory=True)
        assert b.data_ptr() == where  # kept, since pinning is slow
        c = torch.ones(5).pin_memory()
        assert c.is_pinned() and c.sum() == 5 and c.device.type == "cpu"
        assert not torch.empty(0, pin_memory=True).is_pinned()
    """
    on_cuda(code)


def test_resize_keeps_what_was_there() -> None:
    code = """
        import cupy, torch
        x = torch.empty(4, device="alt")
        cupy.from_dlpack(x)[...] = 7
        x.untyped_storage().resize_(4 << 20)
        assert cupy.from_dlpack(x).tolist() == [7, 7, 7, 7]
    """
    on_cuda(code)


# ---- DLPack ----


@simulated
def test_arrays_are_shared_with_cupy() -> None:
    code = """
        import cupy, torch
        x = torch.empty(3, 4, device="alt:1").t()
        array = cupy.from_dlpack(x)
        assert array.shape == (4, 3) and array.strides == (4, 16)
        assert array.data.ptr == x.data_ptr() and array.device.id == 1
        array[...] = cupy.arange(12).reshape(4, 3)
        assert cupy.from_dlpack(x[1:]).tolist()[0] == [3, 4, 5]

        made = cupy.asarray([[1.5, 2.5]], dtype="float64")
        y = torch.alt.from_dlpack(made)
        assert y.device == torch.device("alt:0") and y.dtype == torch.float64
        assert y.shape == (1, 2) and y.data_ptr() == made.data.ptr
        from cupy import _dlpack
        assert len(_dlpack.exported) == 1
        where = y.data_ptr()
        del made
        assert cupy.from_dlpack(y).tolist() == [[1.5, 2.5]]
        view = y[0, 1:]
        del y
        assert cupy.from_dlpack(view).tolist() == [2.5]
        del view
        assert not _dlpack.exported  # CuPy has its memory back

        held = torch.alt.memory_allocated(1)
        del x
        assert torch.alt.memory_allocated(1) == held  # the array still uses it
        del array
        assert torch.alt.memory_allocated(1) == 0
    """
    on_cuda(code)


@simulated
def test_the_cuda_array_interface_shares_memory() -> None:
    code = """
        import cupy, torch
        whole = torch.zeros(3, 4, device="alt:1")
        x = whole.t()[1:]
        interface = x.__cuda_array_interface__
        assert interface == {
            "typestr": "<f4", "shape": (3, 3), "strides": (4, 16), "data": (x.data_ptr(), False),
            "version": 2,
        }
        array = cupy.asarray(x)
        assert array.data.ptr == x.data_ptr() and array.device.id == 1
        array[...] = 7
        del array
        assert whole.tolist() == [[0, 7, 7, 7]] * 3
        assert whole.__cuda_array_interface__["strides"] is None
        assert torch.empty(0, device="alt").__cuda_array_interface__["data"] == (0, False)
        for dtype, text in (
            (torch.bool, "|b1"), (torch.uint8, "|u1"), (torch.int16, "<i2"), (torch.half, "<f2"),
            (torch.uint64, "<u8"), (torch.complex64, "<c8"), (torch.bfloat16, "<V2"),
        ):
            t = torch.empty(1, dtype=dtype, device="alt")
            assert t.__cuda_array_interface__["typestr"] == text
        held = torch.alt.memory_allocated(1)
        array = cupy.asarray(whole)
        del whole, x
        assert torch.alt.memory_allocated(1) == held  # the array still uses it
        del array
        assert torch.alt.memory_allocated(1) == 0
        for refused in (
            torch.ones(2), torch.empty(2, device="alt", requires_grad=True),
            torch.empty(2, dtype=torch.complex64, device="alt").conj(),
        ):
            try:
                refused.__cuda_array_interface__
            except (AttributeError, RuntimeError) as error:
                print(type(error).__name__, error)
    """
    lines = on_cuda(code).splitlines()
    assert [line.split()[0] for line in lines] == ["AttributeError", "RuntimeError", "RuntimeError"]
    assert "non-CUDA tensor" in lines[0] and "requires grad" in lines[1] and "conj" in lines[2]


def test_the_host_engine_has_no_cuda_array_interface() -> None:
    code = """
        import torch
        print(hasattr(torch.empty(2, device="alt"), "__cuda_array_interface__"))
    """
    assert on_cuda(code, ALT_ENGINE="host") == "False"


def test_what_dlpack_refuses() -> None:
    code = """
        import numpy, torch
        x = torch.empty(2, device="alt")
        attempts = [
            lambda: torch.alt.from_dlpack(numpy.ones(2)),
            lambda: torch.alt.from_dlpack(torch.ones(2)),
            lambda: x.clone if x.requires_grad_().__dlpack__() else 0,
            lambda: x.detach().__dlpack__(stream=2),
            lambda: x.detach().__dlpack__(stream="1"),
            lambda: x.detach().__dlpack__(dl_device=(1, 0)),
        ]
        for attempt in attempts:
            try:
                attempt()
            except (BufferError, TypeError) as error:
                print(type(error).__name__, error)
        assert torch.ones(2).__dlpack_device__()[0] == 1
    """
    assert on_cuda(code).splitlines() == [
        "BufferError the array lies on device type 1, not in a GPU's memory",
        "BufferError the array lies on device type 1, not in a GPU's memory",
        "BufferError Can't export tensors that require gradient, use tensor.detach()",
        "BufferError unsupported stream: 2",
        "TypeError stream must be ``int`` or ``none``",
        "BufferError a tensor on alt:0 cannot be exported to device (1, 0)",
    ]


def test_on_the_host_dlpack_is_as_it_was() -> None:
    code = """
        import numpy, torch
        try:
            torch.alt.from_dlpack(numpy.ones(2))
        except BufferError as error:
            print(error)
        try:
            torch.empty(2, device="alt").__dlpack_device__()
        except ValueError as error:
            print(error)
    """
    assert on_cuda(code, ALT_ENGINE="host").splitlines() == [
        "the array lies on device type 1, not in a GPU's memory",
        "Unknown device type alt for Dlpack",
    ]


# ---- copies, by operators ----


def test_copies_between_everywhere() -> None:
    code = """
        import torch
        values = torch.arange(5.0)
        x = values.to("alt")
        assert x[3].item() == 3 and torch.equal(x.cpu(), values)
        pinned = values.pin_memory()
        y = pinned.to("alt", non_blocking=True)
        back = torch.empty(5, pin_memory=True)
        back.copy_(y, non_blocking=True)
        torch.alt.synchronize()
        assert torch.equal(back, values)
        x.untyped_storage().resize_(4 << 20)
        assert torch.equal(x.cpu(), values)
        if torch.alt.device_count() > 1:
            other = x.to("alt:1")
            assert other.device.index == 1 and torch.alt.current_device() == 0
            assert torch.equal(other.cpu(), values)
            with torch.alt.stream(torch.alt.Stream("alt:1")):
                assert torch.equal(other.to("alt:0").cpu(), values)
    """
    on_cuda(code)


def test_memory_that_goes_through_pickle_and_a_loader() -> None:
    code = """
        import io, torch
        from torch.utils.data import DataLoader, TensorDataset
        held = torch.empty(3, device="alt")  # CUDA has started when the worker is forked
        file = io.BytesIO()
        torch.save(torch.arange(3.0).to("alt"), file)
        file.seek(0)
        loaded = torch.load(file)
        assert loaded.device.type == "alt" and loaded.tolist() == [0, 1, 2]
        loader = DataLoader(
            TensorDataset(torch.arange(8)), batch_size=4, pin_memory=True, num_workers=1
        )
        for i, (batch,) in enumerate(loader):
            assert batch.is_pinned()
            assert batch.to("alt", non_blocking=True)[0].item() == 4 * i
    """
    on_cuda(code)
