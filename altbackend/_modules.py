"""Modules that move to alt keep their Parameter objects, as those that move to cuda do.

PyTorch moves a parameter by giving it other memory, between the backends that it lists (PrivateUse1
is not among them; TensorImpl::has_compatible_shallow_copy_type), and replaces the object elsewhere.
An optimizer made before the move would go on with the old ones, and a lazy module's parameter would
lose that it is one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.parameter import Parameter, UninitializedParameter


def keep_parameters() -> None:
    """From here on, in this process."""
    original = torch.nn.Module._apply

    @functools.wraps(original)
    def apply(
        self: torch.nn.Module, fn: Callable[..., Any], recurse: bool = True
    ) -> torch.nn.Module:
        before = dict(self._parameters)
        result = original(self, fn, recurse)
        for name, parameter in before.items():
            moved = self._parameters[name]
            if parameter is None or moved is None or moved is parameter:
                continue
            if "alt" in (parameter.device.type, moved.device.type):
                self._parameters[name] = _in_place_of(parameter, moved)
        return result

    torch.nn.Module._apply = apply  # type: ignore[method-assign]


def _in_place_of(parameter: Parameter, moved: Parameter) -> Parameter:
    """The old object with the new memory; the new one where a graph holds on to the old."""
    if isinstance(parameter, UninitializedParameter):
        kind: Any = type(parameter)
        return kind(requires_grad=parameter.requires_grad, device=moved.device, dtype=moved.dtype)
    if type(moved) is not type(parameter) or parameter._use_count() > 1:  # type: ignore[attr-defined]
        return moved
    # torch.utils.swap_tensors would refuse the weak references of recurrent modules, which are
    # to follow the object, and exchange the attributes too, which are to stay with it.
    torch._C._swap_tensor_impl(parameter, moved)
    return parameter
