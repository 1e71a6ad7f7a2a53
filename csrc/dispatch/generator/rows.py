"""What each kind of row of ops.yaml becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from torchgen.api import meta, structured
from torchgen.api.types import NativeSignature
from torchgen.context import native_function_manager
from torchgen.model import DeviceCheckType, NativeFunction, SchemaKind

from generator.cuda import Cuda
from generator.native_functions import NativeFunctions, RowError
from generator.structured_wrappers import structured_group
from generator.wrappers import Emitted, forwarded, unstructured

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
REDUCTIONS = {
    "real": "alt::reduction_stub<alt::ops::{body}, alt::RealReduction>",
    "real_complex": "alt::reduction_stub<alt::ops::{body}, alt::RealAndComplexReduction>",
    "bool": "alt::truth_reduction_stub<alt::ops::{body}>",
}
COMPUTE = {"common": "kCommon", "output": "kOutput", "input": "kInput", "double": "kDouble"}


def declaration(f: NativeFunction, kernel: str, result: str | None = None) -> str:
    """Of a function with the operator's arguments, and with its result unless another is given."""
    signature = NativeSignature(f.func, symint=False)
    arguments = ", ".join(a.defn() for a in signature.arguments())
    return f"{result or signature.defn('@').split(' @', 1)[0]} {kernel}({arguments});"


def emit_shortcut(f: NativeFunction, kernel: str, emitted: Emitted) -> list[str]:
    """The statement that returns where the kernel knows a way past PyTorch's function."""
    inplace = f.func.kind() is SchemaKind.inplace
    with native_function_manager(f):
        result = "bool" if inplace else "std::optional<at::Tensor>"
        emitted.declarations.append(declaration(f, kernel, result))
        call = f"alt::kernels::{kernel}({forwarded(f, False)})"
    if inplace:
        return [f"if ({call}) return self;"]
    return [f"if (auto found = {call}) return *std::move(found);"]


def emit_aten(
    native: NativeFunctions, cuda: Cuda, name: str, shortcut: str | None = None
) -> Emitted:
    """PyTorch's own device-generic function, registered for alt."""
    if name in native.groups:
        g = native.groups[name]
        root = g.functional.root_name
        kernel, _ = native.cpu_kernel(g)
        emitted = Emitted(includes={f"ATen/ops/{root}_native.h"})
        first = emit_shortcut(g.functional, shortcut, emitted) if shortcut else []
        structured_group(g, f"at::native::structured_{kernel}", "op.impl", emitted, first=first)
        return emitted
    f = native.function(name)
    if f.structured or f.structured_delegate is not None:
        raise RowError(f"'{name}' belongs to a structured group: name its functional operator")
    kernel, symint = native.cpu_kernel(f)
    emitted = Emitted(includes={f"ATen/ops/{f.root_name}_native.h"})
    first = emit_shortcut(f, shortcut, emitted) if shortcut else []
    with native_function_manager(f):
        function = f"at::native::{kernel}"
        if cuda.has("host", name):
            first += cuda.host_call(f, f"{function}({forwarded(f, symint)})")
        unstructured(f, function, symint, emitted, first)
    return emitted


def emit_meta(native: NativeFunctions, cuda: Cuda, row: dict[str, str]) -> Emitted:
    """at::meta computes the shape, our kernel fills it."""
    ((name, kernel),) = row.items()
    g = native.group(name)
    emitted = Emitted(includes={f"ATen/ops/{g.functional.root_name}_meta.h"})
    arguments = ", ".join(a.decl() for a in structured.impl_arguments(g))
    emitted.declarations += cuda.declare_twin(kernel, f"void {kernel}({arguments});")
    parent = f"at::meta::structured_{meta.name(g)}"
    structured_group(g, parent, f"alt::kernels::{kernel}", emitted, cuda)
    return emitted


def whole_operator(cuda: Cuda | None, f: NativeFunction, kernel: str) -> Emitted:
    """Without `cuda` the kernel knows the engine itself."""
    emitted = Emitted()
    with native_function_manager(f):
        declared = declaration(f, kernel)
        if cuda is None:
            emitted.declarations.append(declared)
            unstructured(f, f"alt::kernels::{kernel}", False, emitted)
            return emitted
        emitted.declarations += cuda.declare_twin(kernel, declared)
        on_gpu = cuda.alternative(f, kernel, forwarded(f, False))
        if any("at::native::" in line for line in on_gpu):
            emitted.includes.add(f"ATen/ops/{f.root_name}_native.h")
        unstructured(f, f"alt::kernels::{kernel}", False, emitted, on_gpu)
    return emitted


def emit_own(native: NativeFunctions, cuda: Cuda, row: dict[str, str]) -> Emitted:
    """The whole operator is ours."""
    ((name, kernel),) = row.items()
    return whole_operator(cuda, native.function(name), kernel)


def emit_autograd(native: NativeFunctions, cuda: Cuda, row: dict[str, str]) -> Emitted:
    """A composite operator that is ours together with its derivative.

    The kernel is called in autograd's place, and below it in inference mode. Like a composite it
    checks the devices of its arguments itself: lengths may lie on the CPU.
    """
    ((name, kernel),) = row.items()
    f = native.function(name)
    if not f.has_composite_implicit_autograd_kernel:
        raise RowError("PyTorch has a derivative of it: make it an 'own' or a 'derivatives' row")
    return whole_operator(cuda, replace(f, device_check=DeviceCheckType.NoCheck), kernel)


def emit_derivative(native: NativeFunctions, row: dict[str, str]) -> Emitted:
    """An operator with a derivative of ours, on any engine, in place of PyTorch's."""
    ((name, kernel),) = row.items()
    f = native.function(name)
    if f.has_composite_implicit_autograd_kernel:
        raise RowError("PyTorch has no derivative of it: make it an 'autograd' row")
    return whole_operator(None, replace(f, device_check=DeviceCheckType.NoCheck), kernel)


def emit_stub(cuda: Cuda, row: dict[str, str]) -> Emitted:
    """A DispatchStub gets a function of ours."""
    stub, header, kernel = row["stub"], row["header"], row["kernel"]
    declaration = f"std::remove_pointer_t<decltype(at::native::{stub})::FnPtr> {kernel};"
    return Emitted(
        includes={header, "dispatch/host_call.h"},
        declarations=cuda.declare_twin(kernel, declaration),
        registrations=[f"REGISTER_PRIVATEUSE1_DISPATCH({stub}, {cuda.stub(stub, kernel)})"],
    )


def emit_reduction(row: dict[str, str]) -> Emitted:
    """A DispatchStub gets the reduction loop around a struct of csrc/ops/reduction.h."""
    if row["types"] not in REDUCTIONS:
        raise RowError(f"types is one of {sorted(REDUCTIONS)}")
    stub = row["stub"]
    kernel = REDUCTIONS[row["types"]].format(body=row["body"])
    return Emitted(
        includes={"ATen/native/ReduceOps.h", "loops/reduce.h", "ops/reduction.h"},
        definitions=[f'void {stub}_loop(at::TensorIterator& iter) {{ {kernel}(iter, "{stub}"); }}'],
        registrations=[f"REGISTER_PRIVATEUSE1_DISPATCH({stub}, &{stub}_loop)"],
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
  static constexpr const char* row = "{name}";
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
