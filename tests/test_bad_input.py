"""Bad input: stock's error, nothing written, and the process goes on."""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch.nn import functional

DEVICE = "alt"


@dataclass
class Maker:
    """Makes the same tensors on either device, and remembers what they held."""

    device: str
    made: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)

    def __call__(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return self.of(torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype))

    def of(self, values: object) -> torch.Tensor:
        reference = torch.as_tensor(values).clone()
        tensor = reference.to(self.device, copy=True)
        self.made.append((reference, tensor))
        return tensor

    def assert_untouched(self) -> None:
        for reference, tensor in self.made:
            assert tensor.shape == reference.shape
            assert torch.equal(tensor.cpu(), reference)


Call = Callable[[Maker], object]


def error_of(call: Call, device: str) -> Exception:
    """Return the error that `call` raises, having seen that it did no harm."""
    make = Maker(device)
    with pytest.raises(Exception) as caught:
        call(make)
    if device == DEVICE:  # stock writes what comes before the bad index
        make.assert_untouched()
    after = Maker(device)
    assert (after(3) + after(3)).tolist() == [0, 2, 4], "the process does not go on as before"
    return caught.value


def normalised(error: Exception) -> str:
    """The message, without what names the device and without C++ stack traces."""
    text = re.sub(rf"\b({DEVICE}:0|{DEVICE}|cpu)\b", "<device>", str(error))
    return text.replace(f"torch.{DEVICE}.", "torch.").split("\nException raised from")[0]


# Messages that stock's front-end gives, on whatever device.
SAME_MESSAGE: dict[str, Call] = {
    # Shape mismatch
    "add shapes": lambda new: new(3) + new(4),
    "add_ shapes": lambda new: new(3).add_(new(4)),
    "add_ would grow": lambda new: new(3).add_(new(2, 3)),
    "mul out shapes": lambda new: torch.mul(new(3), new(4), out=new(3)),
    "where shapes": lambda new: torch.where(new(3) > 1, new(4), new(3)),
    "mm shapes": lambda new: torch.mm(new(2, 3), new(4, 5)),
    "mm dimensions": lambda new: torch.mm(new(2, 3), new(3)),
    "matmul shapes": lambda new: new(2, 3) @ new(2, 3),
    "bmm shapes": lambda new: torch.bmm(new(2, 3, 4), new(3, 4, 5)),
    "addmm shapes": lambda new: torch.addmm(new(7), new(2, 3), new(3, 5)),
    "linear shapes": lambda new: functional.linear(new(2, 3), new(5, 4)),
    "dot dimensions": lambda new: torch.dot(new(2, 3), new(3)),
    "cat shapes": lambda new: torch.cat([new(2, 3), new(2, 4)]),
    "cat of nothing": lambda new: torch.cat([]),
    "stack shapes": lambda new: torch.stack([new(2, 3), new(2, 4)]),
    "view size": lambda new: new(6).view(4, 2),
    "view stride": lambda new: new(2, 3).t().view(6),
    "reshape size": lambda new: new(6).reshape(-1, 4),
    "expand shapes": lambda new: new(3).expand(2, 4),
    "copy_ shapes": lambda new: new(3).copy_(new(4)),
    "squeeze dimension": lambda new: new(3).squeeze(2),
    "transpose dimension": lambda new: new(3, 2).transpose(0, 2),
    "permute repeats": lambda new: new(3, 2).permute(0, 0),
    "sum dimension": lambda new: new(3).sum(dim=1),
    "softmax dimension": lambda new: new(3).softmax(dim=1),
    "conv2d channels": lambda new: functional.conv2d(new(1, 3, 8, 8), new(4, 2, 3, 3)),
    "conv2d kernel too large": lambda new: functional.conv2d(new(1, 3, 2, 2), new(4, 3, 3, 3)),
    "conv_transpose2d channels": lambda new: functional.conv_transpose2d(
        new(1, 3, 8, 8), new(4, 2, 3, 3)
    ),
    "max_pool2d dimensions": lambda new: functional.max_pool2d(new(8), 2),
    "batch_norm one value": lambda new: functional.batch_norm(
        new(1, 3), new(3), new(3), training=True
    ),
    "batch_norm statistics": lambda new: functional.batch_norm(new(4, 3), new(5), new(5)),
    "nll_loss batch": lambda new: functional.nll_loss(new(3, 5), new.of([0, 1])),
    "mse_loss shapes": lambda new: functional.mse_loss(new(3), new(4)),
    "binary_cross_entropy shapes": lambda new: functional.binary_cross_entropy(new(3), new(4)),
    "gather shapes": lambda new: new(2, 3).gather(0, new.of([[0, 0, 0, 0]])),
    "index shapes": lambda new: new(4, 4)[new.of([0, 1]), new.of([0, 1, 2])],
    "index_put shapes": lambda new: new(4).__setitem__(new.of([0, 1]), new(3)),
    "mask shape": lambda new: new(4)[new.of([True, False, True])],
    "lstm input": lambda new: torch.nn.LSTM(4, 5).to(new.device)(new(2, 3, 7)),
    "backward of a vector": lambda new: new(3).requires_grad_().mul(2).backward(),
    "backward shapes": lambda new: new(3).requires_grad_().mul(2).backward(new(4)),
    # Dtype mismatch
    "add_ casts down": lambda new: new(3, dtype=torch.int64).add_(1.5),
    "add out casts down": lambda new: torch.add(new(3), 1, out=new(3, dtype=torch.int64)),
    "bool subtraction": lambda new: new.of([True]) - new.of([False]),
    "mean of integers": lambda new: new(3, dtype=torch.int64).mean(),
    "index by floats": lambda new: new(3)[new(2)],
    "index_select by floats": lambda new: new(3).index_select(0, new(2)),
    "index_put dtypes": lambda new: new(3).__setitem__(new.of([0]), new(1, dtype=torch.float64)),
    "gather by floats": lambda new: new(3).gather(0, new(2)),
    "mm dtypes": lambda new: torch.mm(new(2, 3), new(3, 2, dtype=torch.float64)),
    "linear dtypes": lambda new: functional.linear(new(2, 3), new(5, 3, dtype=torch.float64)),
    "dot dtypes": lambda new: torch.dot(new(3), new(3, dtype=torch.float64)),
    "requires_grad of integers": lambda new: new(3, dtype=torch.int64).requires_grad_(),
    "where by floats": lambda new: torch.where(new(3), new(3), new(3)),
    "argument of the wrong type": lambda new: new(3).add_("1"),
    # Index out of range
    "integer index": lambda new: new(3)[3],
    "negative integer index": lambda new: new(3)[-4],
    "too many indices": lambda new: new(3)[0, 0],
    "write by integer index": lambda new: new(3).__setitem__(5, 1.0),
    "select": lambda new: new(3, 2).select(1, 2),
    "narrow": lambda new: new(3).narrow(0, 2, 2),
    "diagonal dimensions": lambda new: new(3, 3).diagonal(0, 1, 1),
    "unfold size": lambda new: new(3).unfold(0, 4, 1),
    "item of many": lambda new: new(3).item(),
    "bool of many": lambda new: bool(new(3)),
    # Sizes
    "empty negative": lambda new: torch.empty(-1, device=new.device),
    "zeros negative": lambda new: torch.zeros(2, -3, device=new.device),
    "new_empty negative": lambda new: new(3).new_empty(2, -1),
    "empty overflow": lambda new: torch.empty(2**62, 4, device=new.device),
    "empty product overflow": lambda new: torch.empty(2**40, 2**40, device=new.device),
    "size beyond int64": lambda new: torch.empty(2**63, device=new.device),
    "as_strided past the end": lambda new: new(3).as_strided((4,), (1,)),
    "as_strided offset": lambda new: new(3).as_strided((2,), (1,), 2),
    "as_strided negative stride": lambda new: new(3).as_strided((2,), (-1,)),
    "arange backwards": lambda new: torch.arange(3, 0, device=new.device),
    "linspace negative": lambda new: torch.linspace(0, 1, -1, device=new.device),
    "randperm negative": lambda new: torch.randperm(-1, device=new.device),
    "randint empty range": lambda new: torch.randint(3, 3, (2,), device=new.device),
    "normal_ negative deviation": lambda new: new(3).normal_(0, -1),
    "bernoulli_ probability": lambda new: new(3).bernoulli_(2.0),
    "dropout probability": lambda new: functional.dropout(new(3), p=2.0),
    # In place
    "write to an expanded tensor": lambda new: new(1).expand(3).add_(1),
    "write to a leaf": lambda new: new(3).requires_grad_().add_(1),
    "overlapping out": lambda new: (lambda x: torch.add(x[1:], 1, out=x[:-1]))(new(5)),
}

# The kernel finds these, in words that are its own. Stock's type counts.
SAME_TYPE: dict[str, Call] = {
    "masked_fill shape": lambda new: new(4).masked_fill_(new.of([True, False, True]), 0),
    "embedding by floats": lambda new: functional.embedding(new(2), new(3, 4)),
    "resize_ negative": lambda new: new(3).resize_(-1),
    "bitwise_and of floats": lambda new: new(3) & new(3),
    "index past the end": lambda new: new(3)[new.of([0, 3])],
    "index before the beginning": lambda new: new(3)[new.of([-4])],
    "second index past the end": lambda new: new(3, 4)[new.of([0]), new.of([4])],
    "index_put past the end": lambda new: new(3).__setitem__(new.of([0, 1, 7]), 1.0),
    "index_put accumulating past the end": lambda new: new(3).index_put_(
        (new.of([0, 7]),), new(2), accumulate=True
    ),
    "index_select past the end": lambda new: new(3, 2).index_select(0, new.of([1, 3])),
    "index_add past the end": lambda new: new(3).index_add_(0, new.of([0, 3]), new(2)),
    "index_fill past the end": lambda new: new(3).index_fill_(0, new.of([3]), 1.0),
    "gather past the end": lambda new: new(3).gather(0, new.of([0, 3])),
    "gather before the beginning": lambda new: new(3).gather(0, new.of([-1])),
    "scatter past the end": lambda new: new(3).scatter_(0, new.of([3]), 1.0),
    "scatter_add past the end": lambda new: new(3).scatter_add_(0, new.of([3]), new(1)),
    "take past the end": lambda new: new(3).take(new.of([3])),
    "embedding past the end": lambda new: functional.embedding(new.of([0, 3]), new(3, 2)),
    "embedding before the beginning": lambda new: functional.embedding(new.of([-1]), new(3, 2)),
    "one_hot class": lambda new: functional.one_hot(new.of([0, 3]), 3),
    "one_hot negative": lambda new: functional.one_hot(new.of([-1]), 3),
    "cross_entropy class": lambda new: functional.cross_entropy(new(2, 3), new.of([0, 3])),
    "nll_loss negative class": lambda new: functional.nll_loss(new(2, 3), new.of([0, -1])),
    "nll_loss of floats": lambda new: functional.nll_loss(new(2, 3), new(2)),
    "multinomial of negative": lambda new: torch.multinomial(new(3) - 2, 1),
    "multinomial of too many": lambda new: torch.multinomial(new(3), 4),
    "binary_cross_entropy out of range": lambda new: functional.binary_cross_entropy(
        new(3), new(3)
    ),
    "conv2d dtypes": lambda new: functional.conv2d(
        new(1, 1, 4, 4), new(1, 1, 3, 3, dtype=torch.float64)
    ),
    "softmax of integers": lambda new: new(3, dtype=torch.int64).softmax(0),
    "exponential_ rate": lambda new: new(3).exponential_(-1.0),
    "shift of floats": lambda new: new(3) << 1,
    "maximum of nothing": lambda new: new(0).max(),
    "argmax of nothing": lambda new: new(0).argmax(),
}


@pytest.mark.parametrize("name", SAME_MESSAGE)
def test_same_type_and_message(name: str) -> None:
    stock = error_of(SAME_MESSAGE[name], "cpu")
    ours = error_of(SAME_MESSAGE[name], DEVICE)
    assert type(ours) is type(stock), f"{ours!r}, but stock: {stock!r}"
    assert normalised(ours) == normalised(stock)


@pytest.mark.parametrize("name", SAME_TYPE)
def test_same_type(name: str) -> None:
    stock = error_of(SAME_TYPE[name], "cpu")
    ours = error_of(SAME_TYPE[name], DEVICE)
    assert type(ours) is type(stock), f"{ours!r}, but stock: {stock!r}"
    assert len(str(ours)) > 10, "says nothing"


MIXED: dict[str, Callable[[torch.Tensor, torch.Tensor], object]] = {
    "add": lambda alt, cpu: alt + cpu,
    "radd": lambda alt, cpu: cpu + alt,
    "add_": lambda alt, cpu: alt.add_(cpu),
    "add_ to cpu": lambda alt, cpu: cpu.add_(alt),
    "out": lambda alt, cpu: torch.add(alt, alt, out=cpu),
    "comparison": lambda alt, cpu: alt == cpu,
    "where": lambda alt, cpu: torch.where(alt > 0, alt, cpu),
    "lerp": lambda alt, cpu: torch.lerp(alt, alt, cpu),
    "mm": lambda alt, cpu: torch.mm(alt, cpu),
    "mm from cpu": lambda alt, cpu: torch.mm(cpu, alt),
    "bmm": lambda alt, cpu: torch.bmm(alt[None], cpu[None]),
    "addmm": lambda alt, cpu: torch.addmm(cpu, alt, alt),
    "linear": lambda alt, cpu: functional.linear(alt, cpu),
    "linear bias": lambda alt, cpu: functional.linear(alt, alt, cpu[0]),
    "cat": lambda alt, cpu: torch.cat([alt, cpu]),
    "conv2d": lambda alt, cpu: functional.conv2d(alt[None, None], cpu[None, None]),
    "batch_norm": lambda alt, cpu: functional.batch_norm(alt, cpu[0], cpu[1]),
    "mse_loss": lambda alt, cpu: functional.mse_loss(alt, cpu),
    "cross_entropy": lambda alt, cpu: functional.cross_entropy(alt, cpu.argmax(dim=1)),
    "embedding": lambda alt, cpu: functional.embedding(cpu.argmax(dim=1), alt),
    "gather": lambda alt, cpu: alt.gather(0, cpu.long()),
    "index_select": lambda alt, cpu: alt.index_select(0, cpu.argmax(dim=1)),
    "masked_fill": lambda alt, cpu: alt.masked_fill(cpu > 1, 0),
}


@pytest.mark.parametrize("name", MIXED)
def test_operands_on_two_devices(name: str) -> None:
    """As with CUDA: an error that names both devices, never a silent copy."""
    make, make_cpu = Maker(DEVICE), Maker("cpu")
    with pytest.raises(RuntimeError, match="same device|device type|alt.*cpu|cpu.*alt"):
        MIXED[name](make(4, 4), make_cpu(4, 4))
    make.assert_untouched()
    make_cpu.assert_untouched()


def test_message_for_two_devices_is_that_of_cuda() -> None:
    with pytest.raises(
        RuntimeError,
        match="Expected all tensors to be on the same device, but found at least two devices, "
        f"({DEVICE}:0 and cpu|cpu and {DEVICE}:0)!",
    ):
        torch.ones(2, device=DEVICE) + torch.ones(2)


def test_number_from_cpu_may_meet_alt() -> None:
    """As with CUDA: a tensor without dimensions is a number, and indices may come from cpu."""
    alt = torch.arange(4.0, device=DEVICE)
    assert (alt + torch.tensor(1.0)).tolist() == [1, 2, 3, 4]
    assert (torch.tensor(2.0) * alt).tolist() == [0, 2, 4, 6]
    assert alt[torch.tensor([3, 1])].tolist() == [3, 1]
    with pytest.raises(RuntimeError, match="indices should be either on cpu"):
        torch.arange(4.0)[torch.tensor([3], device=DEVICE)]


def test_numpy_is_refused() -> None:
    import numpy

    tensor = torch.arange(3.0, device=DEVICE)
    for convert in (lambda: tensor.numpy(), lambda: numpy.asarray(tensor)):
        with pytest.raises(
            TypeError, match=f"can't convert {DEVICE}:0 device type tensor to numpy"
        ):
            convert()
    assert tensor.cpu().numpy().tolist() == [0, 1, 2]
    assert tensor.numpy(force=True).tolist() == [0, 1, 2]


@pytest.mark.parametrize("elements", [2**45, 2**58])
def test_more_memory_than_there_is(elements: int) -> None:
    with pytest.raises(torch.OutOfMemoryError, match=r"(?i)out of memory.*(B|bytes)"):
        torch.empty(elements, device=DEVICE)
    assert torch.ones(3, device=DEVICE).sum().item() == 3


def test_out_of_memory_leaves_the_tensor_alone() -> None:
    tensor = torch.arange(4.0, device=DEVICE)
    with pytest.raises(torch.OutOfMemoryError):
        tensor.resize_(2**45)
    with pytest.raises(torch.OutOfMemoryError):
        tensor.expand(2**43, 4).clone(memory_format=torch.contiguous_format)
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(2**45, out=torch.empty(0, device=DEVICE), device=DEVICE)
    assert tensor.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.empty(1, device=f"{DEVICE}:9"),
        lambda: torch.ones(1).to(f"{DEVICE}:9"),
        lambda: torch.ones(1, device=DEVICE).to(f"{DEVICE}:9"),
        lambda: torch.nn.Linear(2, 2).to(f"{DEVICE}:9"),
        lambda: torch.alt.set_device(9),
        lambda: torch.alt.synchronize(9),
        lambda: torch.Generator(f"{DEVICE}:9"),
    ],
)
def test_device_that_is_not_there(call: Callable[[], object]) -> None:
    assert torch.device(f"{DEVICE}:9").index == 9  # naming it is no error, as with CUDA
    with pytest.raises(RuntimeError, match="(?i)device.*9|9.*device|invalid device"):
        call()
    assert torch.ones(1, device=DEVICE).item() == 1
    assert torch.alt.current_device() == 0


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a new process, which ends by itself within a minute."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def last_line(process: subprocess.CompletedProcess[str]) -> str:
    return (process.stderr.strip().splitlines() or [""])[-1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_after_fork_a_clear_error_or_the_right_answer() -> None:
    process = run_python(
        """
        import os, torch
        x = torch.arange(1_000_000.0, device="alt")
        x + x  # now the threads of the pool are running
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if (x + x)[[1, -1]].tolist() == [2, 1999998] else 3)
            except RuntimeError as error:
                os._exit(0 if "fork" in str(error) else 4)
            except BaseException:
                os._exit(5)
        _, status = os.waitpid(child, 0)
        print("child:", os.waitstatus_to_exitcode(status))
        print("parent:", (x + 1)[-1].item())
        """
    )
    assert process.stdout.splitlines() == ["child: 0", "parent: 1000000.0"], process.stderr


def test_file_saved_on_alt_loads_without_altbackend(tmp_path) -> None:
    path = tmp_path / "tensor.pt"
    torch.save({"weight": torch.arange(4.0, device=DEVICE)}, path)
    assert torch.load(path)["weight"].device.type == DEVICE

    absent = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    process = run_python(f"import torch; torch.load({str(path)!r})", **absent)
    assert process.returncode == 1
    assert last_line(process).startswith("RuntimeError: "), process.stderr
    assert "alt" in last_line(process)

    process = run_python(
        f"""
        import sys, torch
        print(torch.load({str(path)!r}, map_location="cpu")["weight"].tolist())
        print("altbackend" in sys.modules)
        """,
        **absent,
    )
    assert process.stdout.splitlines() == ["[0.0, 1.0, 2.0, 3.0]", "False"], process.stderr


def test_wrong_torch_version_is_refused_in_one_line() -> None:
    built_for = torch.__version__.split("+")[0]
    pretend = "import torch; torch.__version__ = torch.version.__version__ = '1.2.3'"
    process = run_python(f"{pretend}; import altbackend", TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    assert process.returncode == 1
    assert last_line(process).startswith("ImportError: "), process.stderr
    assert "1.2.3" in last_line(process) and built_for in last_line(process)
    assert re.search("rebuild|reinstall|pip install|make build", last_line(process))


@pytest.mark.parametrize(
    "name, value",
    [
        ("ALT_FALLBACK", "perhaps"),
        ("ALT_DEVICE_COUNT", "many"),
        ("ALT_DEVICE_COUNT", "-1"),
        ("ALT_NUM_THREADS", "none"),
        ("ALT_MEMORY_LIMIT", "lots"),
        ("ALT_ENGINE", "steam"),
    ],
)
def test_unknown_value_of_a_variable(name: str, value: str) -> None:
    process = run_python("import altbackend", **{name: value})
    assert process.returncode == 1
    assert last_line(process).startswith("ImportError: "), process.stderr
    assert name in last_line(process) and value in last_line(process)

    # `import torch` says the same and does without the device.
    process = run_python("import torch; print(torch.ones(1).item())", **{name: value})
    assert process.returncode == 0 and process.stdout.strip() == "1.0", process.stderr
    assert name in last_line(process) and value in last_line(process)
