"""Registration of the device ``alt`` with the torch of this process, once."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading

import torch

from altbackend import _compatible

NAME = "alt"

_lock = threading.RLock()
_registered = False


def register() -> None:
    """Load the C++ extension and make ``alt`` known to torch. A second call does nothing.

    Raises:
        ImportError: with one line that names the cure. Nothing is registered then.
    """
    global _registered
    with _lock:
        if _registered:
            return
        # Autoload comes through here while `import torch` itself, started by us, is under way.
        taken = torch._C._get_privateuse1_backend_name()
        if taken not in ("privateuseone", NAME):
            raise _compatible.Refusal(
                f"torch has room for one backend of this kind and {taken!r} has taken it",
                "uninstall one of the two",
            )
        _compatible.check(torch.__version__)
        _load_extension()
        # The Python side first: nothing below can leave torch half renamed.
        alt = importlib.import_module("altbackend.alt")
        torch.utils.rename_privateuse1_backend(NAME)
        torch._register_device_module(NAME, alt)
        for submodule in ("amp", "memory", "random", "streams"):
            sys.modules[f"torch.{NAME}.{submodule}"] = getattr(alt, submodule)
        torch.utils.generate_methods_for_privateuse1_backend(
            for_tensor=True, for_module=True, for_packed_sequence=True, for_storage=True
        )
        importlib.import_module("altbackend._multiprocessing").register()
        importlib.import_module("altbackend._dlpack").register()
        importlib.import_module("altbackend._shutdown").register()
        importlib.import_module("altbackend._losses").sum_halves_in_float32()
        importlib.import_module("altbackend._modules").keep_parameters()
        importlib.import_module("altbackend._optimizers").fuse_by_default()
        _registered = True


def _load_extension() -> None:
    library = importlib.util.find_spec("altbackend._C")
    if library is not None and library.origin is not None:
        _compatible.check_library(library.origin)
    try:
        importlib.import_module("altbackend._C")
    except ModuleNotFoundError as error:
        if error.name != "altbackend._C":
            raise
        raise _compatible.Refusal(
            "its C++ part is not built", f"build it with `{_compatible.REBUILD}`"
        ) from None
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise _compatible.Refusal(
            f"its C++ part does not load ({reason})",
            f"rebuild it with `{_compatible.REBUILD}`",
        ) from None
