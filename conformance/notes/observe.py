"""What a statement left behind, as values that another process can compare."""

from __future__ import annotations

import hashlib
import pickle
import types
import warnings
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from conformance.notes.values import (
    GroupValue,
    NumberValue,
    OpaqueValue,
    TensorValue,
    TextValue,
    UnreadableValue,
    Value,
)

_MAX_DEPTH = 6
_MAX_PARTS = 10_000

# Elements are stored in a type that NumPy has: the first widens without rounding.
_STORED_AS = {
    torch.bfloat16: torch.float32,
    torch.complex32: torch.complex64,
}
# The patched Tensor.numpy of conformance.notes.ways is not to be counted here.
_to_numpy = torch.Tensor.numpy


class IdentitySet:
    """Objects remembered by identity, for as long as they live."""

    def __init__(self) -> None:
        self._known: dict[int, weakref.ref[Any]] = {}

    def add(self, value: object) -> None:
        """Remember `value`, which must admit weak references."""
        key = id(value)
        self._known[key] = weakref.ref(value, lambda _: self._known.pop(key, None))

    def __contains__(self, value: object) -> bool:
        known = self._known.get(id(value))
        return known is not None and known() is value


class Observer:
    """Turns Python objects into values; remembers a namespace to tell what changed in it."""

    def __init__(self) -> None:
        # Tensors and arrays which share memory on the cpu, and do not on another device.
        self.shared = IdentitySet()
        self._digests: dict[str, bytes] = {}

    def changes(self, namespace: Mapping[str, object]) -> tuple[dict[str, Value], list[str]]:
        """The names whose values differ from the last call, and the names that are gone."""
        changed: dict[str, Value] = {}
        digests = {}
        for name, value in list(namespace.items()):
            if name.startswith("__") or _is_definition(value):
                continue
            seen = self.observe(value)
            digests[name] = hashlib.blake2b(pickle.dumps(seen), digest_size=16).digest()
            if self._digests.get(name) != digests[name]:
                changed[name] = seen
        removed = [name for name in self._digests if name not in digests]
        self._digests = digests
        return changed, removed

    def observe(self, value: object) -> Value:
        """`value` as it can be compared; what can not be read back says so."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._observe(value, 0, set())
        except Exception as error:
            return UnreadableValue(f"{type(error).__name__}: {error}")

    def _observe(self, value: Any, depth: int, above: set[int]) -> Value:
        name = type(value).__name__
        if value is None:
            return None
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, (bool, int, float, complex)):
            return NumberValue(name, value)
        if isinstance(value, (str, bytes)):
            # The CUDA shim answers with strings that equal two names, so of a subclass.
            return TextValue("str" if isinstance(value, str) else name, str(value))
        if isinstance(value, (torch.dtype, torch.device, torch.layout)):
            return TextValue(name, str(value))
        if type(value).__module__ == "numpy":
            return self._numpy(value)
        if depth >= _MAX_DEPTH or id(value) in above:
            return OpaqueValue(name)
        parts = _parts(value)
        if parts is None:
            return OpaqueValue(name)
        above = above | {id(value)}
        seen = [(key, self._observe(part, depth + 1, above)) for key, part in parts]
        return GroupValue(name, tuple(seen[:_MAX_PARTS]))

    def _tensor(self, tensor: torch.Tensor) -> Value:
        kind = "parameter" if isinstance(tensor, torch.nn.Parameter) else "tensor"
        shared = tensor in self.shared
        grad = tensor.grad if tensor.is_leaf or tensor.retains_grad else None
        dtype = str(tensor.dtype).removeprefix("torch.")
        device = tensor.device.type
        flags = (bool(tensor.requires_grad), bool(tensor.is_leaf), device)
        if torch.nn.parameter.is_lazy(tensor) or device == "meta":
            shape = tuple(tensor.shape) if device == "meta" else ()
            return TensorValue(kind, dtype, shape, b"", "uint8", *flags)
        data, stored_as = _elements(tensor.detach())
        grad_value = None if grad is None else self._tensor(grad)
        shape = tuple(tensor.shape)
        return TensorValue(kind, dtype, shape, data, stored_as, *flags, grad_value, shared)

    def _numpy(self, value: Any) -> Value:
        if not isinstance(value, (np.ndarray, np.generic)):
            return OpaqueValue(type(value).__name__)
        if value.dtype.hasobject or value.dtype.kind in "SUVmM":
            return TextValue(type(value).__name__, str(value))
        if isinstance(value, np.generic):
            return NumberValue(type(value).__name__, value.item())
        name = value.dtype.name
        shared = value in self.shared or value.base is not None and value.base in self.shared
        return TensorValue(
            "array", name, tuple(value.shape), value.tobytes(), name, shared_on_cpu=shared
        )


def _elements(tensor: torch.Tensor) -> tuple[bytes, str]:
    """The elements in C order, and NumPy's name of the type they are stored in."""
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.cpu().resolve_conj().resolve_neg().contiguous()
    wider = _STORED_AS.get(tensor.dtype)
    if wider is None and tensor.dtype.is_floating_point and tensor.dtype.itemsize == 1:
        wider = torch.float32
    if wider is not None:
        tensor = tensor.to(wider)
    array = _to_numpy(tensor)
    return array.tobytes(), array.dtype.name


def _is_definition(value: object) -> bool:
    """Modules, functions and classes: what they do is seen when they are called."""
    return isinstance(
        value, (types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType)
    )


def _parts(value: Any) -> Iterable[tuple[str, Any]] | None:
    """The named parts of a container or object; None when it is to stay closed."""
    if isinstance(value, torch.nn.Module):
        return _module_parts(value)
    if isinstance(value, torch.optim.Optimizer):
        state = value.state_dict()
        return [("state", state["state"]), ("param_groups", state["param_groups"])]
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [(str(index), part) for index, part in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return [(str(index), part) for index, part in enumerate(sorted(value, key=repr))]
    if type(value).__module__.startswith(("__main__", "torch.utils.data")):
        return list(getattr(value, "__dict__", {}).items())
    return None


def _module_parts(module: torch.nn.Module) -> list[tuple[str, Any]]:
    parts: list[tuple[str, Any]] = [("text", str(module))]
    parts += [(f"{name}.training", part.training) for name, part in module.named_modules()]
    parts += module.named_parameters()
    parts += module.named_buffers()
    for name, part in module.named_modules():
        tensors = [(key, held) for key, held in vars(part).items() if torch.is_tensor(held)]
        parts += [(f"{name}.{key}", held) for key, held in tensors]
    return parts
