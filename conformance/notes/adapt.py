"""What a person writes when a note's code is to run on another device than the cpu.

Three things of stock PyTorch stay on the cpu, whatever the default device: the legacy constructors
(``torch.Tensor([1, 2])``), what comes from NumPy, and NumPy itself, which reads host memory only.
On CUDA a person writes ``.to(device)`` after the first two and ``.cpu()`` before the third. The
adapter does the same, and counts it.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from conformance.notes.observe import IdentitySet

CALL = "__alt_call__"
# These look at the frame of their caller, or belong to the language.
_NEEDS_ITS_FRAME = {"super", "locals", "globals", "vars", "dir", "eval", "exec", "print"}
_SHARES_WITH_NUMPY = {"from_numpy", "as_tensor", "asarray", "frombuffer"}


class Adapter:
    """Rewrites the calls of a note so that what they create lives on `device`."""

    def __init__(self, device: str, shared: IdentitySet) -> None:
        self.device = torch.device(device)
        self.adapted: Counter[str] = Counter()
        self._shared = shared
        self._kept_on_cpu = IdentitySet()

    def rewrite(self, tree: ast.AST) -> ast.AST:
        """`tree` with each call made through `call`, and 'cpu' no longer the second choice."""
        return ast.fix_missing_locations(_Rewriter(self).visit(tree))

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """What `function` returns; a tensor or module that it created is moved to the device."""
        result = self._call(function, args, kwargs)
        if isinstance(result, torch.nn.Module):
            return self._move_module(result) if isinstance(function, type) else result
        if not isinstance(result, torch.Tensor):
            return result
        given = [*args, *kwargs.values(), getattr(function, "__self__", None)]
        name = getattr(function, "__name__", "")
        shares = name in _SHARES_WITH_NUMPY and any(isinstance(a, np.ndarray) for a in args)
        if result.device.type == "cpu" and self.device.type != "cpu":
            if name == "cpu" or any(_asks_for_cpu(value) for value in given):
                self._kept_on_cpu.add(result)
            elif result not in self._kept_on_cpu and not any(map(_holds_cpu_tensor, given)):
                result = self.move(result, name)
        if shares:
            self._shared.add(result)
        return result

    def move(self, tensor: torch.Tensor, creator: str) -> torch.Tensor:
        """`tensor` on the device; a leaf stays a leaf, a parameter a parameter."""
        self.adapted[f"{creator or 'call'} moved"] += 1
        if not tensor.is_leaf:
            return tensor.to(self.device)
        moved = tensor.detach().to(self.device)
        if isinstance(tensor, torch.nn.Parameter):
            return torch.nn.Parameter(moved, tensor.requires_grad)
        return moved.requires_grad_(tensor.requires_grad)

    def bridge_numpy(self) -> None:
        """Let NumPy read tensors of the device, by way of a copy, where stock raises TypeError."""
        to_numpy = torch.Tensor.numpy

        def numpy(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            try:
                return to_numpy(tensor, *args, **kwargs)
            except TypeError as error:
                if tensor.device.type == "cpu" or "to numpy" not in str(error):
                    raise
            array = to_numpy(tensor.cpu(), *args, **kwargs)
            self.adapted["numpy read by way of cpu"] += 1
            self._shared.add(array)
            return array

        torch.Tensor.numpy = numpy  # type: ignore[method-assign, assignment]

    def _call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (RuntimeError, TypeError):
            # torch.Tensor(tensor) takes tensors of the cpu only.
            on_device = any(isinstance(a, torch.Tensor) and a.device.type != "cpu" for a in args)
            if not (on_device and _is_legacy_constructor(function)):
                raise
        args = [a.cpu() if isinstance(a, torch.Tensor) else a for a in args]
        return function(*args, **kwargs)

    def _move_module(self, module: torch.nn.Module) -> torch.nn.Module:
        tensors = [*module.parameters(), *module.buffers()]
        if all(tensor.device == self.device for tensor in tensors) or self.device.type == "cpu":
            return module
        if any(tensor.device.type == "cpu" for tensor in tensors):
            self.adapted["module moved"] += 1
            module.to(self.device)
        return module


class _Rewriter(ast.NodeTransformer):
    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in _NEEDS_ITS_FRAME:
            return node
        caller = ast.copy_location(ast.Name(CALL, ast.Load()), node.func)
        return ast.copy_location(ast.Call(caller, [node.func, *node.args], node.keywords), node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        if _asks_for_cuda(node.test):
            node.orelse = _OtherDevice(self._adapter).visit(node.orelse)
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        if _asks_for_cuda(node.test):
            node.orelse = [_OtherDevice(self._adapter).visit(part) for part in node.orelse]
        return self.generic_visit(node)


class _OtherDevice(ast.NodeTransformer):
    """``"cuda" if torch.cuda.is_available() else "cpu"``: the choice becomes the device."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if node.value != "cpu":
            return node
        self._adapter.adapted["device chosen"] += 1
        return ast.copy_location(ast.Constant(str(self._adapter.device)), node)


def _asks_for_cuda(test: ast.expr) -> bool:
    return "is_available" in ast.unparse(test)


def _is_legacy_constructor(function: object) -> bool:
    return function is torch.Tensor or type(function).__name__ == "tensortype"


def _asks_for_cpu(value: object) -> bool:
    if isinstance(value, (str, torch.device)):
        return str(value) == "cpu"
    return False


def _holds_cpu_tensor(value: object) -> bool:
    """Is `value` a tensor of the cpu, or a container with one in it?"""
    if isinstance(value, torch.Tensor):
        return value.device.type == "cpu"
    parts: Iterable[object] = ()
    if isinstance(value, (list, tuple, set)):
        parts = value
    elif isinstance(value, dict):
        parts = value.values()
    return any(isinstance(part, torch.Tensor) and part.device.type == "cpu" for part in parts)
