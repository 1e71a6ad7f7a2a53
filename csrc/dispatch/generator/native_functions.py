"""native_functions.yaml of the torch that the build links to."""

from __future__ import annotations

from pathlib import Path

import torch
import torchgen
from torchgen.gen import get_grouped_native_functions, parse_native_yaml
from torchgen.model import BackendIndex, DispatchKey, NativeFunction, NativeFunctionsGroup


class RowError(Exception):
    """A row of ops.yaml that cannot be handled."""


class NativeFunctions:
    """native_functions.yaml by operator name."""

    def __init__(self) -> None:
        packaged = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native"
        parsed = parse_native_yaml(
            str(packaged / "native_functions.yaml"), str(packaged / "tags.yaml")
        )
        self.cpu: BackendIndex = parsed.backend_indices[DispatchKey.CPU]
        self.composites: list[BackendIndex] = [
            parsed.backend_indices[key]
            for key in (
                DispatchKey.CompositeExplicitAutograd,
                DispatchKey.CompositeExplicitAutogradNonFunctional,
                DispatchKey.CompositeImplicitAutograd,
            )
        ]
        self.functions: dict[str, NativeFunction] = {
            str(f.func.name): f for f in parsed.native_functions
        }
        self.groups: dict[str, NativeFunctionsGroup] = {
            str(g.functional.func.name): g
            for g in get_grouped_native_functions(parsed.native_functions)
            if isinstance(g, NativeFunctionsGroup) and g.structured
        }

    def function(self, name: str) -> NativeFunction:
        if name not in self.functions:
            raise RowError(f"torch {torch.__version__} has no operator '{name}'")
        return self.functions[name]

    def group(self, name: str) -> NativeFunctionsGroup:
        if name not in self.groups:
            raise RowError(f"'{name}' is not the functional name of a structured operator")
        return self.groups[name]

    def cpu_kernel(self, f: NativeFunction | NativeFunctionsGroup) -> tuple[str, bool]:
        """The at::native function of the CPU entry, and whether it takes SymInt."""
        metadata = self.cpu.get_kernel(f)
        if metadata is None:
            name = f.functional.func.name if isinstance(f, NativeFunctionsGroup) else f.func.name
            raise RowError(f"'{name}' has no CPU entry to share")
        return metadata.kernel, metadata.supports_symint()

    def composite_kernel(self, f: NativeFunction) -> str:
        """The at::native function that is made of other operators."""
        found = [m.kernel for m in (index.get_kernel(f) for index in self.composites) if m]
        if not found:
            raise RowError(f"'{f.func.name}' has no composite kernel")
        return found[0]
