"""torch.alt, the methods that tensors and modules get, and the type names of torch's first
years."""

import copy
import gc
import pickle
import threading

import pytest
import torch
from python_process import output, python, python_code

import altbackend
from altbackend import _C
from altbackend.alt import tensor_types


def test_names_that_torch_cuda_has_too_take_the_same_arguments() -> None:
    """A script that asks torch.cuda something asks torch.alt the same."""
    import inspect

    different = []
    for name in torch.alt.__all__:
        theirs, ours = getattr(torch.cuda, name, None), getattr(torch.alt, name)
        if not inspect.isfunction(theirs) or not inspect.isfunction(ours):
            continue
        want = [p.name for p in inspect.signature(theirs).parameters.values()]
        have = [p.name for p in inspect.signature(ours).parameters.values()]
        if have[: len(want)] != want:
            different.append((name, want, have))
    assert different == []


def test_everything_in_all_is_there() -> None:
    for name in torch.alt.__all__:
        assert getattr(torch.alt, name) is not None


def test_submodules_import_by_their_torch_names() -> None:
    code = """
        import torch
        import torch.alt.memory, torch.alt.random, torch.alt.amp
        from torch.alt.streams import Stream
        print(torch.alt.memory.memory_allocated() >= 0, Stream.__name__)
    """
    assert output(python_code(code)) == "True Stream"


# ---- devices ----


def test_device_facts() -> None:
    assert torch.alt.is_available() and torch.alt.is_initialized()
    assert torch.alt.device_count() >= 1
    assert torch.alt.current_device() == 0
    assert torch.alt.get_device_name() == torch.alt.get_device_properties().name
    properties = torch.alt.get_device_properties("alt:0")
    assert properties.total_memory == torch.alt.mem_get_info()[1] > 0
    assert properties.multi_processor_count == _C.num_threads() >= 1
    assert torch.alt.get_device_capability(torch.device("alt")) == (8, 0)
    assert torch.alt.is_bf16_supported()
    torch.alt.init()
    torch.alt.ipc_collect()
    torch.alt.synchronize()


def test_torch_accelerator_is_alt() -> None:
    assert torch.accelerator.current_accelerator() == torch.device("alt")
    assert torch.accelerator.is_available()
    assert torch.accelerator.device_count() == torch.alt.device_count()


def test_several_devices() -> None:
    code = """
        import torch
        print(torch.alt.device_count(), torch.alt.current_device())
        with torch.alt.device(1):
            print(torch.alt.current_device(), torch.ones(1, device="alt").device)
            with torch.alt.device(None):
                print(torch.alt.current_device())
        print(torch.alt.current_device())
        with torch.alt.device_of(torch.ones(1, device="alt:2")):
            print(torch.alt.current_device(), torch.ones(1).alt().device)
        torch.alt.set_device("alt:2")
        print(torch.alt.current_device(), torch.ones(1).alt(1).device)
        torch.alt.set_device(-1)
        print(torch.alt.current_device(), len(torch.alt.default_generators))
        print(torch.alt.can_device_access_peer(0, 1), torch.alt.can_device_access_peer(1, 1))
    """
    assert output(python_code(code, ALT_DEVICE_COUNT="3")).split("\n") == [
        "3 0",
        "1 alt:1",
        "1",
        "0",
        "2 alt:2",
        "2 alt:1",
        "2 3",
        "True False",
    ]


@pytest.mark.parametrize("device", ["alt:99", torch.device("alt:99"), 99])
def test_device_that_is_not_there(device) -> None:
    for function in (
        torch.alt.set_device,
        torch.alt.synchronize,
        torch.alt.get_device_properties,
        torch.alt.memory_allocated,
        torch.alt.get_rng_state,
        torch.alt.current_stream,
    ):
        with pytest.raises(RuntimeError, match="alt:99 is not there"):
            function(device)
    with pytest.raises(RuntimeError, match="alt:99"):
        with torch.alt.device(device):
            pass
    assert torch.alt.current_device() == 0


@pytest.mark.parametrize("device", ["cpu", torch.device("cuda:0"), 1.5, "meta"])
def test_device_of_another_kind(device) -> None:
    with pytest.raises(ValueError, match="Expected a"):
        torch.alt.memory_allocated(device)


# ---- methods ----


def test_tensor_methods() -> None:
    x = torch.arange(3.0)
    y = x.alt()
    assert y.is_alt and not x.is_alt and y.device == torch.device("alt:0")
    assert y.alt() is y
    assert y.cpu().tolist() == x.tolist()
    assert torch.arange(3.0).alt(0, non_blocking=True).is_alt


def test_module_and_packed_sequence_and_storage_methods() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).alt()
    tensors = [*module.parameters(), *module.buffers()]
    assert tensors and all(tensor.is_alt for tensor in tensors)
    packed = torch.nn.utils.rnn.pack_sequence([torch.ones(3), torch.ones(2)])
    assert packed.alt().is_alt and not packed.is_alt
    storage = torch.arange(4, dtype=torch.uint8).untyped_storage()
    moved = storage.alt()
    assert moved.is_alt and not storage.is_alt
    assert bytes(moved.cpu()) == bytes(storage)


def test_copies_and_pickles_stay_on_alt() -> None:
    x = torch.arange(6.0).alt().reshape(2, 3).t()
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert other.is_alt and torch.equal(other.cpu(), x.cpu()) and other.stride() == x.stride()


# ---- types ----


@pytest.mark.parametrize("name", tensor_types.__all__)
def test_tensor_types(name: str) -> None:
    kind = getattr(torch.alt, name)
    stock = getattr(torch, name)
    dtype = stock.dtype
    assert kind.dtype == dtype and kind.__name__ == name and kind.__module__ == "torch.alt"
    assert str(kind) == f"torch.alt.{name}" and repr(kind) == f"<class 'torch.alt.{name}'>"
    assert pickle.loads(pickle.dumps(kind)) is kind

    empty, sized, values = kind(), kind(2, 3), kind([1, 0])
    assert empty.shape == (0,) and sized.shape == (2, 3)
    assert torch.equal(values.cpu(), stock([1, 0]))
    for tensor in (empty, sized, values, kind(torch.Size([4])), kind((1, 0))):
        assert isinstance(tensor, kind) and tensor.is_alt and tensor.dtype == dtype
        assert tensor.type() == f"torch.alt.{name}"
        assert not isinstance(tensor.cpu(), kind) and not isinstance(tensor, stock)

    other = torch.DoubleTensor if name != "DoubleTensor" else torch.FloatTensor
    for given in (kind, f"torch.alt.{name}"):
        cast = other([1, 0]).type(given)
        assert isinstance(cast, kind) and cast.tolist() == values.tolist()


def test_tensor_type_of_a_tensor_shares_its_memory() -> None:
    x = torch.zeros(2, device="alt")
    y = torch.alt.FloatTensor(x)
    y.fill_(1)
    assert x.tolist() == [1, 1]
    with pytest.raises(TypeError, match="expected torch.alt.DoubleTensor .*torch.alt.FloatTensor"):
        torch.alt.DoubleTensor(x)
    with pytest.raises(TypeError, match="expected torch.alt.FloatTensor .*torch.FloatTensor"):
        torch.alt.FloatTensor(torch.zeros(2))


def test_tensor_type_refuses_what_stock_refuses() -> None:
    for arguments in (([1.0], 2), (1.5, 2), (object(),)):
        with pytest.raises(TypeError):
            torch.FloatTensor(*arguments)
        with pytest.raises((TypeError, RuntimeError)):
            torch.alt.FloatTensor(*arguments)
    with pytest.raises(RuntimeError, match="device type: alt"):
        torch.alt.FloatTensor(2, device="cpu")


def test_module_type() -> None:
    module = torch.nn.Linear(2, 2).type(torch.alt.DoubleTensor)
    assert module.weight.is_alt and module.weight.dtype == torch.float64


# ---- randomness ----


def test_seeds_and_states() -> None:
    torch.alt.manual_seed(3)
    assert torch.alt.initial_seed() == 3
    state = torch.alt.get_rng_state()
    assert state.dtype == torch.uint8 and state.device.type == "cpu"
    first = torch.rand(5, device="alt")
    torch.alt.set_rng_state(state)
    assert torch.equal(torch.rand(5, device="alt"), first)

    states = torch.alt.get_rng_state_all()
    assert len(states) == torch.alt.device_count()
    second = torch.rand(5, device="alt")
    torch.alt.set_rng_state_all(states)
    assert torch.equal(torch.rand(5, device="alt"), second)

    torch.manual_seed(3)
    assert torch.equal(torch.rand(5, device="alt"), first)
    torch.alt.manual_seed_all(3)
    assert torch.equal(torch.rand(5, device="alt"), first)

    torch.alt.seed_all()
    assert torch.alt.initial_seed() != 3
    torch.alt.seed()
    assert not torch.equal(torch.rand(5, device="alt"), first)


def test_fork_rng_restores_alt() -> None:
    before = torch.alt.get_rng_state()
    with torch.random.fork_rng():
        torch.rand(3, device="alt")
        assert not torch.equal(torch.alt.get_rng_state(), before)
    assert torch.equal(torch.alt.get_rng_state(), before)


def test_generators() -> None:
    (generator, *_) = torch.alt.default_generators
    assert generator.device == torch.device("alt:0")
    own = torch.Generator("alt").manual_seed(5)
    other = torch.Generator().manual_seed(5)
    drawn = torch.rand(7, device="alt", generator=own).cpu()
    assert torch.equal(drawn, torch.rand(7, generator=other))
    with pytest.raises((TypeError, RuntimeError)):
        torch.alt.set_rng_state(torch.zeros(3, dtype=torch.uint8))


# ---- memory ----


def test_memory_follows_tensors() -> None:
    torch.alt.empty_cache()
    before = torch.alt.memory_allocated()
    torch.alt.reset_peak_memory_stats()
    size = 32 << 20
    x = torch.empty(size, dtype=torch.uint8, device="alt")
    assert torch.alt.memory_allocated() - before >= size
    assert torch.alt.memory_reserved() >= torch.alt.memory_allocated()
    del x
    assert torch.alt.memory_allocated() == before
    assert torch.alt.max_memory_allocated() >= before + size
    assert torch.alt.max_memory_reserved() >= torch.alt.max_memory_allocated()
    torch.alt.reset_peak_memory_stats()
    assert torch.alt.max_memory_allocated() == before
    reserved = torch.alt.memory_reserved()
    torch.alt.empty_cache()
    assert torch.alt.memory_reserved() <= reserved - size
    free, total = torch.alt.mem_get_info()
    assert 0 < free <= total


def test_memory_stats_have_the_names_of_cuda() -> None:
    stats = torch.alt.memory_stats()
    assert list(stats) == sorted(stats)
    for pool in ("all", "small_pool", "large_pool"):
        for value in ("current", "peak", "allocated", "freed"):
            assert f"allocated_bytes.{pool}.{value}" in stats
    assert stats["num_ooms"] >= 0
    gc.collect()  # what earlier tests left must not go between the two readings
    assert torch.accelerator.memory_allocated() == torch.alt.memory_allocated()


def test_memory_summary() -> None:
    x = torch.empty(3 << 20, dtype=torch.uint8, device="alt")
    summary = torch.alt.memory_summary()
    assert "Allocated memory" in summary and "MiB" in summary and "Reserved segments" in summary
    assert "Reserved segments" not in torch.alt.memory_summary(abbreviated=True)
    del x


def test_memory_fraction() -> None:
    assert torch.alt.get_per_process_memory_fraction() == 1.0
    limit = _C.get_memory_limit(0)
    try:
        fraction = (torch.alt.memory_reserved() + (64 << 20)) / torch.alt.mem_get_info()[1]
        torch.alt.set_per_process_memory_fraction(fraction)
        assert torch.alt.get_per_process_memory_fraction() == pytest.approx(fraction)
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(256 << 20, dtype=torch.uint8, device="alt")
    finally:
        _C.set_memory_limit(0, limit)
    assert torch.empty(256 << 20, dtype=torch.uint8, device="alt").is_alt
    for wrong, error in ((1.5, ValueError), (-0.1, ValueError), ("all", TypeError)):
        with pytest.raises(error):
            torch.alt.set_per_process_memory_fraction(wrong)


# ---- streams and events ----


def test_streams() -> None:
    default = torch.alt.default_stream()
    assert torch.alt.current_stream() == default
    stream = torch.alt.Stream()
    assert isinstance(stream, torch.Stream) and stream != default
    with torch.alt.stream(stream):
        assert torch.alt.current_stream() == stream
        with torch.alt.stream(None):
            assert torch.alt.current_stream() == stream
        x = torch.ones(3, device="alt") + 1
        x.record_stream(stream)
    assert torch.alt.current_stream() == default
    stream.synchronize()
    assert stream.query() and x.tolist() == [2, 2, 2]
    default.wait_stream(stream)
    torch.alt.set_stream(stream)
    assert torch.accelerator.current_stream() == stream
    torch.alt.set_stream(default)


def test_stream_of_a_device_and_the_current_device() -> None:
    code = """
        import torch
        s = torch.alt.Stream("alt:1")
        with torch.alt.stream(s):
            print(torch.alt.current_device(), torch.alt.current_stream(1) == s)
        print(torch.alt.current_device(), torch.alt.current_stream(1) ==
        torch.alt.default_stream(1))
    """
    printed = output(python_code(code, ALT_DEVICE_COUNT="2"))
    assert printed.split("\n") == ["1 True", "0 True"]


def test_events() -> None:
    start, end = torch.alt.Event(enable_timing=True), torch.alt.Event(enable_timing=True)
    start.record()
    torch.ones(100_000, device="alt").sum().item()
    end.record(torch.alt.current_stream())
    end.synchronize()
    assert end.query()
    assert 0 < start.elapsed_time(end) < 60_000  # milliseconds
    end.wait()


def test_streams_are_a_threads_own() -> None:
    stream = torch.alt.Stream()
    seen: list[bool] = []
    with torch.alt.stream(stream):
        thread = threading.Thread(target=lambda: seen.append(torch.alt.current_stream() == stream))
        thread.start()
        thread.join()
    assert seen == [False]


# ---- amp ----


def test_autocast() -> None:
    assert torch.bfloat16 in torch.alt.get_amp_supported_dtype()
    a, b = torch.ones(2, 2, device="alt"), torch.ones(2, 2, device="alt")
    for dtype in torch.alt.get_amp_supported_dtype():
        with torch.autocast("alt", dtype=dtype):
            assert (a @ b).dtype == dtype
            with torch.autocast("alt", enabled=False):
                assert (a @ b).dtype == torch.float32
    with torch.alt.amp.autocast():
        assert (a @ b).dtype == torch.get_autocast_dtype("alt")
    with pytest.warns(UserWarning, match="target dtype is not supported"):
        with torch.autocast("alt", dtype=torch.float64):
            assert (a @ b).dtype == torch.float32


def test_grad_scaler() -> None:
    weight = torch.ones(2, device="alt", requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.5)
    scaler = torch.alt.amp.GradScaler(init_scale=8.0, growth_interval=1)
    scaler.scale((weight * 2).sum()).backward()
    assert weight.grad.tolist() == [16, 16]
    scaler.step(optimizer)
    scaler.update()
    assert weight.tolist() == [0, 0] and scaler.get_scale() == 16.0
    weight.grad.fill_(float("inf"))
    scaler.step(optimizer)
    scaler.update()
    assert weight.tolist() == [0, 0] and scaler.get_scale() == 8.0


# ---- processes ----


def test_queue_carries_alt_tensors() -> None:
    code = """
        import torch, torch.multiprocessing as mp

        def child(inbox, outbox):
            x = inbox.get()
            outbox.put((x + 1, torch.nn.Parameter(x)))

        if __name__ == "__main__":
            mp.set_start_method("fork")
            inbox, outbox = mp.Queue(), mp.Queue()
            process = mp.Process(target=child, args=(inbox, outbox))
            process.start()
            inbox.put(torch.arange(3.0, device="alt"))
            x, parameter = outbox.get()
            process.join()
            print(x.device, x.tolist(), type(parameter).__name__, parameter.device)
    """
    assert output(python_code(code)) == "alt:0 [1.0, 2.0, 3.0] Parameter alt:0"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_dataloader_workers_read_a_dataset_of_alt_tensors(method: str, tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import torch
from torch.utils.data import DataLoader, TensorDataset

if __name__ == "__main__":
    data = TensorDataset(torch.arange(8.0, device="alt") * 2)
    loader = DataLoader(data, batch_size=4, num_workers=2, multiprocessing_context={method!r})
    print([batch.tolist() for (batch,) in loader], [b.device.type for (b,) in loader])
"""
    )
    expected = "[[0.0, 2.0, 4.0, 6.0], [8.0, 10.0, 12.0, 14.0]] ['alt', 'alt']"
    assert output(python(str(script))) == expected


def test_a_process_that_ends_right_after_backward_ends_well() -> None:
    code = """
        import torch
        x = torch.ones(5, 3, device="alt", requires_grad=True)
        (x * 2).sum().backward()
    """
    statuses = [python_code(code, ALT_DEVICE_COUNT="2").returncode for _ in range(4)]
    assert statuses == [0] * 4


def test_public_names() -> None:
    for name in altbackend.__all__:
        assert getattr(altbackend, name) is not None
        assert name in dir(altbackend)
    with pytest.raises(AttributeError):
        altbackend.no_such_name  # noqa: B018


@pytest.mark.parametrize("kind", [torch.nn.Linear, torch.nn.LSTM])
def test_a_module_keeps_its_parameters_when_it_moves(kind: type[torch.nn.Module]) -> None:
    module = kind(3, 2)
    before = list(module.parameters())
    before[0].note = "stays"  # type: ignore[attr-defined]
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module.to("alt")
    assert all(a is b for a, b in zip(before, module.parameters(), strict=True))
    assert before[0].device.type == "alt"
    assert before[0].note == "stays"  # type: ignore[attr-defined]
    first = [p.detach().clone() for p in before]
    output = module(torch.ones(2, 1, 3, device="alt"))
    (output if isinstance(output, torch.Tensor) else output[0]).sum().backward()
    optimizer.step()
    assert not torch.equal(first[0], before[0])
    del output
    module.cpu()
    assert all(a is b for a, b in zip(before, module.parameters(), strict=True))
    gradient = before[0].grad
    assert gradient is not None and gradient.device.type == "cpu"


def test_a_module_that_moves_under_a_graph_leaves_the_graph_alone() -> None:
    module = torch.nn.Linear(3, 2)
    weight = module.weight
    output = module(torch.ones(1, 3))
    module.to("alt")
    output.sum().backward()
    assert weight.device.type == "cpu" and weight.grad is not None
    assert module.weight.device.type == "alt"


def test_a_lazy_module_moves_before_it_is_initialized() -> None:
    module = torch.nn.LazyLinear(4).to("alt")
    assert torch.nn.parameter.is_lazy(module.weight)
    assert module(torch.ones(2, 3, device="alt")).shape == (2, 4)
    assert module.weight.device.type == "alt" and module.weight.shape == (4, 3)
