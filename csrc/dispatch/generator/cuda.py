"""What a row does where the operators run on a GPU (docs/cuda.md).

The section `cuda` of ops.yaml sorts kernels by what is right for them there; a kernel that it does
not name is called on copies in host memory (dispatch/host_call.h).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch

from torchgen.model import Argument, NativeFunction

from generator.native_functions import NativeFunctions

SECTIONS = ("twins", "same", "composites", "host")
# Arguments that operators write to and whose schema does not say so.
WRITTEN = {"running_mean", "running_var"}


def is_written(argument: Argument) -> bool:
    annotated = argument.annotation is not None and argument.annotation.is_write
    return annotated or argument.name in WRITTEN


@dataclass
class Cuda:
    """The section `cuda`, and which of its entries rows have asked for."""

    native: NativeFunctions
    lists: dict[str, list[str]]
    used: set[str] = field(default_factory=set)

    @staticmethod
    def read(native: NativeFunctions, table: dict) -> Cuda:
        section = table.get("cuda") or {}
        unknown = set(section) - set(SECTIONS)
        if unknown:
            raise SystemExit(f"ops.yaml: cuda: unknown lists {sorted(unknown)}")
        return Cuda(native, {name: section.get(name) or [] for name in SECTIONS})

    def has(self, name: str, kernel: str) -> bool:
        """Whether the list `name` names the kernel; entries may be patterns."""
        found = [entry for entry in self.lists[name] if fnmatch(kernel, entry)]
        self.used.update(f"{name}: {entry}" for entry in found)
        return bool(found)

    def unused(self) -> list[str]:
        """Entries that no row has a kernel for: a typing error, or a row that is gone."""
        entries = [f"{name}: {entry}" for name, given in self.lists.items() for entry in given]
        return [
            f"ops.yaml: cuda: '{entry}' names no row" for entry in entries if entry not in self.used
        ]

    def alternative(
        self, f: NativeFunction, kernel: str, arguments: str, written: Sequence[str] = ()
    ) -> list[str]:
        """The statement before the host kernel's call, which returns where it was the right one.

        `written` are expressions of outputs that are no arguments of the schema.
        """
        if self.has("twins", kernel):
            return [
                "if (alt::cuda::on_gpu()) {",
                "  try {",
                f"    return alt::kernels::cuda::{kernel}({arguments});",
                "  } catch (const alt::cuda::NoKernel&) {",
                "  }",
                "}",
                *self.host_call(f, f"alt::kernels::{kernel}({arguments})", written),
            ]
        if self.has("same", kernel):
            return []
        if self.has("composites", kernel):
            composite = self.native.composite_kernel(f)
            return [f"if (alt::cuda::on_gpu()) return at::native::{composite}({arguments});"]
        return self.host_call(f, f"alt::kernels::{kernel}({arguments})", written)

    def host_call(self, f: NativeFunction, call: str, written: Sequence[str] = ()) -> list[str]:
        """The call on copies in host memory."""
        tensors = [
            a
            for a in (*f.func.arguments.flat_non_out, *f.func.arguments.out)
            if a.type.is_tensor_like()
        ]
        read = [a.name for a in tensors if not is_written(a)]
        write = [*(a.name for a in tensors if is_written(a)), *written]
        return [
            "if (alt::cuda::on_gpu()) {",
            f'  alt::HostCall host_call("aten::{f.func.name}");',
            *(f"  host_call.read({name});" for name in read),
            *(f"  host_call.write({name});" for name in write),
            f"  return host_call.run([&]() -> decltype(auto) {{ return {call}; }});",
            "}",
        ]

    def declare_twin(self, kernel: str, declaration: str) -> list[str]:
        """The declaration of a kernel in alt::kernels, and of its twin where it has one."""
        if not self.has("twins", kernel):
            return [declaration]
        return [declaration, f"namespace cuda {{ {declaration} }}"]

    def stub(self, stub: str, kernel: str) -> str:
        """What a DispatchStub gets."""
        if self.has("same", kernel):
            return f"&alt::kernels::{kernel}"
        if self.has("twins", kernel):
            functions = f"&alt::kernels::{kernel}, &alt::kernels::cuda::{kernel}"
            return f'(&alt::TwinStub<{functions}, "{stub}">::call)'
        return f'(&alt::HostStub<&alt::kernels::{kernel}, "{stub}">::call)'
