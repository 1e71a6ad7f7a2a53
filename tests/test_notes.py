"""``python -m conformance notes`` finds the code, agrees where it should, and catches defects."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from conformance.__main__ import main
from conformance.notes.compare import differences, text_differences
from conformance.notes.extract import extract
from conformance.notes.values import NumberValue, Record, TensorValue, UnreadableValue
from conformance.notes.verdict import (
    AGREES,
    BOTH_RAISE,
    DIFFERS,
    EXPECTED,
    FAILS,
    NO_REFERENCE,
    Judge,
)

PAGE = """
# A page

```py
x = torch.arange(6.).view(2, 3)
memory = torch.empty(1000)
memory
```

- in a list:

  ~~~
  >>> y = x.cumsum(1)
  >>> y
  tensor([[0., 1., 3.],
          [3., 7., 12.]])
  >>> torch.flip(x, [0])
  ~~~

> ```python
> total = x.sum().item()
> print("the total is", x.sum())
> undefined_name + 1
> ```
"""


def sources(document: str) -> list[list[str]]:
    blocks = extract(textwrap.dedent(document))
    return [[statement.source for statement in block.statements] for block in blocks]


def check(page: str, folder: Path, *options: str, setup: str = "") -> tuple[int, dict[str, Any]]:
    """The exit status and the JSON of one run; `setup` is Python run on the side of alt only."""
    document = folder / "page.md"
    document.write_text(textwrap.dedent(page))
    spoiled = folder / "setup.py"
    spoiled.write_text(textwrap.dedent(setup))
    out = folder / "out.json"
    arguments = ["notes", str(document), "--quiet", "--json", str(out), "--setup", str(spoiled)]
    status = main([*arguments, *options])
    return status, json.loads(out.read_text())


def statements(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    blocks = [block for document in result["documents"] for block in document["blocks"]]
    return {row["source"]: row for block in blocks for row in block["statements"]}


def tensor(values: bytes, dtype: str = "float32", **others: Any) -> TensorValue:
    count = len(values) // (8 if "64" in dtype else 4)
    return TensorValue("tensor", dtype, (count,), values, dtype, **others)


# -- Finding the code ------------------------------------------------------------------------------


def test_extract_takes_every_kind_of_fence():
    document = """
    ```python title="a"
    a = 1
    ```
    1. ~~~~
       b = (1,
            2)
       ```
       ~~~~
    > > ```
    > > c = 3
    > > ```
    ```
    d = 4
    """
    assert sources(document) == [["a = 1"], ["b = (1,\n     2)"], ["c = 3"], ["d = 4"]]


def test_extract_reads_sessions_and_leaves_their_output():
    document = """
    ```
    >>> for i in range(2):
    ...     print(i)
    ...
    0
    1
    >>> x = 1  # the output of the next line is a statement of its own
    >>> x
    1
    ```
    """
    expected = "for i in range(2):\n    print(i)"
    assert sources(document) == [[expected, "x = 1", "x"]]


def test_extract_goes_on_past_what_is_not_code():
    document = """
    ```
    $ pip install something
    a = 1
    optimizer(model, lr=0.1, ...)
    .ravel()  # a method of something
    @decorator
    def f():
        return 1
    for i in x:
        b = i
        not code at all
    c = 2
    ```
    """
    decorated = "@decorator\ndef f():\n    return 1"
    assert sources(document) == [["a = 1", decorated, "for i in x:\n    b = i", "c = 2"]]


def test_extract_knows_lines_and_names():
    blocks = extract("text\n\n```py\n\nx = 1\ny = f(x)\n```\n```\nz = [y for q in x]\n```\n")
    assert [statement.line for block in blocks for statement in block.statements] == [5, 6, 9]
    assert [statement.index for block in blocks for statement in block.statements] == [0, 1, 2]
    assert blocks[0].statements[1].reads == {"f", "x"}
    assert blocks[1].line == 8


# -- Comparing -------------------------------------------------------------------------------------


def test_compare_allows_rounding_and_nothing_more():
    one = tensor(b"\x00\x00\x80\x3f" * 2)  # 1.0, 1.0
    rounded = tensor(b"\x00\x00\x80\x3f\x01\x00\x80\x3f")
    wrong = tensor(b"\x00\x00\x80\x3f\x00\x20\x80\x3f")  # 1.001
    assert not list(differences(one, rounded))
    assert [d.kind for d in differences(one, wrong)] == ["value"]
    assert [d.kind for d in differences(one, tensor(b"\x00\x00\x80\x3f"))] == ["shape"]
    assert [d.kind for d in differences(one, tensor(one.data, requires_grad=True))] == [
        "requires_grad"
    ]
    assert [d.kind for d in differences(tensor(one.data, grad=one), one)] == ["type"]
    assert [d.kind for d in differences(tensor(one.data, "int64"), one)] == ["dtype", "shape"]
    assert [d.kind for d in differences(one, UnreadableValue("gone"))] == ["unreadable"]


def test_compare_numbers():
    assert not list(differences(NumberValue("float", 0.3), NumberValue("float", 0.1 + 0.2)))
    assert list(differences(NumberValue("int", 3), NumberValue("int", 4)))
    assert list(differences(NumberValue("int", 3), NumberValue("float", 3.0)))
    assert not list(
        differences(NumberValue("float", float("nan")), NumberValue("float", float("nan")))
    )


@pytest.mark.parametrize(
    ("stock", "alt"),
    [
        ("tensor([1., 2.])", "tensor([1., 2.], device='alt:0')"),
        ("tensor([1.0001])", "tensor([1.0002])"),
        ("tensor([ 0.0000])", "tensor([-0.0000])"),
        ("tensor([1.], grad_fn=<ConvolutionBackward0>)", "tensor([1.], grad_fn=<OtherBackward0>)"),
        ("<object at 0x7f00>", "<object at 0x8e11>"),
        ("torch.FloatTensor", "torch.alt.FloatTensor"),
        ("cpu", "cuda:0"),
        ("1.2345e-05", "1.2346e-05"),
    ],
)
def test_compare_texts_which_are_the_same(stock: str, alt: str):
    assert not list(text_differences(stock, alt, "printed"))


@pytest.mark.parametrize(
    ("stock", "alt"),
    [
        ("tensor([1., 2.])", "tensor([1., 3.])"),
        ("tensor([1.00])", "tensor([1.02])"),
        ("tensor([True])", "tensor([False])"),
        ("tensor([1.])", "tensor([1.], dtype=torch.float64)"),
        ("epoch 1", "epoch 2"),
        ("a", ""),
        ("1.2345e-05", "1.2345e-04"),
    ],
)
def test_compare_texts_which_are_not(stock: str, alt: str):
    assert list(text_differences(stock, alt, "printed"))


# -- Judging ---------------------------------------------------------------------------------------


def judge(*rows: tuple[str, Record, Record, Record]) -> list[str]:
    blocks = extract("```\n" + "\n".join(row[0] for row in rows) + "\n```")
    judge = Judge()
    verdicts = [
        judge.judge(statement, row[1:3], row[3])
        for statement, row in zip(blocks[0].statements, rows, strict=True)
    ]
    return [v.outcome if v.follows is None else f"{v.outcome} after {v.follows}" for v in verdicts]


def ok(**values: float) -> Record:
    changed = {name: NumberValue("float", value) for name, value in values.items()}
    return Record(0, "ok", changed=changed)


def error(kind: str) -> Record:
    return Record(0, "error", error_type=kind)


def test_judge_tells_causes_from_consequences():
    assert judge(
        ("a = f()", ok(a=1), ok(a=1), error("RuntimeError")),
        ("b = a + 1", ok(b=2), ok(b=2), error("NameError")),
        ("c = b + 1", ok(c=2), ok(c=2), ok(c=3)),
        ("a = 5", ok(a=5), ok(a=5), ok(a=5)),
        ("d = a", ok(d=5), ok(d=5), ok(d=6)),
    ) == [FAILS, f"{FAILS} after 0", f"{DIFFERS} after 0", AGREES, DIFFERS]


def test_judge_compares_errors():
    assert judge(
        ("f()", error("IndexError"), error("IndexError"), error("IndexError")),
        ("f()", error("IndexError"), error("IndexError"), error("RuntimeError")),
        ("f()", error("IndexError"), error("IndexError"), ok()),
    ) == [BOTH_RAISE, DIFFERS, DIFFERS]


def test_judge_leaves_out_what_two_stock_runs_disagree_on():
    assert judge(
        ("a = f()", ok(a=1), ok(a=2), ok(a=3)),
        ("b = a", ok(a=1, b=1), ok(a=2, b=1), ok(a=3, b=3)),
    ) == [AGREES, DIFFERS]


def test_judge_has_no_reference_for_what_stock_does_not_know():
    unknown = Record(0, "error", error_type="RuntimeError", error="no device string: alt")
    assert judge(
        ("a = f().to('alt')", unknown, unknown, ok(a=1)),
        ("b = a + 1", error("NameError"), error("NameError"), ok(b=2)),
        ("b = 3", ok(b=3), ok(b=3), ok(b=3)),
        ("c = b", error("NameError"), error("NameError"), ok(c=3)),
    ) == [NO_REFERENCE, NO_REFERENCE, AGREES, DIFFERS]


def test_judge_excuses_numbers_of_two_generators_and_what_is_made_of_them():
    drawn = Record(0, "ok", changed={"a": NumberValue("float", 2)}, two_generators=True)
    assert judge(
        ("a = f()", ok(a=1), ok(a=1), drawn),
        ("b = a", ok(b=1), ok(b=1), ok(b=2)),
        ("c = 1", ok(c=1), ok(c=1), ok(c=2)),
    ) == [EXPECTED, EXPECTED, DIFFERS]


# -- The whole, with the cpu in the place of alt: what is planted there must be found --------------


def test_planted_defects_are_caught(tmp_path: Path):
    setup = """
        import os, torch
        cumsum, text = torch.Tensor.cumsum, torch.Tensor.__format__
        torch.Tensor.cumsum = lambda self, dim: cumsum(self, dim) + (torch.arange(3) == 2) * 0.01
        def flip(*_): raise RuntimeError("planted")
        torch.flip = flip
        torch.Tensor.__repr__ = torch.Tensor.__str__ = lambda self, **_: "tensor(0.)"
        """
    status, result = check(PAGE, tmp_path, "--device", "cpu", "--ways", "moved", setup=setup)
    assert status == 1
    rows = {source: row["moved"] for source, row in statements(result).items()}
    assert "2 of 6 elements differ" in rows["y = x.cumsum(1)"]["reasons"][0]
    assert rows["torch.flip(x, [0])"]["outcome"] == FAILS
    assert rows["torch.flip(x, [0])"]["reasons"] == ["RuntimeError: planted"]
    assert rows["y"]["outcome"] == DIFFERS
    printing = rows['print("the total is", x.sum())']
    assert printing["outcome"] == DIFFERS
    assert "<printed>" in printing["reasons"][0]
    assert rows["x = torch.arange(6.).view(2, 3)"]["outcome"] == AGREES
    assert rows["total = x.sum().item()"]["outcome"] == AGREES
    assert rows["undefined_name + 1"]["outcome"] == BOTH_RAISE


def test_a_statement_that_kills_the_process_is_caught_and_the_rest_runs(tmp_path: Path, capsys):
    setup = """
        import os, signal, torch
        torch.flip = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        """
    status, result = check(PAGE, tmp_path, "--device", "cpu", "--ways", "default", setup=setup)
    assert status == 1
    rows = {source: row["default"] for source, row in statements(result).items()}
    assert rows.pop("torch.flip(x, [0])")["outcome"] == FAILS
    assert {row["outcome"] for row in rows.values()} == {AGREES, BOTH_RAISE}
    assert "status -9" in capsys.readouterr().out


@pytest.mark.parametrize("page", ["# No code at all\n", "```\nundefined_name\n```\n"])
def test_nothing_to_run_is_a_failure(tmp_path: Path, page: str):
    status, _ = check(page, tmp_path, "--device", "cpu", "--ways", "default")
    assert status == 1


def test_bad_arguments(tmp_path: Path, capsys):
    assert main(["notes", str(tmp_path / "missing.md")]) == 2
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert main(["notes", str(page), "--ways", "sideways"]) == 2
    assert "sideways" in capsys.readouterr().err


# -- The whole, on alt -----------------------------------------------------------------------------

SCRIPT = """
```
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
data = torch.Tensor([[0, 1], [2, 3]])  # a legacy constructor: on the cpu for every default device
w = torch.tensor([1.0, 2.0], requires_grad=True)
loss = ((data * w).sum(1) ** 2).mean()
loss.backward()
w.grad
net = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.ReLU(), nn.Linear(4, 1)).to(device)
optimizer = optim.SGD(net.parameters(), lr=0.1)
for epoch in range(3):
    row = torch.Tensor(data[epoch % 2]).to(device)
    optimizer.zero_grad()
    error = net(row).pow(2).sum()
    error.backward()
    optimizer.step()
    print(epoch, error.data.cpu().numpy().shape, error.item())
if torch.cuda.is_available():
    moved = data.cuda() + torch.ones(2, device="cuda")
memory = torch.empty(3, 3)
array = np.ones(3)
shared = torch.from_numpy(array)
array += 1
shared
copied = data.numpy()
torch.ones(2) @ torch.ones(3)
{"parts": [torch.randn(20), (torch.randperm(5), "text")]}
```
"""


def test_alt_agrees_in_every_way(tmp_path: Path):
    status, result = check(SCRIPT, tmp_path)
    rows = statements(result)
    wrong = {
        (source, way): row[way]["reasons"]
        for source, row in rows.items()
        for way in result["ways"]
        if row[way]["outcome"] not in (AGREES, EXPECTED, BOTH_RAISE)
    }
    assert not wrong
    assert status == 0
    for way in ("default", "cuda", "moved"):
        assert rows["loss.backward()"][way]["native_calls"] > 0
        assert rows["copied = data.numpy()"][way]["adapted"] == {"numpy read by way of cpu": 1}
        # NumPy's addition is not seen through memory that is not shared.
        assert rows["shared"][way]["outcome"] == EXPECTED


def test_a_defect_on_alt_is_caught(tmp_path: Path):
    setup = """
        import torch
        relu = torch.nn.functional.relu
        def spoiled(input, inplace=False):
            assert input.device.type == "alt"
            return relu(input) + 0.01
        torch.nn.functional.relu = spoiled
        """
    page = "```\nx = torch.randn(4)\ny = F.relu(x)\nz = y * 2\nw = x * 2\n```\n"
    status, result = check(page, tmp_path, "--ways", "moved", setup=setup)
    assert status == 1
    rows = {source: row["moved"] for source, row in statements(result).items()}
    assert {source: row["outcome"] for source, row in rows.items()} == {
        "x = torch.randn(4)": AGREES,
        "y = F.relu(x)": DIFFERS,
        "z = y * 2": DIFFERS,
        "w = x * 2": AGREES,
    }
    assert rows["z = y * 2"]["follows_statement"] == 1


def test_forbidden_fallbacks_fail(tmp_path: Path):
    # An operator that only the cpu has is a fallback on alt, whichever kernels alt may have.
    page = """
    ```
    library = torch.library.Library("notes_test", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CPU")
    y = torch.ops.notes_test.twice(torch.ones(2))
    z = torch.ones(2) + 1
    ```
    """
    status, result = check(page, tmp_path, "--ways", "default")
    twice = statements(result)["y = torch.ops.notes_test.twice(torch.ones(2))"]["default"]
    assert (status, twice["outcome"]) == (0, AGREES)
    assert ("notes_test::twice", 1) in [(row["op"], row["calls"]) for row in twice["fallbacks"]]
    status, result = check(page, tmp_path, "--ways", "default", "--fallback", "forbid")
    outcomes = [row["default"]["outcome"] for row in statements(result).values()]
    assert (status, outcomes) == (1, [AGREES, AGREES, AGREES, FAILS, AGREES])
