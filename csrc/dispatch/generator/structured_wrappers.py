"""The three wrappers of a structured operator (dispatch/structured.h)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchgen.api import structured
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
from torchgen.model import NativeFunction, NativeFunctionsGroup, SchemaKind

from generator.cuda import Cuda
from generator.wrappers import Emitted, call, define, guards, register

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
# Structured operators whose front-end checks alpha against the dtype of out=.
CHECK_ALPHA = {"add.Tensor", "sub.Tensor"}
# Structured operators whose iterators have the operands in another order than the schema.
OPERANDS = {"threshold_backward": ["self", "grad_output"]}


def returned(f: NativeFunction) -> str:
    kind, count = f.func.kind(), len(f.func.returns)
    if kind is SchemaKind.inplace:
        return "self"
    if kind is SchemaKind.functional:
        taken = [f"op.take({i})" for i in range(count)]
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
    operands = ", ".join(f"&{a}" for a in tensors)
    return f"{plain}op.meta_of_alike(alt::structured::Result::{result}, {{{operands}}})"


def fills_outputs(
    f: NativeFunction,
    outputs: int,
    implementation: str,
    arguments: list[Expr],
    cuda: Cuda | None,
) -> list[str]:
    """The call of the kernel. Without `cuda` it is PyTorch's, whose stubs know the engine."""
    on_host = f"{call(implementation, arguments)};"
    if cuda is None:
        return [on_host]
    kernel = implementation.removeprefix("alt::kernels::")
    written = [f"op.output({i})" for i in range(outputs)]
    on_gpu = cuda.alternative(f, kernel, ", ".join(a.expr for a in arguments), written)
    if not on_gpu:
        return [on_host]
    # What returns from a function of its own goes on to what is left to do.
    return ["[&] {", *(f"  {line}" for line in on_gpu), f"  {on_host}", "}();"]


def structured_variant(
    f: NativeFunction,
    g: NativeFunctionsGroup,
    parent: str,
    implementation: str,
    cuda: Cuda | None,
    first: Sequence[str],
) -> str:
    """One of sin, sin_, sin.out: meta, then the kernel, then the outputs."""
    kind = f.func.kind()
    variant = {
        SchemaKind.functional: "kFunctional",
        SchemaKind.inplace: "kInplace",
        SchemaKind.out: "kOut",
    }[kind]
    outputs = {
        SchemaKind.functional: [],
        SchemaKind.inplace: ["self"],
        SchemaKind.out: [a.name for a in f.func.arguments.out],
    }[kind]
    operator = f"alt::structured::Operator<{parent}, {len(f.func.returns)}>"
    constructor = ", ".join([f"alt::structured::Variant::{variant}", *outputs])
    body = [*guards(f), *first, f"{operator} op({constructor});"]
    alpha_checked = kind is SchemaKind.out and str(g.functional.func.name) in CHECK_ALPHA
    if alpha_checked:
        body.append("const at::Scalar alpha = alt::structured::alpha_of(self, other, given);")

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
            expr=f"op.output({i})",
            type=NamedCType(a.nctype.name, MutRefCType(BaseCType(tensorT))),
        )
        for i, a in enumerate(structured.out_arguments(g))
    )
    arguments = translate(context, structured.impl_arguments(g), method=False)
    body += fills_outputs(f, len(f.func.returns), implementation, arguments, cuda)
    if kind is not SchemaKind.functional:
        body.append("op.copy_proxies();")
    body.append(f"return {returned(f)};")
    text = define(f, False, body)
    return text.replace("Scalar & alpha", "Scalar & given") if alpha_checked else text


def structured_group(
    g: NativeFunctionsGroup,
    parent: str,
    implementation: str,
    emitted: Emitted,
    cuda: Cuda | None = None,
    first: Sequence[str] = (),
) -> None:
    """`first` are statements of the functional variant before all others."""
    for f in [g.functional, g.inplace, g.out]:
        if f is not None:
            before = first if f is g.functional else ()
            with native_function_manager(f):
                emitted.definitions.append(
                    structured_variant(f, g, parent, implementation, cuda, before)
                )
            emitted.registrations.append(register(f))
