"""The C++ around a kernel: the function that the dispatcher calls, and its registration."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from torchgen.api.translate import translate
from torchgen.api.types import Expr, NativeSignature
from torchgen.model import DeviceCheckType, NativeFunction, TensorOptionsArguments

# Operators whose business is to cross devices.
CROSS_DEVICE = {"copy_", "_copy_from", "_copy_from_and_resize"}
# Arguments that may lie on the CPU: step counters, which torch.optim keeps there.
ON_ANY_DEVICE = {"state_steps"}


@dataclass
class Emitted:
    """What one row of ops.yaml gives."""

    includes: set[str] = field(default_factory=set)
    declarations: list[str] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)  # definitions in alt::kernels
    definitions: list[str] = field(default_factory=list)
    registrations: list[str] = field(default_factory=list)


def identifier(f: NativeFunction) -> str:
    name = str(f.func.name).replace(".", "_")
    return f"wrapper_{name}"


def guards(f: NativeFunction) -> list[str]:
    """What every wrapper does first: same-device check, device guard, the counter."""
    lines = ["alt::count_native_call();"]
    arguments = list(itertools.chain(f.func.arguments.out, f.func.arguments.flat_positional))
    tensors = [a for a in arguments if a.type.is_tensor_like() and a.name not in ON_ANY_DEVICE]
    checked = f.device_check is not DeviceCheckType.NoCheck
    if checked and len(tensors) > 1 and str(f.func.name) not in CROSS_DEVICE:
        lines.append("std::optional<c10::Device> common_device;")
        lines += [
            f"c10::impl::check_and_update_common_device("
            f'common_device, {a.name}, "{identifier(f)}", "{a.name}");'
            for a in tensors
        ]
    if not f.device_guard:
        return lines
    if any(isinstance(a, TensorOptionsArguments) for a in f.func.arguments.non_out):
        lines.append("const alt::CurrentDevice current_device(c10::device_or_default(device));")
        return lines
    self_argument = f.func.arguments.self_arg
    candidates = [self_argument.argument] if self_argument is not None else []
    first = next((a for a in [*candidates, *arguments] if a.type.is_tensor_like()), None)
    if first is not None:
        lines.append(f"const alt::CurrentDevice current_device(at::device_of({first.name}));")
    return lines


def call(name: str, arguments: Iterable[Expr]) -> str:
    return f"{name}({', '.join(a.expr for a in arguments)})"


def define(f: NativeFunction, symint: bool, body: list[str]) -> str:
    signature = NativeSignature(f.func, symint=symint)
    text = "\n".join(f"  {line}" for line in body)
    return f"{signature.defn(identifier(f))} {{\n{text}\n}}\n"


def register(f: NativeFunction) -> str:
    # A pointer, not TORCH_FN: operators of one signature then share the templates that box it,
    # which are two thirds of what these files take to compile.
    return f'm.impl("{f.func.name}", &{identifier(f)});'


def forwarded(f: NativeFunction, symint: bool) -> str:
    """The arguments of the wrapper, as it hands them on."""
    given = NativeSignature(f.func, symint=symint).arguments()
    return ", ".join(a.expr for a in translate(given, given, method=False))


def unstructured(
    f: NativeFunction, kernel: str, symint: bool, emitted: Emitted, first: Sequence[str] = ()
) -> None:
    """`first` are statements that return where something else than the kernel is to be called."""
    body = [*guards(f), *first, f"return {kernel}({forwarded(f, symint)});"]
    emitted.definitions.append(define(f, symint, body))
    emitted.registrations.append(register(f))
