"""Every kernel of the CUDA engine is compiled by NVRTC, which needs neither a GPU nor a driver."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import types

import pytest

from altbackend.cuda import compile as compiler
from altbackend.cuda import failure, kernels, pointwise, table
from altbackend.cuda.errors import CompileError, CudaError

ARCHITECTURES = ["sm_80", "sm_90"]
ROWS = table.pointwise_rows()
# What a test compiles each operator for: one dtype of each kind that it computes in.
KINDS = ("float32", "int64", "complex64", "bool")
BROKEN = "template <class T> ALT_FN T broken(T x) {\n  return x + undeclared;\n}\n"


def some_key(row: table.PointwiseRow, dtype: str) -> pointwise.Key:
    output = "bool" if row.header == "comparison" or row.body == "signbit" else dtype
    if row.body in ("abs", "angle"):
        output = {"complex64": "float32"}.get(dtype, dtype)
    return pointwise.key(row.name, dtype, [output] * row.outputs, [dtype] * row.inputs)


def module_of(keys: list[pointwise.Key]) -> str:
    entries = "".join(pointwise.entries(key, f"kernel{i}_") for i, key in enumerate(keys))
    return pointwise.includes(keys) + entries


@pytest.mark.parametrize("header", sorted({row.header for row in ROWS.values()}))
def test_pointwise_operators_compile(header: str) -> None:
    rows = [row for row in ROWS.values() if row.header == header]
    # Every operator for one architecture in all kinds, for the other in one.
    every = [some_key(row, dtype) for row in rows for dtype in KINDS if dtype in row.types]
    one = [some_key(row, row.types[0]) for row in rows]
    for arch, keys in zip(ARCHITECTURES, (every, one), strict=True):
        code = compiler.compile_source(header, module_of(keys), arch, cached=False)
        assert code.count(b"contiguous") >= len(keys)


def test_casting_operands_compile() -> None:
    """Every dtype that memory holds, on load and on store."""
    from altbackend.cuda.dtypes import CPP

    keys = [pointwise.key("add_stub", "complex128", [d], [d, "float32"]) for d in CPP]
    for arch in ARCHITECTURES:
        assert compiler.compile_source("add", module_of(keys), arch, cached=False)


def test_portable_code_for_a_newer_gpu() -> None:
    source = pointwise.source(some_key(ROWS["silu_stub"], "float32"))
    code = compiler.compile_source("silu", source, "compute_80", cached=False)
    assert b".target sm_80" in code


def test_architecture() -> None:
    assert compiler.architecture(90, [75, 80, 90]) == "sm_90"
    assert compiler.architecture(103, [75, 80, 90]) == "compute_90"
    with pytest.raises(CudaError, match=r"compute capability 7.5 and newer; the GPU has 6.1"):
        compiler.architecture(61, [75, 80, 90])


def test_failure_to_compile_names_operator_and_line(tmp_path, monkeypatch) -> None:
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "broken.h").write_text('#include "loops/function.h"\n' + BROKEN)
    monkeypatch.setattr(compiler, "INCLUDE_PATHS", (tmp_path, *compiler.INCLUDE_PATHS))
    source = '#include "ops/broken.h"\n__global__ void k(float* x) { *x = broken(*x); }\n'
    with pytest.raises(CompileError) as error:
        compiler.compile_source("broken(float32)", source, "sm_80", cached=False)
    text = str(error.value)
    assert "the kernel of broken(float32) does not compile for sm_80" in text
    assert 'broken.h(3): error: identifier "undeclared" is undefined' in text
    assert "return x + undeclared;" in text


def test_failure_without_a_place_shows_the_log() -> None:
    assert compiler.explain("f", "sm_1", "", "nvrtc: error: what\n").endswith("nvrtc: error: what")


class Broken:
    """A binding of NVRTC whose library cannot be loaded."""

    @staticmethod
    def getVersion() -> None:
        raise RuntimeError("CuPy failed to load libnvrtc.so.12: OSError: no such file\nmore")


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (None, r"needs CuPy, which cannot be imported .*install altbackend\[cuda12\]"),
        (Broken, r"no NVRTC to compile kernels with \(CuPy failed to load libnvrtc.so.12.*install"),
    ],
)
def test_without_cupy_or_nvrtc(monkeypatch, module, text: str) -> None:
    cuda = types.ModuleType("cupy.cuda")
    if module is not None:
        cuda.nvrtc = module
    monkeypatch.setitem(sys.modules, "cupy", types.ModuleType("cupy"))
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)
    with pytest.raises(CudaError, match=text) as error:
        compiler.compile_source("f", "", "sm_80")
    assert "\n" not in str(error.value)


def test_results_are_kept_on_disk(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = "__global__ void k(float* x) { *x = 1; }\n"
    code = compiler.compile_source("k", source, "sm_80")
    (kept,) = (tmp_path / "altbackend" / "cuda").iterdir()
    monkeypatch.setattr(compiler, "_compile", lambda *_: b"compiled again")
    assert compiler.compile_source("k", source, "sm_80") == code
    assert compiler.compile_source("k", source, "sm_90") == b"compiled again"
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")  # damaged
    assert compiler.compile_source("k", source, "sm_80") == b"compiled again"


def test_a_disk_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(compiler, "_compile", lambda *_: b"code")
    assert compiler.compile_source("k", "source", "sm_80") == b"code"


def test_what_a_kernel_reports_is_raised_once() -> None:
    record = failure.Failure(failure.INDEX_OUT_OF_RANGE, 1, -7, 5)
    with pytest.raises(IndexError, match="index -7 is out of bounds for a dimension of size 5"):
        failure.check(record)
    failure.check(record)
    assert record.taken == 0
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        failure.check(failure.Failure(failure.ZERO_DIVISION, 1, 0, 0))


def test_nothing_is_imported_from_cupy_before_its_time() -> None:
    code = "import sys, altbackend.cuda.module; print('cupy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_failure_record_is_laid_out_as_in_the_kernels() -> None:
    assert ctypes.sizeof(failure.Failure) == 24


@pytest.mark.parametrize("file", sorted({where for where, _ in kernels.KERNELS.values()}))
def test_kernels_compile(file: str) -> None:
    keys = [
        kernels.Key(name, given)
        for name, (where, lists) in kernels.KERNELS.items()
        if where == file
        for given in lists
    ]
    for arch, chosen in zip(ARCHITECTURES, (keys, keys[::3]), strict=True):
        text = kernels.entries(chosen, [f"kernel{i}_" for i in range(len(chosen))])
        assert compiler.compile_source(file, text, arch, cached=False)


def test_adding_an_operator_is_one_function_and_one_line(tmp_path, monkeypatch) -> None:
    """The page docs/adding-an-operator.md holds for this engine too: nothing else names it."""
    shutil.copytree(table.CSRC / "ops", tmp_path / "ops")
    with (tmp_path / "ops" / "loss.h").open("a") as header:
        header.write(
            "namespace alt::ops {\ntemplate <class T>\nALT_FN T cubed(T x, T bias, bool twice) {\n"
            "  return twice ? x * x * x + bias + bias : x * x * x + bias;\n}\n}\n"
        )
    row = "    unary:\n      - {stub: cubed_stub, body: cubed, types: floating}\n"
    text = (table.CSRC / "dispatch" / "ops.yaml").read_text()
    head = "  - ops: loss\n    header: ATen/native/BinaryOps.h\n"
    assert head in text
    (tmp_path / "dispatch").mkdir()
    (tmp_path / "dispatch" / "ops.yaml").write_text(text.replace(head, head + row))
    (tmp_path / "loops").symlink_to(table.CSRC / "loops")

    caches = [table.table, table._header, table.pointwise_rows]
    monkeypatch.setattr(table, "CSRC", tmp_path)
    monkeypatch.setattr(compiler, "INCLUDE_PATHS", (*compiler.INCLUDE_PATHS[:2], tmp_path))
    for cache in caches:
        cache.cache_clear()
    try:
        added = table.pointwise_rows()["cubed_stub"]
        assert (added.inputs, added.outputs, added.scalars) == (1, 1, ("T", "bool"))
        key = pointwise.key("cubed_stub", "float16", ["float16"], ["float16"])
        code = compiler.compile_source(str(key), pointwise.source(key), "sm_90", cached=False)
        assert b"contiguous" in code
    finally:
        for cache in caches:
            cache.cache_clear()


def test_types_have_the_generators_names() -> None:
    """Both engines read `types` of a row; here they are dtypes, there they are C++ lists."""
    used = {
        row.get("types") for f in table.table()["pointwise"] for s in f for row in rows_of(f, s)
    }
    assert used <= set(table.TYPES)


def rows_of(family: dict, section: str) -> list[dict]:
    return family[section] if isinstance(family[section], list) else []
