"""What ``torch.set_default_device`` leaves out, for scripts that were written for the cpu.

With a default device of alt, stock torch still makes cpu tensors, or refuses, where

- a generator is given: ``torch.randperm(n, generator=torch.Generator())``, as the DataLoader's
  shuffling and ``random_split`` do;
- the constructors of torch's first years are used: ``torch.Tensor([1, 2])``,
  ``torch.FloatTensor(2)``;
- ``torch.normal(0.0, 1.0, (2, 3))`` is used, which has a device argument that torch overlooks;
- an operator wants its lengths on the cpu: ``pack_padded_sequence``;
- a thread is started: the default device is the starting thread's alone;
- ``backward`` calls a function or hook of the script's;
- the state of the random numbers is saved: ``torch.get_rng_state()`` is the cpu's.

:func:`use` is for a whole process, such as that of ``python -m altbackend run``.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, _push_mode
from torch.utils._device import DeviceContext, _device_constructors

import altbackend.alt as alt
from altbackend import _patches


def use() -> _patches.Patches:
    """Make alt the default device of this thread and of those it starts, without the gaps above.

    Returns:
        what was patched; ``restore()`` takes the patches back, the default device stays.
    """
    patches = _patches.Patches()
    torch.set_default_device("alt")
    _push_mode(_MODE)
    _patches.EveryThread(_as_this_thread).install(patches)
    _patches.keep_in_backward(patches, _within_default)
    _install_generator(patches)
    _install_constructors(patches)
    _install_normal(patches)
    _install_random_state(patches)
    return patches


@contextlib.contextmanager
def _as_this_thread() -> Iterator[None]:
    torch.set_default_device("alt")
    try:
        with _patches.pushed(_MODE):
            yield
    finally:
        # A thread that ends with a mode on its stack drops it without the interpreter's lock; when
        # the process is ending too, that aborts it.
        torch.set_default_device(None)


@contextlib.contextmanager
def _within_default() -> Iterator[None]:
    device = torch.utils._device.CURRENT_DEVICE
    with _patches.pushed(_MODE):
        if device is None:
            yield
        else:
            with device:
                yield


def _default() -> torch.device | None:
    """The default device; None is the cpu.

    ``with torch.device(...)`` leaves torch.utils._device.CURRENT_DEVICE as it was, so that only the
    stack of modes tells; torch.get_default_device() would make a tensor to know the index.
    """
    for mode in reversed(_get_current_function_mode_stack()):
        if isinstance(mode, DeviceContext):
            return mode.device
    return None


def _is_default() -> bool:
    device = _default()
    return device is not None and _patches.is_alt(device)


# ---- calls
# -----------------------------------------------------------------------------------------


class _Defaults(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if kwargs and kwargs.get("generator") is not None and _is_default():
            return _with_generator(func, args, kwargs)
        special = _SPECIAL.get(func)
        if special is not None and _is_default():
            return special(func, args, kwargs or {})
        return func(*args, **kwargs) if kwargs else func(*args)


_MODE = _Defaults()


def _with_generator(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A generator of the cpu, where the tensor is or will be on alt.

    The cpu's default generator means "the default one": alt's takes its place, so that a seed gives
    the numbers it gives in a run on the cpu. Any other decides where the numbers are drawn.
    """
    generator = kwargs["generator"]
    if generator.device.type != "cpu" or kwargs.get("device") is not None:
        return func(*args, **kwargs)
    constructs = func in _device_constructors()
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
    if not constructs and not any(_patches.is_alt(tensor.device) for tensor in tensors):
        return func(*args, **kwargs)
    if generator is torch.default_generator:
        kwargs["generator"] = alt.default_generator()
        return func(*args, **kwargs)
    if constructs:
        return func(*args, **{**kwargs, "device": generator.device}).to("alt")
    if func.__name__.endswith("_") and args:
        drawn = torch.empty_like(args[0], device="cpu")
        return args[0].copy_(func(drawn, *args[1:], **kwargs))
    return func(*args, **kwargs)


def _pack_padded_sequence(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    data, lengths, *rest = args
    return func(data, lengths.cpu(), *rest, **kwargs)


def _type(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``x.type(torch.LongTensor)`` and ``x.type("torch.LongTensor")`` convert, and do not move to
    the cpu."""
    given = args[1] if len(args) > 1 else kwargs.get("dtype")
    name = given if isinstance(given, str) else getattr(given, "__name__", "")
    if isinstance(given, str) and not name.startswith("torch."):
        return func(*args, **kwargs)
    plain = isinstance(given, _LegacyType) or name.count(".") == 1
    dtype = alt.tensor_types.DTYPES.get(name.rpartition(".")[2]) if plain else None
    return args[0].to(dtype) if dtype is not None else func(*args, **kwargs)


_SPECIAL: dict[Callable[..., Any], Callable[..., Any]] = {
    torch._C._VariableFunctions._pack_padded_sequence: _pack_padded_sequence,
    torch.Tensor.type: _type,
}


# ---- what is no function of torch
# ---------------------------------------------------------------------


def _install_generator(patches: _patches.Patches) -> None:
    original = torch.Generator

    def generator(device: Any = None) -> torch.Generator:
        if device is None:
            return original("alt") if _is_default() else original()
        return original(device)

    patches.set(torch, "Generator", _patches.stand_in(original, generator))


class _LegacyType(_patches.ClassStandIn):
    """``torch.FloatTensor`` while alt is the default device: tensors of alt are its instances
    too."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, (cls.original, alt.tensor_types.TENSOR_TYPES[cls.__name__]))


def _legacy(original: Callable[..., torch.Tensor], kind: Callable[[], Any]) -> Callable[..., Any]:
    """A constructor of cpu tensors that makes them on the default device.

    Args:
        original: makes cpu tensors.
        kind: the class of alt tensors that corresponds to it now.
    """

    def construct(*args: Any, **kwargs: Any) -> torch.Tensor:
        if not _is_default() or kwargs.get("device") is not None:
            return original(*args, **kwargs)
        if args and isinstance(args[0], torch.Tensor) and _patches.is_alt(args[0].device):
            return kind()(*args, **kwargs)
        return original(*args, **kwargs).to("alt")

    return construct


def _install_constructors(patches: _patches.Patches) -> None:
    for name, alt_type in alt.tensor_types.TENSOR_TYPES.items():
        original = getattr(torch, name)
        namespace = {
            "__module__": "torch",
            "original": original,
            "make": staticmethod(_legacy(original, functools.partial(_identity, alt_type))),
        }
        patches.set(torch, name, _LegacyType(name, (), namespace))

    stock_new = torch.Tensor.__new__

    def new(*args: Any, **kwargs: Any) -> torch.Tensor:
        # No parameter of a name: torch._dynamo compares them with those of its own version.
        cls, *values = args
        if cls is not torch.Tensor:
            return stock_new(cls, *values, **kwargs)
        return of_tensor(*values, **kwargs)

    of_tensor = _legacy(functools.partial(stock_new, torch.Tensor), _default_type)
    patches.set(torch.Tensor, "__new__", new)
    patches.wrap(torch, "set_default_tensor_type", _set_default_tensor_type)


def _identity(value: Any) -> Any:
    return value


def _default_type() -> Any:
    return alt.tensor_types.tensor_type_of(torch.get_default_dtype())


def _set_default_tensor_type(stock: Callable[[Any], None]) -> Callable[[Any], None]:
    def set_default_tensor_type(kind: Any) -> None:
        stock(kind.original if isinstance(kind, _LegacyType) else kind)

    return set_default_tensor_type


def _install_normal(patches: _patches.Patches) -> None:
    # Not in the mode: that would not see a `with torch.device("cpu"):` around the call.
    def wrap(stock: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def normal(*args: Any, **kwargs: Any) -> torch.Tensor:
            moments = (*args[:2], kwargs.get("mean"), kwargs.get("std"), kwargs.get("out"))
            if not any(isinstance(moment, torch.Tensor) for moment in moments) and _is_default():
                kwargs.setdefault("device", _default())
            return stock(*args, **kwargs)

        return normal

    patches.wrap(torch, "normal", wrap)


def _install_random_state(patches: _patches.Patches) -> None:
    """``torch.get_rng_state`` and ``set_rng_state`` speak of the generator that the script draws
    from.

    The host engine's generator has the cpu's state. Where another engine's has not, they stay the
    cpu's.
    """
    if alt.get_rng_state().shape != torch.get_rng_state().shape:
        return

    def get_rng_state(stock: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        return lambda: alt.get_rng_state() if _is_default() else stock()

    def set_rng_state(stock: Callable[[torch.Tensor], None]) -> Callable[[torch.Tensor], None]:
        def both(new_state: torch.Tensor) -> None:
            stock(new_state.cpu())
            if _is_default():
                alt.set_rng_state(new_state.cpu())

        return both

    for module in (torch, torch.random):
        patches.wrap(module, "get_rng_state", get_rng_state)
        patches.wrap(module, "set_rng_state", set_rng_state)
