"""The cuda shim: scripts that were written for cuda, answered by alt, and torch as it was
afterwards."""

import copy
import io
import pickle
import threading
import types

import pytest
import torch
from python_process import output, python_code
from torch.nn import functional

from altbackend import cuda_shim

stock_device = torch.device


@pytest.fixture
def shim():
    with cuda_shim.enabled():
        yield


def is_on_alt(tensor: torch.Tensor) -> bool:
    return tensor.is_alt  # type: ignore[attr-defined]


# ---- on and off ----


def snapshot() -> dict[str, object]:
    """What the shim changes, as it stands."""
    owners: list[object] = [
        torch,
        torch.Tensor,
        torch.cuda,
        torch.cuda.memory,
        torch.cuda.random,
        torch.cuda.streams,
        torch.cuda.nvtx,
        torch.backends.cuda,
        torch.backends.cudnn,
        torch.amp.autocast_mode.autocast,
        torch.amp.grad_scaler.GradScaler,
        threading.Thread,
        torch.device,
    ]
    return {
        f"{owner!r}.{name}": value
        for owner in owners
        for name, value in vars(owner).items()
        if not isinstance(value, types.ModuleType)
    }


def test_disable_leaves_torch_as_it_was() -> None:
    torch.cuda.is_available()
    before = snapshot()
    with cuda_shim.enabled():
        assert snapshot() != before
    after = snapshot()
    assert {name for name in before if after.get(name) is not before[name]} == set()
    assert set(after) == set(before)
    assert not torch.cuda.is_available()
    assert torch.device is stock_device and torch.device("cuda").type == "cuda"
    assert torch.device("alt").type == "alt" and torch.device("alt").type != "cuda"
    assert torch.overrides._get_current_function_mode_stack() == []
    with pytest.raises((RuntimeError, AssertionError)):
        torch.ones(1, device="cuda")


def test_it_nests() -> None:
    cuda_shim.enable()
    cuda_shim.enable()
    cuda_shim.disable()
    assert cuda_shim.is_enabled() and torch.cuda.is_available()
    cuda_shim.disable()
    assert not cuda_shim.is_enabled() and not torch.cuda.is_available()
    with pytest.raises(RuntimeError, match="without a matching enable"):
        cuda_shim.disable()


def test_it_can_go_from_under_another_mode() -> None:
    cuda_shim.enable()
    with torch.device("alt"):
        cuda_shim.disable()
        assert torch.ones(1).is_alt  # type: ignore[attr-defined]
    assert torch.overrides._get_current_function_mode_stack() == []


def test_an_error_inside_disables_it() -> None:
    with pytest.raises(ZeroDivisionError), cuda_shim.enabled():
        raise ZeroDivisionError
    assert not cuda_shim.is_enabled()


# ---- devices ----


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.device("cuda"),
        lambda: torch.device("cuda", 0),
        lambda: torch.device("cuda:0"),
        lambda: torch.device(type="cuda", index=0),
        lambda: torch.device(stock_device("cuda")),
        lambda: torch.ones(1, device="cuda").device,
    ],
)
def test_devices(shim, make) -> None:
    device = make()
    assert isinstance(device, torch.device) and isinstance(device, stock_device)
    assert device.type == "cuda" and device.type == "cuda" and device.type in ("cuda", "mps")
    assert device.type == "alt" and device.type != "cpu"
    assert device.type.startswith("cuda") and "cuda" in device.type
    assert getattr(torch, device.type) is torch.alt
    assert torch.ones(1, device=device).device == torch.device("cuda:0")
    assert pickle.loads(pickle.dumps(device)) == device == copy.deepcopy(device)
    assert {device: 1}[device] == 1
    assert device.index in (None, 0)


def test_the_device_class_itself(shim) -> None:
    assert not isinstance("cuda", torch.device)
    assert torch.device("cpu").type == "cpu" and torch.device("cpu").type != "cuda"
    assert torch.device == stock_device and issubclass(stock_device, torch.device)
    optional = torch.device | None
    assert isinstance(torch.device("cuda"), optional)
    with pytest.raises(RuntimeError, match="nonsense"):
        torch.device("nonsense")
    with torch.device("cuda"):
        assert is_on_alt(torch.ones(1))
    torch.set_default_device("cuda")
    try:
        assert is_on_alt(torch.zeros(1)) and torch.get_default_device().type == "cuda"
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize(
    "device", ["cuda", "cuda:0", stock_device("cuda"), stock_device("cuda", 0)]
)
def test_every_way_to_a_device(shim, device) -> None:
    x = torch.arange(4.0)
    made = [
        torch.zeros(2, device=device),
        torch.tensor([1], device=device),
        torch.as_tensor([1], device=device),
        torch.randn(3, device=device),
        torch.empty_like(x, device=device),
        torch.full((2,), 1.0, device=device),
        torch.arange(3, device=device),
        torch.eye(2, device=device),
        torch.randperm(4, device=device),
        x.to(device),
        x.to(device, torch.float64),
        x.to(device=device, non_blocking=True),
        x.cuda(),
        x.cuda(device),
        x.cuda(device=device, non_blocking=True),
        x.cuda(0),
        x.new_zeros(2, device=device),
        x.new_tensor([1], device=device),
        x.type("torch.cuda.DoubleTensor"),
        x.type(torch.cuda.HalfTensor),
        torch.nn.Linear(2, 2, device=device).weight,
        torch.nn.Linear(2, 2).to(device).weight,
        torch.nn.Linear(2, 2).to(device=device, dtype=torch.float64).bias,
        torch.nn.Linear(2, 2).cuda().weight,
        torch.nn.Linear(2, 2).cuda(device).weight,
        torch.nn.Linear(2, 2).to_empty(device=device).weight,
        torch.nn.utils.rnn.pack_sequence([x]).to(device).data,
        torch.nn.utils.rnn.pack_sequence([x]).cuda().data,
        torch.rand(2, device=device, generator=torch.Generator(device)),
        torch.rand(2, device=device, generator=torch.Generator(device=device).manual_seed(1)),
    ]
    for index, tensor in enumerate(made):
        assert is_on_alt(tensor) and tensor.is_cuda, index
        assert tensor.device.type == "cuda" and tensor.get_device() == 0
    assert not x.is_cuda and not x.cuda().cpu().is_cuda


def test_storages(shim) -> None:
    x = torch.arange(4, dtype=torch.uint8)
    moved = x.untyped_storage().cuda()
    assert moved.is_cuda and moved.is_alt and not x.untyped_storage().is_cuda
    assert bytes(moved.cpu()) == bytes(x.untyped_storage())


def test_type_names(shim) -> None:
    x = torch.cuda.FloatTensor([1, 2])
    assert is_on_alt(x) and isinstance(x, torch.cuda.FloatTensor)
    assert not isinstance(x, torch.cuda.LongTensor) and not isinstance(
        x.cpu(), torch.cuda.FloatTensor
    )
    assert x.type() == "torch.cuda.FloatTensor" and x.type() == "torch.alt.FloatTensor"
    assert x.type() != "torch.FloatTensor" and x.cpu().type() == "torch.FloatTensor"
    assert torch.cuda.LongTensor(2, 3).dtype == torch.int64
    assert x.cpu().type(x.type()).is_cuda


def test_default_tensor_type(shim) -> None:
    try:
        for kind in ("torch.cuda.DoubleTensor", torch.cuda.DoubleTensor):
            torch.set_default_tensor_type(kind)
            x = torch.zeros(1)
            assert is_on_alt(x) and x.dtype == torch.float64
            torch.set_default_device(None)
            torch.set_default_tensor_type(torch.FloatTensor)
            assert torch.zeros(1).type() == "torch.FloatTensor"
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def test_a_device_that_is_not_there(shim) -> None:
    for call in (
        lambda: torch.ones(1, device="cuda:99"),
        lambda: torch.ones(1).cuda(99),
        lambda: torch.cuda.set_device(99),
        lambda: torch.cuda.get_device_properties("cuda:99"),
    ):
        with pytest.raises(RuntimeError, match="99"):
            call()


# ---- torch.cuda ----


def test_what_a_script_asks_of_torch_cuda(shim) -> None:
    cuda = torch.cuda
    assert cuda.is_available() and cuda.is_initialized()
    assert cuda.device_count() == torch.alt.device_count()
    assert cuda.current_device() == 0
    cuda.set_device("cuda:0")
    cuda.set_device(torch.device("cuda"))
    assert cuda.get_device_name("cuda") == cuda.get_device_name(0) == torch.alt.get_device_name()
    assert cuda.get_device_properties(torch.device("cuda", 0)).total_memory > 0
    assert cuda.get_device_properties(stock_device("cuda", 0)).total_memory > 0
    assert cuda.get_device_capability() >= (7, 0) and cuda.is_bf16_supported()
    cuda.synchronize()
    cuda.synchronize("cuda:0")
    cuda.init()
    cuda.ipc_collect()
    with cuda.device(0), cuda.device("cuda:0"), cuda.device_of(torch.ones(1).cuda()):
        assert cuda.current_device() == 0
    assert torch.get_device_module("cuda").device_count() == torch.alt.device_count()
    cuda.nvtx.range_push("a")
    cuda.nvtx.mark("b")
    cuda.nvtx.range_pop()
    with cuda.nvtx.range("c"):
        pass


def test_memory_of_torch_cuda(shim) -> None:
    before = torch.cuda.memory_allocated()
    x = torch.empty(1 << 20, device="cuda")
    assert torch.cuda.memory_allocated("cuda:0") >= before + (4 << 20)
    assert torch.cuda.max_memory_allocated() >= torch.cuda.memory.memory_allocated()
    assert torch.cuda.memory_reserved() > 0 and "Allocated" in torch.cuda.memory_summary()
    assert torch.cuda.mem_get_info()[1] == torch.alt.mem_get_info()[1]
    del x
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.reset_max_memory_allocated()
    assert torch.cuda.memory_allocated() == before


def test_randomness_of_torch_cuda(shim) -> None:
    torch.cuda.manual_seed(7)
    first = torch.rand(3, device="cuda")
    torch.cuda.manual_seed_all(7)
    state = torch.cuda.get_rng_state("cuda:0")
    assert torch.equal(torch.rand(3, device="cuda"), first)
    torch.cuda.set_rng_state(state)
    assert torch.equal(torch.rand(3, device="cuda"), first)
    assert torch.cuda.initial_seed() == 7
    assert torch.cuda.default_generators[0].device.type == "cuda"
    assert len(torch.cuda.random.get_rng_state_all()) == torch.cuda.device_count()
    with torch.random.fork_rng(devices=[0], device_type="cuda"):
        torch.rand(1, device="cuda")
    torch.manual_seed(7)
    assert torch.equal(torch.rand(3, device="cuda"), first)


def test_streams_of_torch_cuda(shim) -> None:
    stream = torch.cuda.Stream()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.cuda.stream(stream):
        start.record()
        x = torch.ones(3, device="cuda") * 2
        end.record()
        assert torch.cuda.current_stream() == stream
    torch.cuda.current_stream().wait_stream(stream)
    end.synchronize()
    assert start.elapsed_time(end) >= 0 and x.sum().item() == 6
    assert torch.cuda.default_stream() == torch.cuda.current_stream()
    assert isinstance(stream, torch.Stream)


# ---- autocast ----


def test_autocast(shim) -> None:
    a = torch.ones(2, 2, device="cuda")
    contexts = {
        torch.float16: lambda: torch.autocast("cuda"),
        torch.bfloat16: lambda: torch.autocast(device_type="cuda", dtype=torch.bfloat16),
    }
    for dtype, context in contexts.items():
        with context():
            assert torch.is_autocast_enabled() and torch.is_autocast_enabled("cuda")
            assert torch.get_autocast_dtype("cuda") == dtype == torch.get_autocast_gpu_dtype()
            assert (a @ a).dtype == dtype
        assert not torch.is_autocast_enabled("cuda")
    with torch.amp.autocast(a.device.type):
        assert (a @ a).dtype == torch.float16
    with pytest.warns(FutureWarning), torch.cuda.amp.autocast(dtype=torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda **options: torch.amp.GradScaler(**options),
        lambda **options: torch.amp.GradScaler("cuda", **options),
        lambda **options: torch.cuda.amp.GradScaler(**options),
    ],
)
def test_grad_scaler(shim, make) -> None:
    weight = torch.ones(2, device="cuda", requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler = make(init_scale=4.0)
    assert scaler.is_enabled()
    scaler.scale(weight.sum()).backward()
    scaler.unscale_(optimizer)
    assert weight.grad.tolist() == [1, 1]
    scaler.step(optimizer)
    scaler.update()
    assert weight.tolist() == [0, 0]


# ---- files ----


def test_files(shim) -> None:
    model = torch.nn.Linear(2, 2).cuda()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    for location in (None, "cuda", "cuda:0", torch.device("cuda"), {"alt:0": "cuda:0"}):
        file.seek(0)
        assert torch.load(file, map_location=location)["weight"].is_cuda, location
    file.seek(0)
    assert not torch.load(file, map_location="cpu")["weight"].is_cuda

    # It is a file of alt: alt reads it without the shim.
    cuda_shim.disable()
    try:
        file.seek(0)
        assert is_on_alt(torch.load(file)["weight"])
    finally:
        cuda_shim.enable()


def test_file_that_was_saved_on_cuda(shim) -> None:
    file = io.BytesIO()
    torch.save({"weight": torch.arange(3.0)}, file)
    # The location is a pickled string of its own; a cuda machine writes "cuda:0" there.
    on_cuda = rewrite_location(file.getvalue(), b"cpu", b"cuda:0")
    weight = torch.load(io.BytesIO(on_cuda))["weight"]
    assert is_on_alt(weight) and weight.tolist() == [0, 1, 2]


def pickled(text: bytes) -> bytes:
    return b"X" + len(text).to_bytes(4, "little") + text


def rewrite_location(archive: bytes, old: bytes, new: bytes) -> bytes:
    import zipfile

    rewritten = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        with zipfile.ZipFile(rewritten, "w") as target:
            for entry in source.infolist():
                data = source.read(entry)
                if entry.filename.endswith("data.pkl"):
                    assert pickled(old) in data
                    data = data.replace(pickled(old), pickled(new))
                target.writestr(entry.filename, data)
    return rewritten.getvalue()


# ---- threads, and whole programs ----


def test_threads(shim) -> None:
    seen: list[bool] = []

    def work() -> None:
        seen.append(torch.ones(1, device="cuda").is_cuda)
        seen.append(torch.ones(1).to("cuda").is_cuda)

    class Worker(threading.Thread):
        def run(self) -> None:
            work()

    for thread in (threading.Thread(target=work), Worker()):
        thread.start()
        thread.join()
    assert seen == [True] * 4


def test_backward_and_hooks_see_it(shim) -> None:
    seen = []

    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: torch.Tensor) -> torch.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
            seen.append(torch.ones(1, device="cuda").is_cuda and grad.is_cuda)
            return grad * torch.full((1,), 2.0).cuda()

    x = torch.ones(2, device="cuda", requires_grad=True)
    Double.apply(x).sum().backward()
    assert seen == [True] and x.grad.tolist() == [2, 2]


def test_training_loop_in_the_manner_of_2019(shim, monkeypatch) -> None:
    # torch's own test helpers, once imported anywhere in this process, freeze what scripts set.
    module = torch.backends.flags_frozen.__globals__  # torch.backends wraps its own module
    monkeypatch.setitem(module, "__allow_nonbracketed_mutation_flag", True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)).to(
        device
    )
    model = torch.nn.DataParallel(model)
    data = torch.utils.data.TensorDataset(torch.randn(32, 4), torch.arange(32) % 2)
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True, pin_memory=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(15):
        for x, y in loader:
            x, y = x.to(device, non_blocking=True), y.cuda()
            loss = functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert next(model.parameters()).is_cuda
    assert losses[-1] < losses[0]


def test_data_parallel_over_two_devices() -> None:
    code = """
        import torch
        from altbackend import cuda_shim
        cuda_shim.enable()
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        x = torch.arange(15.0).reshape(5, 3)
        expected = model(x)
        seen = []
        model.register_forward_hook(lambda m, inputs, output: seen.append(output.device.index))
        parallel = torch.nn.DataParallel(model.cuda(), device_ids=[0, 1])
        result = parallel(x.cuda())
        result.sum().backward()
        print(torch.allclose(result.cpu(), expected), sorted(seen), result.device)
        print(model.weight.grad.tolist())
    """
    printed = output(python_code(code, ALT_DEVICE_COUNT="2"))
    assert printed.split("\n") == ["True [0, 1] alt:0", "[[30.0, 35.0, 40.0], [30.0, 35.0, 40.0]]"]


def test_lstm_does_not_complain_of_cudnn(shim, recwarn) -> None:
    lstm = torch.nn.LSTM(3, 4).cuda()
    output_, _ = lstm(torch.ones(2, 1, 3).cuda())
    assert output_.is_cuda
    assert [w for w in recwarn if "cudnn" in str(w.message).lower()] == []


def test_from_torch_import_device() -> None:
    printed = output(
        python_code(
            """
            import torch
            from torch import device  # before: the stock class
            from altbackend import cuda_shim
            cuda_shim.enable()
            x = torch.zeros(2, device=device("cuda:0"))
            print(x.device, x.to(device("cuda")).is_cuda, device("cuda").type)
            print(x)
            """
        )
    )
    assert printed.split("\n") == ["alt:0 True cuda", "tensor([0., 0.], device='alt:0')"]
