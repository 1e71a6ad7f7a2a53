"""altbackend: the device ``alt`` for PyTorch.

``import torch`` is enough: PyTorch's entry point ``torch.backends`` calls :func:`_autoload`.
Importing altbackend oneself gives the controls below, and turns what autoload only warns of into an
ImportError.

    fallback_report()        which operators ran on stock CPU kernels: calls, bytes, from where
    reset_fallback_report()  forget it
    no_fallback()            context manager: a fallback raises instead
    fallback_mode(mode)      context manager: "allow", "warn" or "forbid"
    cuda_shim                ``cuda_shim.enable()``: what a script asks of cuda is answered by alt

This file stays small on purpose: ``import torch`` runs it, and it must not be able to fail.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # __getattr__ below brings them when they are asked for
    from altbackend.fallback import (
        fallback_mode,
        fallback_report,
        no_fallback,
        reset_fallback_report,
    )

__all__ = [
    "__version__",
    "cuda_shim",
    "fallback_mode",
    "fallback_report",
    "no_fallback",
    "reset_fallback_report",
]

__version__ = "0.1.0"

_FALLBACK_NAMES = ("fallback_mode", "fallback_report", "no_fallback", "reset_fallback_report")


def _torch_is_importing() -> bool:
    """Whether ``import torch`` is under way: then it is the one that imports us."""
    torch = sys.modules.get("torch")
    return bool(getattr(getattr(torch, "__spec__", None), "_initializing", False))


_imported_by_torch = _torch_is_importing()


def _autoload() -> None:
    """Register the device from ``import torch``. Never raises: a failure is one line on stderr.

    The device stays unregistered then, and altbackend is forgotten, so that ``import altbackend``
    tries again and raises the same line as an ImportError.
    """
    try:
        from altbackend._register import register

        register()
    except Exception as error:
        if not _imported_by_torch:
            return  # `import altbackend` is under way and will raise this itself
        print(_one_line(error), file=sys.stderr)
        for name in [n for n in sys.modules if n == __name__ or n.startswith(__name__ + ".")]:
            del sys.modules[name]


def _one_line(error: BaseException) -> str:
    """The message of a refusal, as one line that starts with "altbackend:"."""
    text = " ".join(str(error).split()) or type(error).__name__
    if text.startswith("altbackend:"):
        return text
    return (
        f"altbackend: the device alt is not available: {type(error).__name__}: {text} "
        "(rebuild it with `pip install --no-build-isolation -e .`, "
        "or set TORCH_DEVICE_BACKEND_AUTOLOAD=0 to do without)"
    )


def __getattr__(name: str) -> object:
    # Imported when asked for, so that `import torch` does not pay for them.
    import importlib

    if name in _FALLBACK_NAMES:
        return getattr(importlib.import_module("altbackend.fallback"), name)
    if name == "cuda_shim":
        return importlib.import_module("altbackend.cuda_shim")
    raise AttributeError(f"module 'altbackend' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not _imported_by_torch:
    try:
        from altbackend._register import register as _register

        _register()
    except Exception as error:
        raise ImportError(_one_line(error)) from None
