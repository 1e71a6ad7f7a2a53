"""Builds altbackend._C with CMake and Ninja and records what the build needs of a machine.

ALT_ARCH       native (default), x86-64-v3, x86-64-v4 or armv8
ALT_SANITIZE   address, undefined or thread (developer builds, see the Makefile)
ALT_BUILD_DIR  build folder (default build)
MAX_JOBS       parallel compilations (default: the number of CPUs)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
BUILD_INFO = "_build_info.py"
ARCHITECTURES = ("native", "x86-64-v3", "x86-64-v4", "armv8")

# Compiler macro -> /proc/cpuinfo flag, for the instruction sets that the kernels are compiled to.
CPU_FLAGS = {
    "__AVX2__": "avx2",
    "__FMA__": "fma",
    "__F16C__": "f16c",
    "__BMI2__": "bmi2",
    "__AVX512F__": "avx512f",
    "__AVX512BW__": "avx512bw",
    "__AVX512CD__": "avx512cd",
    "__AVX512DQ__": "avx512dq",
    "__AVX512VL__": "avx512vl",
    "__AVX512VNNI__": "avx512_vnni",
    "__AVX512BF16__": "avx512_bf16",
    "__AVX512VBMI__": "avx512vbmi",
    "__AVX512VBMI2__": "avx512_vbmi2",
    "__AVX512BITALG__": "avx512_bitalg",
    "__AVX512VPOPCNTDQ__": "avx512_vpopcntdq",
    "__AVX512FP16__": "avx512_fp16",
    "__AMX_TILE__": "amx_tile",
    "__ARM_NEON": "asimd",
}


def architecture() -> str:
    arch = os.environ.get("ALT_ARCH", "native")
    if arch not in ARCHITECTURES:
        sys.exit(f"ALT_ARCH is one of {', '.join(ARCHITECTURES)}; got '{arch}'")
    return arch


def required_cpu_flags(arch: str) -> list[str]:
    march = "armv8-a" if arch == "armv8" else arch
    compiler = os.environ.get("CXX", "g++")
    macros = subprocess.run(
        [compiler, f"-march={march}", "-dM", "-E", "-x", "c++", os.devnull],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    defined = {line.split()[1] for line in macros.splitlines() if line.startswith("#define ")}
    return [flag for macro, flag in CPU_FLAGS.items() if macro in defined]


class CMakeBuild(build_ext):
    """One CMake project for the one extension."""

    def run(self) -> None:
        # setuptools would build elsewhere and copy; built in place, `ninja -C build` is enough to
        # bring the package up to date.
        self.in_place = self.inplace
        super().run()

    def copy_extensions_to_source(self) -> None:
        """Nothing to copy."""

    def build_extension(self, ext: Extension) -> None:
        import torch

        arch = architecture()
        build = ROOT / os.environ.get("ALT_BUILD_DIR", "build")
        build.mkdir(parents=True, exist_ok=True)
        output = Path(self.get_ext_fullpath(ext.name)).parent.resolve()
        if self.in_place:
            output = ROOT / "altbackend"
        torch_version = torch.__version__.split("+")[0]
        configure = [
            "cmake",
            "-S",
            str(ROOT),
            "-B",
            str(build),
            "-GNinja",
            f"-DTORCH_DIR={Path(torch.__file__).parent}",
            f"-DTORCH_VERSION={torch_version}",
            f"-DPYTHON_EXECUTABLE={sys.executable}",
            f"-DPYTHON_INCLUDE={sysconfig.get_paths()['include']}",
            f"-DEXTENSION_SUFFIX={sysconfig.get_config_var('EXT_SUFFIX')}",
            f"-DOUTPUT_DIR={output}",
            f"-DALT_ARCH={arch}",
            f"-DALT_SANITIZE={os.environ.get('ALT_SANITIZE', '')}",
        ]
        jobs = os.environ.get("MAX_JOBS", str(os.cpu_count()))
        # The tools of the environment that runs this build come before the system's.
        environment = dict(os.environ)
        environment["PATH"] = os.pathsep.join(
            [str(Path(sys.executable).parent), environment.get("PATH", "")]
        )
        subprocess.run(configure, check=True, env=environment)
        subprocess.run(
            ["cmake", "--build", str(build), "-j", jobs, "--target", "_C"],
            check=True,
            env=environment,
        )
        (output / BUILD_INFO).write_text(
            '"""What this build needs of the machine; setup.py writes it, import reads it."""\n'
            f"\nTORCH_VERSION = {str(torch.__version__)!r}\n"
            f"ARCH = {arch!r}\n"
            f"CPU_FEATURES = {required_cpu_flags(arch)!r}\n"
        )
        if not self.in_place:
            self.copy_cuda_sources(output / "cuda" / "csrc")

    def copy_cuda_sources(self, target: Path) -> None:
        """What the CUDA engine compiles and reads when it is used, for a package without csrc."""
        csrc = ROOT / "csrc"
        sources = [*csrc.glob("ops/*.h"), csrc / "dispatch" / "ops.yaml"]
        sources += [csrc / "loops" / name for name in ("arguments.h", "function.h")]
        for source in sources:
            copy = target / source.relative_to(csrc)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


setup(
    ext_modules=[Extension("altbackend._C", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
)
