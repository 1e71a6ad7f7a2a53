"""What a script asks of cuda is answered by alt, without a change to the script.

    from altbackend import cuda_shim
    cuda_shim.enable()
    model.cuda(); x.to("cuda:0"); torch.cuda.is_available(); torch.cuda.FloatTensor(3)
    cuda_shim.disable()

Calls nest: as many ``disable`` as ``enable``. ``with cuda_shim.enabled():`` does both. Enable it
before the script's own imports, as ``python -m altbackend run`` does, so that ``from torch import
device`` sees it.

What it covers: the string "cuda" and cuda devices wherever torch takes a device; ``torch.device``
and ``torch.Generator``; ``Tensor.cuda``, ``is_cuda``, ``type``; ``torch.cuda`` and its ``amp``,
``memory``, ``random`` and ``streams``; ``torch.autocast`` and ``GradScaler``; ``torch.load`` of
files saved on cuda; ``torch.cuda.nvtx``, which does nothing. ``x.device.type == "cuda"`` and ``==
"alt"`` both hold.

What shows through:
- a device and a tensor print as ``alt:0``, and ``str(device)`` begins with "alt"; ``device.type``
  as the key of a dictionary is "alt";
- a tensor is saved as on alt, so that the file loads on alt without the shim; elsewhere, give
  ``map_location``;
- ``torch.device`` and the modules' functions that were imported by name before ``enable`` are the
  stock ones: a cuda device of theirs is understood wherever it is handed to torch, but is not equal
  to an alt one;
- threads that run already when it is enabled, and processes that are spawned, do not have it;
- CUDA graphs, NCCL, NVML (``torch.cuda.utilization`` ...) and custom CUDA or Triton kernels are not
  there; ``torch.version.cuda`` stays None.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, _push_mode

import altbackend.alt as alt
from altbackend import _comm, _patches
from altbackend.alt import _utils

__all__ = ["disable", "enable", "enabled", "is_enabled"]

_lock = threading.RLock()
_depth = 0
_patched = _patches.Patches()

# Before any patch of ours; whatever runs below must not go through a stand-in.
_device = torch.device
_type_of = vars(torch.device)["type"].__get__


def is_enabled() -> bool:
    """Whether alt answers for cuda now."""
    return _depth > 0


def enable() -> None:
    """Let alt answer for cuda from here on, in this thread and in those started from now on."""
    global _depth
    with _lock:
        _depth += 1
        if _depth > 1:
            return
        try:
            _install(_patched)
        except BaseException:
            _patched.restore()
            _depth -= 1
            raise
        _push_mode(_MODE)


def disable() -> None:
    """Take back one :func:`enable`.

    Raises:
        RuntimeError: where it is not enabled.
    """
    global _depth
    with _lock:
        if _depth == 0:
            raise RuntimeError("cuda_shim.disable() without a matching enable()")
        _depth -= 1
        if _depth == 0:
            _patches.remove_mode(_MODE)
            _patched.restore()


@contextlib.contextmanager
def enabled() -> Iterator[None]:
    """Within the block, alt answers for cuda."""
    enable()
    try:
        yield
    finally:
        disable()


# ---- devices
# ---------------------------------------------------------------------------------------


class DeviceType(str):
    """``device.type`` of an alt device while the shim is on: "alt", and equal to "cuda" too."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True or other == _CUDA

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __contains__(self, part: str) -> bool:  # type: ignore[override]
        return str.__contains__(self, part) or part in _CUDA

    def startswith(self, prefix: Any, *bounds: Any) -> bool:
        """As of "alt" or of "cuda"."""
        return str.startswith(self, prefix, *bounds) or _CUDA.startswith(prefix, *bounds)


_CUDA = "cuda"
_ALT = DeviceType("alt")


def _is_cuda_name(text: str) -> bool:
    return text == _CUDA or text.startswith("cuda:")


def translate(device: Any) -> Any:
    """The alt device for a cuda one; anything else as it came.

    Args:
        device: what a caller gave for a device: a string, a torch.device, an index, None, or no
        device at all.
    """
    if type(device) is str:
        if _is_cuda_name(device):
            return "alt" + device[4:]
    elif type(device) is _device and _type_of(device) == _CUDA:
        return _device("alt") if device.index is None else _device("alt", device.index)
    return device


def _make_device(*args: Any, **kwargs: Any) -> torch.device:
    if "type" in kwargs:
        kwargs["type"] = translate(kwargs["type"])
    elif "device" in kwargs:
        kwargs["device"] = translate(kwargs["device"])
    elif args:
        args = (translate(args[0]), *args[1:])
    return _device(*args, **kwargs)


def _device_type(device: torch.device) -> str:
    name = _type_of(device)
    return _ALT if name == "alt" else name


def _with_device(make: Callable[..., Any]) -> Callable[..., Any]:
    """``make`` with its first argument, or the one named device, translated."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if args:
            args = (translate(args[0]), *args[1:])
        if "device" in kwargs:
            kwargs["device"] = translate(kwargs["device"])
        return make(*args, **kwargs)

    return call


# ---- every call of torch that can take a device
# ------------------------------------------------------

# They take a device, or a type's name, without saying so by name.
_POSITIONAL: frozenset[Any] = frozenset(
    {
        torch.Tensor.to,
        torch.Tensor.pin_memory,
        torch.Tensor.is_pinned,
        torch.Tensor.type,
        torch._C._nn._parse_to,
    }
)


class TypeName(str):
    """``tensor.type()`` of an alt tensor while the shim is on: also equal to cuda's name for it."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True or (
            isinstance(other, str) and str.__eq__(self, other.replace("torch.cuda.", "torch.alt."))
        )

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def _translate_type_name(value: Any) -> Any:
    if type(value) is str and value.startswith("torch.cuda."):
        return "torch.alt." + value[len("torch.cuda.") :]
    return value


class _CudaIsAlt(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if _depth == 0:  # a thread that outlived the shim
            return func(*args, **(kwargs or {}))
        if kwargs:
            device = kwargs.get("device")
            if device is not None:
                kwargs["device"] = translate(device)
        if func in _POSITIONAL:
            return _call_positional(func, args, kwargs or {})
        return func(*args, **kwargs) if kwargs else func(*args)


def _call_positional(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if func is not torch.Tensor.type:
        return func(*map(translate, args), **kwargs)
    kwargs = {key: _translate_type_name(value) for key, value in kwargs.items()}
    result = func(*map(_translate_type_name, args), **kwargs)
    return TypeName(result) if isinstance(result, str) else result


_MODE = _CudaIsAlt()


# ---- the patches
# -------------------------------------------------------------------------------------


def _install(patches: _patches.Patches) -> None:
    _patches.EveryThread(lambda: _patches.pushed(_MODE)).install(patches)
    _patches.keep_in_backward(patches, lambda: _patches.pushed(_MODE))
    _comm.install(patches)
    _install_devices(patches)
    _install_tensors(patches)
    _install_torch_cuda(patches)
    _install_amp(patches)
    _install_serialization()


def _install_devices(patches: _patches.Patches) -> None:
    patches.set(_utils, "translate", translate)
    patches.set_on_immutable_type(_device, "type", property(_device_type))
    patches.set(torch, "device", _patches.stand_in(_device, _make_device))
    for name in ("Generator", "Stream", "Event"):
        original = getattr(torch, name)
        patches.set(torch, name, _patches.stand_in(original, _with_device(original)))
    patches.wrap(torch, "set_default_device", _with_device)
    patches.wrap(torch, "set_default_tensor_type", _set_default_tensor_type)


def _set_default_tensor_type(stock: Callable[[Any], None]) -> Callable[[Any], None]:
    def set_default_tensor_type(kind: Any) -> None:
        name = kind if isinstance(kind, str) else str(kind)
        chosen = alt.tensor_types.TENSOR_TYPES.get(name.rpartition(".")[2])
        if chosen is not None and name.startswith(("torch.cuda.", "torch.alt.")):
            torch.set_default_dtype(chosen.dtype)
            torch.set_default_device("alt")
        else:
            stock(kind)

    return set_default_tensor_type


def _install_tensors(patches: _patches.Patches) -> None:
    def cuda(
        self: torch.Tensor,
        device: Any = None,
        non_blocking: bool = False,
        memory_format: torch.memory_format = torch.preserve_format,
    ) -> torch.Tensor:
        index = _utils._get_device_index(device, optional=True)
        return self.to(
            _device("alt", index), non_blocking=non_blocking, memory_format=memory_format
        )

    patches.set(torch.Tensor, "cuda", functools.update_wrapper(cuda, torch.Tensor.cuda))
    patches.set(torch.Tensor, "is_cuda", property(lambda self: _patches.is_alt(self.device)))


# Names of torch.cuda that torch.alt has under the same name.
_SAME_NAME = [
    *(name for name in alt.__all__ if hasattr(torch.cuda, name)),
    *(name for name in alt.tensor_types.__all__),
    "_exchange_device",
    "_get_device_index",
    "_get_generator",
    "_is_in_bad_fork",
    "_lazy_init",
    "_maybe_exchange_device",
]
_SUBMODULES = ("memory", "random", "streams", "amp", "tensor_types")


def _install_torch_cuda(patches: _patches.Patches) -> None:
    cuda = torch.cuda
    for name in dict.fromkeys(_SAME_NAME):
        if name not in _SUBMODULES:
            patches.set(cuda, name, getattr(alt, name))
    patches.set(cuda, "default_generators", alt.default_generators)
    patches.set(cuda, "_utils", alt._utils)
    for theirs, ours in (
        (cuda.memory, alt.memory),
        (cuda.random, alt.random),
        (cuda.streams, alt.streams),
    ):
        for name in ours.__all__:
            if hasattr(theirs, name):
                patches.set(theirs, name, getattr(ours, name))

    def answer(value: Any) -> Callable[..., Any]:
        return lambda *args, **kwargs: value

    for owner, name, value in (
        (cuda, "get_arch_list", []),
        (cuda, "get_gencode_flags", ""),
        (cuda, "get_sync_debug_mode", 0),
        (cuda, "is_current_stream_capturing", False),
        (cuda, "is_tf32_supported", False),
        (cuda.nccl, "is_available", False),
        (cuda, "set_sync_debug_mode", None),
        (cuda.profiler, "start", None),
        (cuda.profiler, "stop", None),
        (torch.backends.cuda, "is_built", True),
        (torch.backends.cudnn, "is_acceptable", False),
    ):
        patches.set(owner, name, answer(value))
    for name in ("mark", "range_end", "range_pop", "range_push", "range_start"):
        patches.set(cuda.nvtx, name, answer(0))


def _install_amp(patches: _patches.Patches) -> None:
    def translated_init(stock: Callable[..., None]) -> Callable[..., None]:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            for key in ("device", "device_type"):
                if key in kwargs:
                    kwargs[key] = translate(kwargs[key])
            stock(self, *map(translate, args[:1]), *args[1:], **kwargs)

        return init

    patches.wrap(torch.amp.autocast_mode.autocast, "__init__", translated_init)

    def scaler_init(stock: Callable[..., None]) -> Callable[..., None]:
        def init(self: Any, device: str = "cuda", *args: Any, **kwargs: Any) -> None:
            stock(self, translate(device), *args, **kwargs)

        return init

    patches.wrap(torch.amp.grad_scaler.GradScaler, "__init__", scaler_init)
    for name in ("get_autocast_dtype", "set_autocast_dtype", "set_autocast_enabled"):
        patches.wrap(torch, name, _with_device)

    def is_autocast_enabled(stock: Callable[..., bool]) -> Callable[..., bool]:
        # Without an argument it has always asked of cuda.
        return lambda device_type="cuda": stock(translate(device_type))

    patches.wrap(torch, "is_autocast_enabled", is_autocast_enabled)
    patches.set(torch, "get_autocast_gpu_dtype", lambda: torch.get_autocast_dtype("alt"))
    patches.set(
        torch, "set_autocast_gpu_dtype", lambda dtype: torch.set_autocast_dtype("alt", dtype)
    )


_serialization_installed = False


def _install_serialization() -> None:
    """Files saved on cuda load on alt, and alt tensors are saved as such.

    torch cannot forget a registration; this one does nothing while the shim is off.
    """
    global _serialization_installed
    if _serialization_installed:
        return
    _serialization_installed = True

    def tag(storage: Any) -> str | None:
        if not is_enabled() or not _patches.is_alt(storage.device):
            return None
        return f"alt:{storage.device.index}"

    def restore(storage: Any, location: str) -> Any:
        if not is_enabled() or not _is_cuda_name(location):
            return None
        index = _device(location).index
        return storage.to(device=_device("alt", alt.current_device() if index is None else index))

    # cuda's own entry has priority 20; the lowest number is asked first.
    torch.serialization.register_package(15, tag, restore)
