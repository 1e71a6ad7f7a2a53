"""``torch.alt.FloatTensor`` and its like: the constructors and type names of torch's first years.

torch makes these classes in C++ for cpu and cuda alone, so those of alt are Python classes. As for
cuda's, no tensor's ``type(t)`` is ever one of them: ``isinstance`` looks at device and dtype.
"""

from __future__ import annotations

from typing import Any

import torch

DTYPES: dict[str, torch.dtype] = {
    "BFloat16Tensor": torch.bfloat16,
    "BoolTensor": torch.bool,
    "ByteTensor": torch.uint8,
    "CharTensor": torch.int8,
    "DoubleTensor": torch.float64,
    "FloatTensor": torch.float32,
    "HalfTensor": torch.float16,
    "IntTensor": torch.int32,
    "LongTensor": torch.int64,
    "ShortTensor": torch.int16,
}

__all__ = list(DTYPES)


class AltTensorType(type):
    """The class of ``torch.alt.FloatTensor``; carries what torch's own ``tensortype`` carries."""

    dtype: torch.dtype
    is_cuda = False
    is_sparse = False
    layout = torch.strided

    def __instancecheck__(cls, instance: object) -> bool:
        return (
            isinstance(instance, torch.Tensor)
            and instance.dtype == cls.dtype
            and instance.device.type == "alt"
        )

    def __call__(cls, *args: Any, device: Any = None) -> torch.Tensor:
        """``FloatTensor()``, ``FloatTensor(2, 3)``, ``FloatTensor([1., 2.])`` or of a tensor.

        Sizes give uninitialised memory; a sequence is copied; a tensor of this type is aliased.

        Raises:
            TypeError: for a tensor of another type, or arguments of another kind.
        """
        where = torch.device("alt" if device is None else device)
        if where.type != "alt":
            raise RuntimeError(
                "legacy constructor expects device type: alt but device type: "
                f"{where.type} was passed"
            )
        if not args:
            return torch.empty(0, dtype=cls.dtype, device=where)
        first = args[0]
        if len(args) == 1 and isinstance(first, torch.Tensor) and first.dim() >= 0:
            if not isinstance(first, cls):
                raise TypeError(f"expected {cls} (got {first.type()})")
            return first.detach()
        if len(args) == 1 and isinstance(first, torch.Size):
            return torch.empty(first, dtype=cls.dtype, device=where)
        if all(isinstance(size, int) and not isinstance(size, bool) for size in args):
            return torch.empty(args, dtype=cls.dtype, device=where)
        if len(args) == 1:
            return torch.tensor(first, dtype=cls.dtype, device=where)
        raise TypeError(
            f"new(): {cls} takes sizes, one sequence or one tensor, "
            f"not ({', '.join(type(a).__name__ for a in args)})"
        )

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        return cls.__qualname__

    def __repr__(cls) -> str:
        return f"<class 'torch.alt.{cls.__name__}'>"

    def __str__(cls) -> str:
        return f"torch.alt.{cls.__name__}"


def _make(name: str, dtype: torch.dtype) -> AltTensorType:
    # Tensor.type(cls) goes by the name that C sees, which is the one given here.
    namespace = {"__module__": "torch.alt", "__qualname__": name, "dtype": dtype}
    return AltTensorType(f"torch.alt.{name}", (), namespace)


TENSOR_TYPES: dict[str, AltTensorType] = {name: _make(name, t) for name, t in DTYPES.items()}
globals().update(TENSOR_TYPES)


def tensor_type_of(dtype: torch.dtype) -> AltTensorType:
    """The class for a dtype.

    Raises:
        KeyError: for a dtype that never had such a class (float8, quantised, uint16 ...).
    """
    return next(t for t in TENSOR_TYPES.values() if t.dtype == dtype)
