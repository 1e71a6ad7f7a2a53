"""Turns ops.yaml into C++: registrations, stub bindings and kernel declarations.

    python generate.py OPS_YAML OUTPUT_DIRECTORY

torch ships torchgen and native_functions.yaml with its wheel, so every signature comes from the
torch that the build links to. A row that cannot be handled stops the build with its name.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

from generator.cuda import Cuda
from generator.files import (
    compat_header,
    kernels_header,
    registration_file,
    stub_file,
)
from generator.native_functions import NativeFunctions, RowError
from generator.rows import (
    emit_aten,
    emit_autograd,
    emit_derivative,
    emit_meta,
    emit_own,
    emit_reduction,
    emit_stub,
    pointwise_rows,
)
from generator.wrappers import Emitted

ROWS_PER_FILE = 80
STUB_ROWS_PER_FILE = 12


def duplicates(rows: Iterable[Emitted]) -> list[str]:
    """Registrations that two rows make: the later would silently replace the earlier."""
    # Up to the first comma stand the operator or the stub.
    named = [line.split(",")[0] for row in rows for line in row.registrations]
    return [f"ops.yaml: two rows give {name}, …)" for name, n in Counter(named).items() if n > 1]


def handled(errors: list[str], label: str, emit: Callable[[], Emitted]) -> Emitted:
    try:
        return emit()
    except (RowError, KeyError, ValueError, AssertionError) as error:
        errors.append(f"ops.yaml: row '{label}': {type(error).__name__}: {error}")
        return Emitted()


def chunks(rows: list[Emitted], size: int) -> list[list[Emitted]]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def generate(table_path: Path) -> dict[str, str]:
    """File name to file text, for the whole of ops.yaml."""
    table = yaml.safe_load(table_path.read_text())
    rows = {"aten", "meta", "own", "autograd", "derivatives", "stubs", "reductions", "pointwise"}
    unknown = set(table) - rows - {"shortcuts", "cuda", "newer"}
    if unknown:
        raise SystemExit(f"ops.yaml: unknown sections {sorted(unknown)}")
    native = NativeFunctions()
    cuda = Cuda.read(native, table)
    errors: list[str] = []
    absent = set(table.get("newer") or []) - set(native.functions)
    shortcuts = table.get("shortcuts") or {}
    registered = {
        "aten": [
            handled(errors, name, lambda n=name: emit_aten(native, cuda, n, shortcuts.get(n)))
            for name in table["aten"] or []
            if name not in absent
        ]
    }
    for section, emit in (("meta", emit_meta), ("own", emit_own)):
        registered[section] = [
            handled(errors, str(row), lambda r=row, e=emit: e(native, cuda, r))
            for row in table[section] or []
            if absent.isdisjoint(row)
        ]
    autograd = [
        handled(errors, str(row), lambda r=row: emit_autograd(native, cuda, r))
        for row in table.get("autograd") or []
    ]
    derivatives = [
        handled(errors, str(row), lambda r=row: emit_derivative(native, r))
        for row in table.get("derivatives") or []
    ]
    stubs = [
        handled(errors, str(row), lambda r=row: emit_stub(cuda, r)) for row in table["stubs"] or []
    ]
    reductions = [
        handled(errors, str(row), lambda r=row: emit_reduction(r))
        for row in table["reductions"] or []
    ]
    pointwise: dict[str, list[Emitted]] = defaultdict(list)
    for family, label, emit in pointwise_rows(table):
        pointwise[family].append(handled(errors, label, emit))
    everything = itertools.chain(
        *registered.values(), autograd, stubs, reductions, *pointwise.values()
    )
    nowhere = set(shortcuts) - set(table["aten"] or [])
    errors += [f"shortcuts: '{name}' is no row of aten" for name in sorted(nowhere)]
    errors += duplicates(everything) + duplicates(derivatives) + cuda.unused()
    if errors:
        raise SystemExit("\n".join(errors))

    files = {"torch_compat.h": compat_header()}
    for section, emitted in registered.items():
        for i, rows in enumerate(chunks(emitted, ROWS_PER_FILE)):
            files[f"register_{section}_{i}.cpp"] = registration_file(rows)
    files["register_autograd.cpp"] = registration_file(
        autograd, keys=("AutogradPrivateUse1", "PrivateUse1")
    )
    files["register_derivatives.cpp"] = registration_file(
        derivatives, keys=("AutogradPrivateUse1",)
    )
    for i, rows in enumerate(chunks(stubs, 90)):
        files[f"stubs_{i}.cpp"] = stub_file(rows)
    for i, rows in enumerate(chunks(reductions, STUB_ROWS_PER_FILE)):
        files[f"reductions_{i}.cpp"] = stub_file(rows)
    files["pointwise_kernels.h"] = kernels_header(list(itertools.chain(*pointwise.values())))
    for family, members in pointwise.items():
        for i, rows in enumerate(chunks(members, STUB_ROWS_PER_FILE)):
            files[f"pointwise_{family}_{i}.cpp"] = stub_file(rows)
    return files


def main() -> None:
    table, output = Path(sys.argv[1]), Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    files = generate(table)
    for name, text in files.items():
        path = output / name
        # An unchanged file keeps its time stamp, so that one new row recompiles one file.
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    for path in output.iterdir():
        if path.name not in files:
            path.unlink()


if __name__ == "__main__":
    main()
