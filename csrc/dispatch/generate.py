"""Turns ops.yaml into C++: registrations, stub bindings and kernel declarations.

    python generate.py OPS_YAML OUTPUT_DIRECTORY

torch ships torchgen and native_functions.yaml with its wheel, so every signature comes from the
torch that the build links to. A row that cannot be handled stops the build with its name.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torchgen
import yaml
from torchgen.api import meta, structured
from torchgen.api.translate import translate
from torchgen.api.types import (
    BaseCType,
    Binding,
    Expr,
    MutRefCType,
    NamedCType,
    NativeSignature,
    tensorT,
)
from torchgen.context import native_function_manager
from torchgen.gen import get_grouped_native_functions, parse_native_yaml
from torchgen.model import (
    BackendIndex,
    DeviceCheckType,
    DispatchKey,
    NativeFunction,
    NativeFunctionsGroup,
    SchemaKind,
    TensorOptionsArguments,
)
from torchgen.utils import concatMap

ROWS_PER_FILE = 40
STUB_ROWS_PER_FILE = 6

# Names that ops.yaml uses for lists of compute dtypes (csrc/loops/dtype.h). The half types are
# computed in float, so no list names them.
TYPES = {
    "all": "alt::AllTypes",
    "all_complex": "alt::AllTypesAndComplex",
    "number": "alt::concat_t<alt::IntegralAndUnsignedTypes, alt::FloatingTypes>",
    "number_complex": (
        "alt::concat_t<alt::IntegralAndUnsignedTypes, alt::FloatingAndComplexTypes>"
    ),
    "integral": "alt::IntegralAndUnsignedTypes",
    "integral_bool": "alt::IntegralAndBoolTypes",
    "floating": "alt::FloatingTypes",
    "floating_complex": "alt::FloatingAndComplexTypes",
    "complex": "alt::ComplexTypes",
}
# Operators whose business is to cross devices.
CROSS_DEVICE = {"copy_", "_copy_from", "_copy_from_and_resize"}
# Arguments that may lie on the CPU: step counters, which torch.optim keeps there.
ON_ANY_DEVICE = {"state_steps"}
REDUCTIONS = {
    "real": "alt::reduction_stub<alt::ops::{body}, alt::RealReduction>",
    "real_complex": "alt::reduction_stub<alt::ops::{body}, alt::RealAndComplexReduction>",
    "bool": "alt::truth_reduction_stub<alt::ops::{body}>",
}
COMPUTE = {"common": "kCommon", "output": "kOutput", "input": "kInput", "double": "kDouble"}


# Structured operators whose kernels take their scalar arguments as they are. Those of others become
# operands, or are checked first.
SCALARS_REACH_THE_STUB = {
    "add.Tensor",
    "sub.Tensor",
    "addcmul",
    "addcdiv",
    "lerp.Scalar",
    "pow.Tensor_Scalar",
    "clamp_min",
    "clamp_max",
    "leaky_relu",
    "elu",
    "softplus",
    "softplus_backward",
    "threshold_backward",
}
# Structured operators whose iterators have the operands in another order than the schema.
OPERANDS = {"threshold_backward": ["self", "grad_output"]}


class RowError(Exception):
    """A row of ops.yaml that cannot be handled."""


@dataclass
class Emitted:
    """What one row of ops.yaml gives."""

    includes: set[str] = field(default_factory=set)
    declarations: list[str] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)  # definitions in alt::kernels
    definitions: list[str] = field(default_factory=list)
    registrations: list[str] = field(default_factory=list)


class NativeFunctions:
    """native_functions.yaml by operator name."""

    def __init__(self) -> None:
        packaged = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native"
        parsed = parse_native_yaml(
            str(packaged / "native_functions.yaml"), str(packaged / "tags.yaml")
        )
        self.cpu: BackendIndex = parsed.backend_indices[DispatchKey.CPU]
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
    return f'm.impl("{f.func.name}", TORCH_FN({identifier(f)}));'


def unstructured(f: NativeFunction, kernel: str, symint: bool, emitted: Emitted) -> None:
    signature = NativeSignature(f.func, symint=symint)
    expressions = translate(signature.arguments(), signature.arguments(), method=False)
    emitted.definitions.append(
        define(f, symint, [*guards(f), f"return {call(kernel, expressions)};"])
    )
    emitted.registrations.append(register(f))


def returned(f: NativeFunction) -> str:
    kind, count = f.func.kind(), len(f.func.returns)
    if kind is SchemaKind.inplace:
        return "self"
    if kind is SchemaKind.functional:
        taken = [f"op.outputs.take({i})" for i in range(count)]
        return taken[0] if count == 1 else f"std::make_tuple({', '.join(taken)})"
    names = [a.name for a in f.func.arguments.out]
    return names[0] if count == 1 else f"std::forward_as_tuple({', '.join(names)})"


def scalar_arguments(f: NativeFunction) -> list[str]:
    return [a.name for a in f.func.arguments.flat_non_out if not a.type.is_tensor_like()]


def result_of_alike(name: str, g: NativeFunctionsGroup) -> str | None:
    """The result's dtype where the operands are alike (structured.h), as torch itself answers.

    None where the iterator is not made of the operands alone.
    """
    f = g.functional
    arguments = f.func.arguments.flat_non_out
    tensors = [a for a in arguments if str(a.type) == "Tensor"]
    if (
        g.out.structured_inherits != "TensorIteratorBase"
        or g.out.precomputed
        or len(f.func.returns) != 1
        or any(str(a.type) not in ("Tensor", "Scalar", "float") for a in arguments)
        or (len(tensors) < len(arguments) and name not in SCALARS_REACH_THE_STUB)
    ):
        return None
    operator = getattr(getattr(torch.ops.aten, f.root_name), f.func.name.overload_name or "default")
    found = set()
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        operand = torch.empty(2, 3, dtype=dtype, device="meta")
        given = {a.name: operand if a in tensors else 0.5 for a in arguments}
        result = operator(**given)
        if result.shape != operand.shape:
            return None
        found.add({dtype: "kSame", torch.bool: "kBool"}.get(result.dtype))
        if len(tensors) == 2:  # a number beside the tensor is alike too, whatever its dtype
            other = torch.float64 if dtype == torch.float32 else torch.float32
            given[(OPERANDS.get(name) or [a.name for a in tensors])[1]] = operand.new_empty(
                (), dtype=other
            )
            try:
                operator(**given)
            except RuntimeError:
                return None
    return found.pop() if len(found) == 1 else None


def meta_of_alike(f: NativeFunction, g: NativeFunctionsGroup) -> str | None:
    """The condition under which `meta` need not be called."""
    result = result_of_alike(str(g.functional.func.name), g)
    kind = f.func.kind()
    if result is None or kind is SchemaKind.out:
        return None
    if kind is SchemaKind.inplace and result == "kBool":
        return None
    name = str(g.functional.func.name)
    tensors = OPERANDS.get(name) or [
        a.name for a in f.func.arguments.flat_non_out if a.type.is_tensor_like()
    ]
    plain = "".join(f"alt::structured::plain({a}) && " for a in scalar_arguments(f))
    return f"{plain}op.meta_of_alike(alt::structured::Result::{result}, {', '.join(tensors)})"


def structured_variant(
    f: NativeFunction, g: NativeFunctionsGroup, parent: str, implementation: str
) -> str:
    """One of sin, sin_, sin.out: meta, then the kernel, then the outputs."""
    kind = f.func.kind()
    variant = {
        SchemaKind.functional: "kFunctional",
        SchemaKind.inplace: "kInplace",
        SchemaKind.out: "kOut",
    }[kind]
    given = {
        SchemaKind.functional: [],
        SchemaKind.inplace: ["std::ref(self)"],
        SchemaKind.out: [f"std::ref({a.name})" for a in f.func.arguments.out],
    }[kind]
    count = len(f.func.returns)
    constructor = f"({{{', '.join(given)}}})" if given else ""
    operator = f"alt::structured::Operator<{parent}, alt::structured::Variant::{variant}, {count}>"
    body = [*guards(f), f"{operator} op{constructor};"]

    context: list[Binding | Expr] = list(NativeSignature(f.func, symint=False).arguments())
    meta_call = call("op.meta", translate(context, structured.meta_arguments(g), method=False))
    if g.out.precomputed:
        body.append(f"[[maybe_unused]] auto precomputed = {meta_call};")
        computed = [*g.out.precomputed.replace.values(), g.out.precomputed.add]
        context.extend(
            Expr(expr=f"precomputed.{a.name}", type=structured.argument_type(a, binds=a.name))
            for elements in computed
            for a in elements
        )
    elif (alike := meta_of_alike(f, g)) is not None:
        body.append(f"if (!({alike})) {meta_call};")
    else:
        body.append(f"{meta_call};")
    context.extend(
        Expr(
            expr=f"op.outputs.get({i})",
            type=NamedCType(a.nctype.name, MutRefCType(BaseCType(tensorT))),
        )
        for i, a in enumerate(structured.out_arguments(g))
    )
    arguments = translate(context, structured.impl_arguments(g), method=False)
    body.append(f"{call(implementation, arguments)};")
    if kind is not SchemaKind.functional:
        body.append("op.outputs.copy_proxies();")
    body.append(f"return {returned(f)};")
    return define(f, False, body)


def structured_group(
    g: NativeFunctionsGroup, parent: str, implementation: str, emitted: Emitted
) -> None:
    for f in [g.functional, g.inplace, g.out]:
        if f is not None:
            with native_function_manager(f):
                emitted.definitions.append(structured_variant(f, g, parent, implementation))
            emitted.registrations.append(register(f))


def emit_aten(native: NativeFunctions, name: str) -> Emitted:
    """PyTorch's own device-generic function, registered for alt."""
    if name in native.groups:
        g = native.groups[name]
        root = g.functional.root_name
        kernel, _ = native.cpu_kernel(g)
        emitted = Emitted(includes={f"ATen/ops/{root}_native.h"})
        structured_group(g, f"at::native::structured_{kernel}", "op.impl", emitted)
        return emitted
    f = native.function(name)
    if f.structured or f.structured_delegate is not None:
        raise RowError(f"'{name}' belongs to a structured group: name its functional operator")
    kernel, symint = native.cpu_kernel(f)
    emitted = Emitted(includes={f"ATen/ops/{f.root_name}_native.h"})
    with native_function_manager(f):
        unstructured(f, f"at::native::{kernel}", symint, emitted)
    return emitted


def emit_meta(native: NativeFunctions, row: dict[str, str]) -> Emitted:
    """at::meta computes the shape, our kernel fills it."""
    ((name, kernel),) = row.items()
    g = native.group(name)
    emitted = Emitted(includes={f"ATen/ops/{g.functional.root_name}_meta.h"})
    arguments = ", ".join(a.decl() for a in structured.impl_arguments(g))
    emitted.declarations.append(f"void {kernel}({arguments});")
    parent = f"at::meta::structured_{meta.name(g)}"
    structured_group(g, parent, f"alt::kernels::{kernel}", emitted)
    return emitted


def whole_operator(f: NativeFunction, kernel: str) -> Emitted:
    emitted = Emitted()
    with native_function_manager(f):
        signature = NativeSignature(f.func, symint=False)
        arguments = ", ".join(a.defn() for a in signature.arguments())
        returns = signature.defn("@").split(" @", 1)[0]
        emitted.declarations.append(f"{returns} {kernel}({arguments});")
        unstructured(f, f"alt::kernels::{kernel}", False, emitted)
    return emitted


def emit_own(native: NativeFunctions, row: dict[str, str]) -> Emitted:
    """The whole operator is ours."""
    ((name, kernel),) = row.items()
    return whole_operator(native.function(name), kernel)


def emit_autograd(native: NativeFunctions, row: dict[str, str]) -> Emitted:
    """A composite operator that is ours together with its derivative.

    The kernel is called in autograd's place, and below it in inference mode. Like a composite it
    checks the devices of its arguments itself: lengths may lie on the CPU.
    """
    ((name, kernel),) = row.items()
    f = native.function(name)
    if not f.has_composite_implicit_autograd_kernel:
        raise RowError("PyTorch has a derivative of it: make it an 'own' row")
    return whole_operator(replace(f, device_check=DeviceCheckType.NoCheck), kernel)


def emit_stub(row: dict[str, str]) -> Emitted:
    """A DispatchStub gets a function of ours."""
    stub, header, kernel = row["stub"], row["header"], row["kernel"]
    return Emitted(
        includes={header},
        declarations=[f"std::remove_pointer_t<decltype(at::native::{stub})::FnPtr> {kernel};"],
        registrations=[f"REGISTER_PRIVATEUSE1_DISPATCH({stub}, &alt::kernels::{kernel})"],
    )


def emit_reduction(row: dict[str, str]) -> Emitted:
    """A DispatchStub gets the reduction loop around a struct of csrc/ops/reduction.h."""
    if row["types"] not in REDUCTIONS:
        raise RowError(f"types is one of {sorted(REDUCTIONS)}")
    kernel = REDUCTIONS[row["types"]].format(body=row["body"])
    return Emitted(
        includes={"ATen/native/ReduceOps.h", "loops/reduce.h", "ops/reduction.h"},
        registrations=[f"REGISTER_PRIVATEUSE1_DISPATCH({row['stub']}, (&{kernel}))"],
    )


def pointwise_name(row: dict[str, str]) -> str:
    """Of a row that fills a stub, the stub; of one that a kernel calls, the function it gives."""
    return row.get("stub") or row.get("kernel") or str(row)


def emit_pointwise(arity: int, family: dict[str, str], row: dict[str, str]) -> Emitted:
    """The pointwise loop around a function of csrc/ops, for a DispatchStub or for our kernels."""
    unknown = set(row) - {
        "stub",
        "kernel",
        "arguments",
        "body",
        "types",
        "compute",
        "cost",
        "header",
    }
    if unknown or ("stub" in row) == ("kernel" in row):
        raise RowError(f"a row names a stub or a kernel; unknown keys are {sorted(unknown)}")
    name, body = pointwise_name(row), row["body"]
    types = TYPES.get(row["types"])
    compute = COMPUTE.get(row.get("compute", "common"))
    if types is None or compute is None:
        raise RowError(f"types is one of {sorted(TYPES)}, compute one of {sorted(COMPUTE)}")
    functor = f"{name}_body"
    definition = f"""struct {functor} {{
  static constexpr const char* name = "{body}";
  template <class... T>
  ALT_FN auto operator()(T... x) const {{
    return alt::ops::{body}(x...);
  }}
}};
"""
    arguments = f"{functor}, {types}, {arity}, alt::ComputeDtype::{compute}, {row.get('cost', 1)}"
    emitted = Emitted(includes={f"ops/{family['ops']}.h"})
    if "stub" in row:
        emitted.includes.add(row.get("header", family["header"]))
        kernel = f"alt::PointwiseStub<decltype(at::native::{name})::FnPtr, {arguments}>::call"
        emitted.definitions.append(definition)
        emitted.registrations.append(f"REGISTER_PRIVATEUSE1_DISPATCH({name}, (&{kernel}))")
    else:
        names = row.get("arguments", [])
        signature = ", ".join(["at::TensorIteratorBase& iter", *(f"double {a}" for a in names)])
        emitted.declarations.append(f"void {name}({signature});")
        emitted.kernels.append(
            f"namespace {{\n{definition}}}  // namespace\n"
            f"void {name}({signature}) {{\n"
            f"  alt::pointwise<{arguments}>({', '.join(['iter', *names])});\n}}\n"
        )
    return emitted


PREAMBLE = """// Generated by csrc/dispatch/generate.py from csrc/dispatch/ops.yaml. Do not edit.
"""


def unique(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))


def include_lines(rows: list[Emitted]) -> str:
    headers = sorted(set(itertools.chain.from_iterable(r.includes for r in rows)))
    return "".join(
        f'#include "{h}"\n' if h.startswith(("ops/", "loops/")) else f"#include <{h}>\n"
        for h in headers
    )


def declarations(rows: list[Emitted]) -> str:
    lines = unique(concatMap(lambda r: r.declarations, rows))
    return "namespace alt::kernels {\n" + "\n".join(lines) + "\n}  // namespace alt::kernels\n"


def registration_file(rows: list[Emitted], keys: Sequence[str] = ("PrivateUse1",)) -> str:
    definitions = "\n".join(concatMap(lambda r: r.definitions, rows))
    lines = "\n".join(f"  {line}" for line in concatMap(lambda r: r.registrations, rows))
    registrations = "\n".join(
        f"TORCH_LIBRARY_IMPL(aten, {key}, m) {{\n{lines}\n}}\n" for key in keys
    )
    return f"""{PREAMBLE}
#include <ATen/DeviceGuard.h>
#include <ATen/core/op_registration/adaption.h>
#include <torch/library.h>
{include_lines(rows)}
#include "dispatch/counters.h"
#include "dispatch/structured.h"
#include "runtime/device.h"

{declarations(rows)}
namespace {{
{definitions}
}}  // namespace

{registrations}"""


def stub_file(rows: list[Emitted]) -> str:
    definitions = "\n".join(concatMap(lambda r: r.definitions, rows))
    registrations = "\n".join(concatMap(lambda r: r.registrations, rows))
    kernels = "\n".join(concatMap(lambda r: r.kernels, rows))
    return f"""{PREAMBLE}
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/DispatchStub.h>
#include <type_traits>
{include_lines(rows)}
#include "loops/pointwise.h"

{declarations(rows)}
namespace at::native {{
namespace {{
{definitions}
}}  // namespace
{registrations}
}}  // namespace at::native

namespace alt::kernels {{
{kernels}
}}  // namespace alt::kernels
"""


def kernels_header(rows: list[Emitted]) -> str:
    """What the rows that name a kernel give to csrc/kernels."""
    return f"""{PREAMBLE}
#pragma once

#include <ATen/TensorIterator.h>

{declarations(rows)}"""


def compat_header() -> str:
    """torch 2.11 and 2.12 pass dimension names to set_output_*, 2.13 no longer does."""
    tensor_meta = Path(torch.__file__).parent / "include" / "ATen" / "TensorMeta.h"
    names = "DimnameList" in tensor_meta.read_text()
    return f"""{PREAMBLE}
#pragma once

#define ALT_NAMES_PARAMETER {", at::DimnameList names" if names else ""}
#define ALT_NAMES_ARGUMENT {", names" if names else ""}
#define ALT_HAS_NAMES(tensor) {"(tensor).has_names()" if names else "false"}
"""


def pointwise_rows(
    table: dict[str, list[dict]],
) -> Iterator[tuple[str, str, Callable[[], Emitted]]]:
    for family in table.get("pointwise") or []:
        for arity, section in enumerate(["unary", "binary", "ternary", "quaternary"], start=1):
            for row in family.get(section) or []:
                yield (
                    family["ops"],
                    pointwise_name(row),
                    lambda a=arity, f=family, r=row: emit_pointwise(a, f, r),
                )


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
    sections = {"aten", "meta", "own", "autograd", "stubs", "reductions", "pointwise"}
    unknown = set(table) - sections - {"newer"}
    if unknown:
        raise SystemExit(f"ops.yaml: unknown sections {sorted(unknown)}")
    native = NativeFunctions()
    errors: list[str] = []
    absent = set(table.get("newer") or []) - set(native.functions)
    registered = {
        "aten": [
            handled(errors, name, lambda n=name: emit_aten(native, n))
            for name in table["aten"] or []
            if name not in absent
        ]
    }
    for section, emit in (("meta", emit_meta), ("own", emit_own)):
        registered[section] = [
            handled(errors, str(row), lambda r=row, e=emit: e(native, r))
            for row in table[section] or []
            if absent.isdisjoint(row)
        ]
    autograd = [
        handled(errors, str(row), lambda r=row: emit_autograd(native, r))
        for row in table.get("autograd") or []
    ]
    stubs = [handled(errors, str(row), lambda r=row: emit_stub(r)) for row in table["stubs"] or []]
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
    errors += duplicates(everything)
    if errors:
        raise SystemExit("\n".join(errors))

    files = {"torch_compat.h": compat_header()}
    for section, emitted in registered.items():
        for i, rows in enumerate(chunks(emitted, ROWS_PER_FILE)):
            files[f"register_{section}_{i}.cpp"] = registration_file(rows)
    files["register_autograd.cpp"] = registration_file(
        autograd, keys=("AutogradPrivateUse1", "PrivateUse1")
    )
    for i, rows in enumerate(chunks(stubs, 30)):
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
