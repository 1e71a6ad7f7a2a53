"""Importing: the device is there after `import torch`, and nothing broken in altbackend breaks
that."""

import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from python_process import output, python_code

import altbackend
from altbackend import _compatible

NO_AUTOLOAD = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}


def test_import_torch_is_enough() -> None:
    printed = output(python_code("import torch; print(torch.ones(2, device='alt').device)"))
    assert printed == "alt:0"


def test_without_autoload_an_import_registers_the_device() -> None:
    code = """
        import torch
        print(hasattr(torch, "alt"))
        import altbackend
        print(hasattr(torch, "alt"))
    """
    assert output(python_code(code, **NO_AUTOLOAD)).split() == ["False", "True"]


@pytest.mark.parametrize("first", ["torch", "altbackend"])
def test_either_may_be_imported_first(first: str) -> None:
    code = f"import {first}, torch, altbackend; print(torch.zeros(1).alt().is_alt)"
    assert output(python_code(code)) == "True"


def test_import_costs_under_a_third_of_a_second_over_torch() -> None:
    code = """
        import time
        import torch
        start = time.process_time()  # not that of a busy machine's other processes
        import altbackend
        print(time.process_time() - start)
    """
    costs = [float(output(python_code(code, **NO_AUTOLOAD))) for _ in range(2)]
    assert min(costs) < 0.3


# ---- what is broken, and the words that its line must have ----


def broken_copy(folder: Path) -> Path:
    """A copy of the package, to be broken, that an import finds before the installed one."""
    package = folder / "altbackend"
    source = Path(altbackend.__file__).parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = folder / "altbackend-0.dist-info"
    metadata.mkdir()
    metadata.joinpath("METADATA").write_text(
        "Metadata-Version: 2.1\nName: altbackend\nVersion: 0\n"
    )
    metadata.joinpath("entry_points.txt").write_text(
        "[torch.backends]\naltbackend = altbackend:_autoload\n"
    )
    return package


def extension_of(package: Path) -> Path:
    (extension,) = package.glob("_C.*.so")
    return extension


def remove_build_info(package: Path) -> None:
    (package / "_build_info.py").unlink()


def remove_extension(package: Path) -> None:
    extension_of(package).unlink()


def truncate_extension(package: Path) -> None:
    extension = extension_of(package)
    extension.write_bytes(extension.read_bytes()[:-1000])


def extension_of_something_else(package: Path) -> None:
    extension_of(package).write_text("not a library")


def other_torch(package: Path) -> None:
    edit(package / "_build_info.py", r"TORCH_VERSION = .*", 'TORCH_VERSION = "1.2.3"')


def other_cpu(package: Path) -> None:
    edit(package / "_build_info.py", r"CPU_FEATURES = .*", 'CPU_FEATURES = ["avx2", "avx9000"]')


def python_error(package: Path) -> None:
    (package / "alt" / "memory.py").write_text("import no_such_module\n")


def syntax_error(package: Path) -> None:
    (package / "_register.py").write_text("def register(:\n")


def edit(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text())
    assert count == 1
    path.write_text(text)


BROKEN = {
    "not built": (remove_build_info, r"not built; build it with `.*`"),
    "no extension": (remove_extension, r"not built; build it with `.*`"),
    "truncated extension": (truncate_extension, r"is cut short; rebuild it with `.*`"),
    "no library": (extension_of_something_else, r"does not load.*; rebuild it with `.*`"),
    "another torch": (other_torch, r"built for torch 1\.2\.3 and this is torch .*; rebuild"),
    "another cpu": (other_cpu, r"this CPU lacks avx9000; rebuild"),
    "error in Python": (python_error, r"No module named 'no_such_module'.*rebuild"),
    "syntax error": (syntax_error, r"SyntaxError.*rebuild"),
}


# An editable install's finder completes a package that lacks files with those of the project.
WITHOUT_EDITABLE_FINDER = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder)]
"""


def imported_from(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    whole = WITHOUT_EDITABLE_FINDER + textwrap.dedent(code)
    return python_code(whole, folder=folder, PYTHONPATH=str(folder))


@pytest.mark.parametrize("kind", BROKEN)
def test_broken(kind: str, tmp_path: Path) -> None:
    do_break, words = BROKEN[kind]
    do_break(broken_copy(tmp_path))

    # torch works, says in one line what is wrong, and has no such device.
    code = """
        import torch
        print((torch.ones(2) + 1).tolist(), hasattr(torch, "alt"))
        try:
            import altbackend
        except ImportError as error:
            print(error)
    """
    process = imported_from(tmp_path, code)
    torch_works, explicit = output(process).split("\n")
    assert torch_works == "[2.0, 2.0] False"
    (line,) = process.stderr.strip().split("\n")
    assert line.startswith("altbackend: ") and re.search(words, line), line
    assert explicit == line


def test_an_explicit_import_says_it_once(tmp_path: Path) -> None:
    other_torch(broken_copy(tmp_path))
    process = imported_from(tmp_path, "import altbackend")
    assert process.returncode == 1
    lines = process.stderr.strip().split("\n")
    assert lines[-1].startswith("ImportError: altbackend: it was built for torch 1.2.3")
    assert sum("altbackend: " in line for line in lines) == 1


def test_the_copy_is_what_is_imported(tmp_path: Path) -> None:
    package = broken_copy(tmp_path)
    printed = output(imported_from(tmp_path, "import altbackend; print(altbackend.__file__)"))
    assert printed == str(package / "__init__.py")


def test_another_backend_has_the_place() -> None:
    process = python_code(
        """
        import torch
        torch.utils.rename_privateuse1_backend("other")
        import altbackend
        """,
        **NO_AUTOLOAD,
    )
    assert process.returncode == 1
    last = process.stderr.strip().split("\n")[-1]
    assert last.startswith("ImportError: altbackend: ") and "'other' has taken it" in last


# ---- the checks by themselves ----


@pytest.mark.parametrize(
    "name, value",
    [
        ("ALT_DEVICE_COUNT", "127"),
        ("ALT_DEVICE_COUNT", ""),
        ("ALT_ENGINE", "host"),
        ("ALT_ENGINE", "cuda"),
        ("ALT_FALLBACK", "forbid"),
        ("ALT_MEMORY_LIMIT", "1.5G"),
        ("ALT_MEMORY_LIMIT", "1000000"),
        ("ALT_NUM_THREADS", "1"),
    ],
)
def test_settings_that_are_right(name: str, value: str) -> None:
    _compatible.check_environment({name: value})


def test_settings_are_those_of_the_cplusplus_side() -> None:
    code = "import torch; from altbackend import _C; print(sorted(_C.environment()))"
    right = {"ALT_DEVICE_COUNT": "127", "ALT_MEMORY_LIMIT": "1.5G", "ALT_NUM_THREADS": "1024"}
    assert output(python_code(code, **right)) == str(sorted(_compatible.ENVIRONMENT))


@pytest.mark.parametrize(
    "name, value",
    [
        ("ALT_DEVICE_COUNT", "0"),
        ("ALT_DEVICE_COUNT", "128"),
        ("ALT_DEVICE_COUNT", "1.5"),
        ("ALT_ENGINE", "Host"),
        ("ALT_FALLBACK", "allow "),
        ("ALT_MEMORY_LIMIT", "0"),
        ("ALT_MEMORY_LIMIT", "-1G"),
        ("ALT_MEMORY_LIMIT", "1T"),
        ("ALT_NUM_THREADS", "1025"),
    ],
)
def test_settings_that_are_wrong(name: str, value: str) -> None:
    with pytest.raises(ImportError, match=f"{name}='.*' is not valid.*; correct it or unset it"):
        _compatible.check_environment({name: value})


def test_patch_versions_of_torch_are_alike() -> None:
    _compatible.check_torch("2.13.1+cu130", "2.13.0+cpu")
    with pytest.raises(ImportError, match="rebuild"):
        _compatible.check_torch("2.12.0", "2.13.0+cpu")


def test_cpu_flags(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 fma\nbugs\t\t: none\n")
    assert _compatible.cpu_flags(str(cpuinfo)) == {"fpu", "avx2", "fma"}
    assert _compatible.cpu_flags(str(tmp_path / "none")) is None
