"""The table of operators: a row that the generator cannot handle stops the build with its name."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

DISPATCH = Path(__file__).parents[1] / "csrc" / "dispatch"

EMPTY = """
aten: []
meta: []
own: []
stubs: []
reductions: []
"""


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    sys.path.insert(0, str(DISPATCH))
    yield importlib.import_module("generate")
    sys.path.remove(str(DISPATCH))


def refusal(generator: ModuleType, tmp_path: Path, table: str) -> str:
    path = tmp_path / "ops.yaml"
    path.write_text(table)
    with pytest.raises(SystemExit) as stopped:
        generator.generate(path)
    return str(stopped.value)


def test_every_unhandled_row_is_named(generator: ModuleType, tmp_path: Path) -> None:
    table = """
aten:
  - no_such_operator
  - add_.Tensor
meta:
  - nonzero: nonzero
own:
  - no_such_own: kernel
autograd:
  - convolution_overrideable: has_a_derivative_already
derivatives:
  - l1_loss: is_made_of_others
shortcuts:
  trace: way_past_nothing
stubs:
  - {stub: sin_stub, header: ATen/native/UnaryOps.h}
reductions:
  - {stub: sum_stub, body: Sum, types: quaternions}
pointwise:
  - ops: math
    header: ATen/native/UnaryOps.h
    unary:
      - {stub: cos_stub, body: cos, types: quaternions}
      - {stub: tan_stub, body: tan, types: floating, colour: green}
      - {stub: sinh_stub, kernel: hyperbolic_sine, body: sinh, types: floating}
      - {body: nobody, types: floating}
"""
    message = refusal(generator, tmp_path, table)
    for row in [
        "no_such_operator",
        "add_.Tensor",
        "nonzero",
        "no_such_own",
        "convolution_overrideable",
        "l1_loss",
        "shortcuts: 'trace'",
        "sin_stub",
        "sum_stub",
        "cos_stub",
        "tan_stub",
        "sinh_stub",
        "nobody",
    ]:
        assert row in message
    assert len(message.splitlines()) == 13


@pytest.mark.parametrize(
    "table",
    [
        EMPTY.replace("own: []", "own:\n  - nonzero: nonzero\n  - nonzero: other"),
        EMPTY.replace("aten: []", "aten:\n  - add.Tensor\n  - add.Tensor"),
        EMPTY + "derivatives:\n  - mse_loss: one\n  - mse_loss: two\n",
        EMPTY.replace(
            "stubs: []",
            "stubs:\n"
            "  - {stub: sin_stub, header: ATen/native/UnaryOps.h, kernel: one}\n"
            "  - {stub: sin_stub, header: ATen/native/UnaryOps.h, kernel: two}",
        ),
    ],
    ids=["own", "aten", "derivatives", "stubs"],
)
def test_two_rows_for_one_thing_are_refused(
    generator: ModuleType, tmp_path: Path, table: str
) -> None:
    assert "two rows give" in refusal(generator, tmp_path, table)


def test_an_unknown_section_is_refused(generator: ModuleType, tmp_path: Path) -> None:
    assert "'atens'" in refusal(generator, tmp_path, EMPTY + "atens: []\n")


def test_a_shortcut_comes_before_pytorchs_function(generator: ModuleType, tmp_path: Path) -> None:
    table = tmp_path / "ops.yaml"
    rows = "aten:\n  - index.Tensor\n  - _index_put_impl_\n"
    table.write_text(
        EMPTY.replace("aten: []\n", rows)
        + "shortcuts:\n  index.Tensor: short\n  _index_put_impl_: put\n"
    )
    written = "".join(generator.generate(table).values())
    assert "std::optional<at::Tensor> short(const at::Tensor & self" in written
    assert written.count("if (auto found = alt::kernels::short(self, indices))") == 1
    assert written.count("if (alt::kernels::put(self, indices, values, accumulate, unsafe))") == 1


def test_a_derivative_stands_in_autograds_place(generator: ModuleType, tmp_path: Path) -> None:
    table = tmp_path / "ops.yaml"
    table.write_text(EMPTY + "derivatives:\n  - mse_loss: square\n")
    written = generator.generate(table)["register_derivatives.cpp"]
    assert "TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, m)" in written
    assert "TORCH_LIBRARY_IMPL(aten, PrivateUse1, m)" not in written
    assert "return alt::kernels::square(self, target, reduction);" in written


def test_a_row_of_a_newer_torch_is_left_out(generator: ModuleType, tmp_path: Path) -> None:
    table = tmp_path / "ops.yaml"
    rows = "own:\n  - no_such_own: kernel\n  - trace: trace\n"
    table.write_text(EMPTY.replace("own: []\n", rows) + "newer:\n  - no_such_own\n  - trace\n")
    written = "".join(generator.generate(table).values())
    assert "no_such_own" not in written
    assert '"trace"' in written


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("  twins: [nothing_like_it]\n", "'twins: nothing_like_it' names no row"),
        ("  gemini: [trace]\n", "unknown lists ['gemini']"),
        ("  composites: [trace]\n", "'trace' has no composite kernel"),
    ],
)
def test_a_wrong_entry_for_the_gpu_is_refused(
    generator: ModuleType, tmp_path: Path, given: str, complaint: str
) -> None:
    table = EMPTY.replace("own: []", "own:\n  - trace: trace") + "cuda:\n" + given
    assert complaint in refusal(generator, tmp_path, table)


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        (
            "twins: [trace]",
            [
                "return alt::kernels::cuda::trace(self);",
                "} catch (const alt::cuda::NoKernel&) {",
                'alt::HostCall host_call("aten::trace");',
            ],
        ),
        ("twins: []", ['alt::HostCall host_call("aten::trace");']),
        ("same: [tra*]", []),
    ],
)
def test_what_a_row_does_on_a_gpu(
    generator: ModuleType, tmp_path: Path, given: str, lines: list[str]
) -> None:
    table = tmp_path / "ops.yaml"
    table.write_text(EMPTY.replace("own: []", "own:\n  - trace: trace") + f"cuda:\n  {given}\n")
    written = "".join(generator.generate(table).values())
    assert "return alt::kernels::trace(self);" in written
    assert ("on_gpu" in written) == bool(lines)
    assert all(line in written for line in lines)
