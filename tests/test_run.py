"""`python -m altbackend`: scripts run as python runs them, on alt."""

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from python_process import output, python

import altbackend
from altbackend import _compatible


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "altbackend", "run", *arguments, **environment)


@pytest.fixture
def script(tmp_path: Path):
    """Writes a script and gives its path."""

    def write(text: str, name: str = "script.py") -> str:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return str(path)

    return write


def same_as_python(path: str, *arguments: str) -> tuple[str, str]:
    """What the script prints on alt, and under python on the cpu."""
    return output(run(path, *arguments)), output(python(path, *arguments))


# ---- as python does ----


def test_the_script_sees_what_python_shows_it(script, tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("value = 7\n")
    path = script(
        """
        import sys, os, __main__
        from neighbour import value
        print(__name__, __file__ == sys.argv[0], sys.argv[1:], value, __spec__)
        print(os.path.samefile(sys.path[0], os.path.dirname(__file__)), __main__.value, __doc__)
        print(sorted(name for name in globals() if name.startswith("__")))
        """
    )
    here, there = same_as_python(path, "--flag", "a b", "-m", "--report")
    # python keeps its loader there
    assert here.replace(", '__loader__'", "") == there.replace(", '__loader__'", "")


def test_module_and_code(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import sys, torch\nprint(__name__, __package__, sys.argv[1:], torch.ones(1).device)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert output(run("-m", "package", "x", "-c")) == "__main__ package ['x', '-c'] alt:0"
    assert output(run(str(package), "y")).startswith("__main__  ['y']")
    printed = output(run("-c", "import sys, torch; print(sys.argv, torch.ones(1).device)", "z"))
    assert printed == "['-c', 'z'] alt:0"


@pytest.mark.parametrize(
    "last_line, status",
    [
        ("raise SystemExit(3)", 3),
        ("import sys; sys.exit('a message')", 1),
        ("pass", 0),
        ("1 / 0", 1),
        ("def broken(:", 1),
        ("import os; os._exit(5)", 5),
    ],
)
def test_exit_status_and_traceback(script, last_line: str, status: int) -> None:
    path = script(f"def f():\n    {last_line}\nf()\n")
    here, there = run(path), python(path)
    assert here.returncode == there.returncode == status
    assert here.stderr == there.stderr
    assert here.stdout == there.stdout


def test_exceptions_of_a_module_with_a_cause(script) -> None:
    path = script(
        """
        def f():
            try:
                {}["key"]
            except KeyError as error:
                raise ValueError("no such key") from error
        f()
        """
    )
    here, there = run(path), python(path)
    assert (here.returncode, here.stderr) == (there.returncode, there.stderr)


def test_excepthook_and_atexit_of_the_script(script) -> None:
    path = script(
        """
        import atexit, sys
        sys.excepthook = lambda kind, error, trace: print("hook", kind.__name__, error)
        atexit.register(print, "bye")
        raise ValueError("x")
        """
    )
    process = run(path)
    assert (process.returncode, process.stdout.split("\n")[:2]) == (1, ["hook ValueError x", "bye"])


def test_interrupt_ends_by_the_signal(script) -> None:
    process = run(script("raise KeyboardInterrupt"))
    assert process.returncode == -signal.SIGINT
    assert process.stderr.strip().split("\n")[-1] == "KeyboardInterrupt"


def test_file_that_is_not_there() -> None:
    here, there = run("no/such/script.py"), python("no/such/script.py")
    assert here.returncode == there.returncode == 2
    assert here.stderr.strip() == there.stderr.strip()


def test_classes_of_the_script_pickle(script) -> None:
    path = script(
        """
        import pickle
        class A:
            pass
        print(type(pickle.loads(pickle.dumps(A()))) is A)
        """
    )
    assert output(run(path)) == "True"


@pytest.mark.parametrize(
    "arguments", [[], ["run"], ["bench", "--no-such-option"], ["run", "-m", "-c", "x"]]
)
def test_usage(arguments: list[str]) -> None:
    process = python("-m", "altbackend", *arguments)
    assert process.returncode == 2
    assert "usage: python -m altbackend" in process.stderr


# ---- where things run ----


def test_default_device_and_cuda(script) -> None:
    path = script(
        """
        import torch
        print(torch.ones(1).device, torch.get_default_device(), torch.cuda.is_available())
        print(torch.nn.Linear(1, 1).weight.device)
        """
    )
    assert output(run(path)) == "alt:0 alt:0 True\nalt:0"
    assert output(run("--keep-cuda", path)) == "alt:0 alt:0 False\nalt:0"


# Each of these works on the cpu; under torch.set_default_device(<accelerator>) stock raises or
# mixes devices. The same seed gives the same numbers.
ON_CPU_ONLY = {
    "shuffled loader": """
        data = torch.utils.data.TensorDataset(torch.arange(12.0), torch.arange(12))
        for x, y in torch.utils.data.DataLoader(data, batch_size=4, shuffle=True):
            print((x + torch.ones(4)).tolist(), y.tolist())
    """,
    "loader with a generator": """
        data = torch.utils.data.TensorDataset(torch.arange(12.0))
        for name in (None, "cpu"):
            generator = torch.Generator(name) if name else torch.Generator()
            generator.manual_seed(3)
            loader = torch.utils.data.DataLoader(data, 4, shuffle=True, generator=generator)
            print([x.tolist() for x, in loader])
    """,
    "random split": """
        a, b = torch.utils.data.random_split(range(10), [6, 4])
        print(list(a), list(b), torch.rand(2).tolist())
        a, b = torch.utils.data.random_split(range(10), [6, 4], torch.Generator().manual_seed(1))
        print(list(a), list(b), torch.rand(2).tolist())
    """,
    "samplers": """
        from torch.utils.data import RandomSampler, SubsetRandomSampler, WeightedRandomSampler
        print(list(RandomSampler(range(5))), list(RandomSampler(range(5), replacement=True)))
        print(list(SubsetRandomSampler([3, 1, 2])))
        print(list(WeightedRandomSampler([1.0, 2.0, 3.0], 5)))
        print(list(WeightedRandomSampler([1.0, 2.0], 5, generator=torch.Generator())))
    """,
    "worker processes": """
        data = torch.utils.data.TensorDataset(torch.arange(8.0))
        loader = torch.utils.data.DataLoader(data, 4, shuffle=True, num_workers=2)
        for x, in loader:
            print((x * torch.ones(4)).tolist())
    """,
    "dataset of tensors made in the worker": """
        class Squares(torch.utils.data.Dataset):
            def __len__(self):
                return 6
            def __getitem__(self, index):
                return torch.tensor([float(index)]) ** 2, index
        for workers in (0, 2):
            for x, y in torch.utils.data.DataLoader(Squares(), 3, num_workers=workers):
                print((x * torch.ones(3, 1)).tolist(), (y + torch.ones(3)).tolist())
    """,
    "old constructors": """
        x = torch.Tensor([[1, 2], [3, 4]])
        print((x + torch.ones(2)).tolist(), torch.Tensor(2, 3).shape, torch.Tensor().shape)
        print((torch.FloatTensor([1]) * torch.ones(1)).item(), torch.LongTensor(2).dtype)
        print(torch.Tensor(x).data_ptr() == x.data_ptr(), isinstance(x, torch.Tensor))
        print(isinstance(x, torch.FloatTensor), isinstance(x, torch.LongTensor))
        print(x.type(torch.LongTensor).dtype, x.type("torch.DoubleTensor").dtype)
        print((x.type(torch.LongTensor) + torch.ones(2, dtype=torch.long)).tolist())
        print(torch.nn.Parameter(torch.Tensor(3, 3)).shape)
        class Own(torch.Tensor):
            pass
        print(type(Own([1.0])).__name__, torch.tensor([1.0]).new([5.0]).item())
    """,
    "normal": """
        print((torch.normal(0.0, 1.0, (3,)) + torch.zeros(3)).tolist())
        print((torch.normal(torch.zeros(2), 1.0) + torch.zeros(2)).tolist())
        print((torch.normal(mean=0.0, std=1.0, size=(2,)) + torch.zeros(2)).tolist())
    """,
    "packed sequences": """
        x = torch.arange(12.0).reshape(2, 3, 2)
        lengths = torch.tensor([3, 2])
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        unpacked, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
        print((unpacked + torch.ones(2, 3, 2)).tolist())
    """,
    "states of the random numbers": """
        state = torch.get_rng_state()
        first = torch.rand(3).tolist()
        torch.set_rng_state(state)
        print(first == torch.rand(3).tolist(), first, torch.initial_seed())
        with torch.random.fork_rng():
            torch.rand(3)
        print(torch.rand(2).tolist())
    """,
    "generators": """
        generator = torch.Generator().manual_seed(5)
        print((torch.rand(3, generator=generator) + torch.zeros(3)).tolist())
        print((torch.rand(3, generator=torch.default_generator) + torch.zeros(3)).tolist())
        generator = torch.Generator("cpu").manual_seed(5)
        print((torch.randn(3, generator=generator) + torch.zeros(3)).tolist())
        print((torch.zeros(3).uniform_(generator=generator) + torch.zeros(3)).tolist())
        print(isinstance(generator, torch.Generator))
    """,
    "threads": """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        weight = torch.ones(2)
        def work(i):
            return ((torch.full((2,), float(i)) + torch.Tensor([1, 2])) * weight).tolist()
        with ThreadPoolExecutor(2) as pool:
            print(list(pool.map(work, range(3))))
    """,
    "functions of the script's in backward": """
        class Double(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2
            @staticmethod
            def backward(ctx, grad):
                return grad * torch.tensor([2.0]) * torch.Tensor([1.0])
        x = torch.ones(2, requires_grad=True)
        x.register_hook(lambda grad: grad + torch.ones(2))
        Double.apply(x).sum().backward()
        print(x.grad.tolist())
        (grad,) = torch.autograd.grad(Double.apply(x).sum(), x)
        print(grad.tolist())
    """,
    "optimizers": """
        for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop):
            weight = torch.ones(3, requires_grad=True)
            optimizer = kind([weight], lr=0.5)
            for _ in range(3):
                optimizer.zero_grad()
                (weight * torch.arange(3.0)).sum().backward()
                optimizer.step()
            print([round(value, 4) for value in weight.tolist()])
    """,
    "dropout and initialisation": """
        model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout())
        print([[round(v, 4) for v in row] for row in model(torch.ones(2, 3)).tolist()])
        torch.nn.init.xavier_normal_(model[0].weight, generator=torch.Generator().manual_seed(2))
        print([[round(v, 4) for v in row] for row in model[0].weight.tolist()])
    """,
    "files": """
        import io
        file = io.BytesIO()
        torch.save({"x": torch.arange(3.0)}, file)
        file.seek(0)
        print((torch.load(file)["x"] + torch.ones(3)).tolist())
    """,
}


ALL = f"""
import contextlib, io, json, textwrap, traceback, torch, torch.utils.data
printed = {{}}
for name, body in {ON_CPU_ONLY!r}.items():
    torch.manual_seed(0)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(textwrap.dedent(body), {{"torch": torch, "__name__": "__main__"}})
        except Exception:
            print(traceback.format_exc())
    printed[name] = out.getvalue().splitlines()
print(json.dumps(printed))
"""


@pytest.fixture(scope="module")
def printed() -> dict[str, dict[str, list[str]]]:
    """What each script prints, by where it runs."""
    return {
        "cpu": json.loads(output(python("-c", ALL))),
        "alt": json.loads(output(run("-c", ALL))),
        "alt, no shim": json.loads(output(run("--keep-cuda", "-c", ALL))),
    }


@pytest.mark.parametrize("where", ["alt", "alt, no shim"])
@pytest.mark.parametrize("name", ON_CPU_ONLY)
def test_scripts_for_the_cpu(printed, name: str, where: str) -> None:
    assert "Traceback (most recent call last):" not in printed["cpu"][name]
    assert printed[where][name] == printed["cpu"][name]


def test_explicit_cpu_is_respected(script) -> None:
    path = script(
        """
        import torch
        print(torch.ones(1, device="cpu").device, torch.Generator("cpu").device)
        with torch.device("cpu"):
            print(torch.ones(1).device, torch.Tensor([1]).device, torch.Generator().device)
        torch.set_default_device("cpu")
        print(torch.ones(1).device, torch.FloatTensor([1]).device, torch.normal(0.0, 1.0,
        (1,)).device)
        """
    )
    assert output(run(path)) == "cpu cpu\ncpu cpu cpu\ncpu cpu cpu"


def test_script_for_cuda(script) -> None:
    path = script(
        """
        import argparse, torch
        parser = argparse.ArgumentParser()
        parser.add_argument("--device", type=torch.device, default="cuda")
        device = parser.parse_args().device
        assert device.type == "cuda"
        model = torch.nn.Linear(2, 2).cuda()
        x = torch.cuda.FloatTensor([[1, 2]])
        with torch.autocast("cuda", dtype=torch.bfloat16):
            print(model(x.to(device)).dtype, model.weight.is_cuda)
        print(model(x).sum().item() == model(x).cpu().detach().numpy().sum())
        """
    )
    assert output(run(path)) == "torch.bfloat16 True\nTrue"


def test_numpy_of_an_alt_tensor_is_refused_as_cudas_is(script) -> None:
    process = run(script("import torch\ntorch.ones(1).numpy()\n"))
    assert process.returncode == 1
    assert process.stderr.strip().split("\n")[-1].startswith("TypeError: can't convert")


# ---- fallbacks ----


def test_fallback_option_and_report(script) -> None:
    path = script(
        """
        import torch
        library = torch.library.Library("script", "DEF")
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: x + x, "CPU")
        print(torch.ops.script.twice(torch.ones(1) + 0).item())
        """
    )
    process = run("--report", path)
    assert output(process) == "2.0"
    head, *rows = process.stderr.strip().split("\n")
    assert head.startswith("altbackend: ") and "fallbacks" in head and "native calls" in head
    assert any("twice" in row and path in row for row in rows)

    process = run("--fallback=forbid", path)
    assert process.returncode == 1 and "twice" in process.stderr
    assert "NotImplementedError" in process.stderr
    assert output(run("--fallback=allow", path, ALT_FALLBACK="forbid")) == "2.0"
    assert run(path, ALT_FALLBACK="forbid").returncode == 1


# ---- info ----


def test_info() -> None:
    text = output(python("-m", "altbackend", "info"))
    for part in (altbackend.__version__, torch.__version__, "alt:0", "engine", "host", "fallback"):
        assert part in text
    for name in _compatible.ENVIRONMENT:
        assert name in text


def test_info_as_json() -> None:
    settings = {"ALT_DEVICE_COUNT": "2", "ALT_FALLBACK": "warn", "ALT_NUM_THREADS": "1"}
    info = json.loads(output(python("-m", "altbackend", "info", "--json", **settings)))
    assert info["versions"]["torch"] == torch.__version__
    assert info["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert [device["device"] for device in info["devices"]] == ["alt:0", "alt:1"]
    assert info["fallback"] == "warn" and info["threads"] == 1
    assert info["environment"]["ALT_FALLBACK"] == "warn"
    assert info["devices"][0]["memory_total"] > info["devices"][0]["memory_allocated"] >= 0
    assert Path(info["build"]["extension"]).exists()
