"""The outcome of a call - values, an exception, warnings - and the comparison of two."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

from conformance.suite.tensors import tensors_in


class Difference(Exception):
    """Two outcomes differ; the message says how."""


class ValueDifference(Difference):
    """Only values differ: dtype, shape and device agree."""


@dataclass
class Outcome:
    """What a call did."""

    value: Any = None
    error: Exception | None = None
    warnings: list[str] = field(default_factory=list)


# What a kernel says once a process (TORCH_WARN_ONCE) of its own conversions: whichever call comes
# first has it, so it is not compared.
SAID_ONCE = (
    "Casting complex values to real discards the imaginary part",
    "torch.searchsorted(): ",
    "torch.cholesky is deprecated",
    "torch.lu_solve is deprecated",
    "torch.qr is deprecated",
)


def outcome(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Outcome:
    """Runs ``call`` with the arguments, from a fixed seed, and keeps whatever it did.

    What a GPU found to be bad input is raised where the host waits for it, so that is part of it.
    """
    torch.manual_seed(7)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = Outcome()
        try:
            result.value = call(*args, **kwargs)
            torch.alt.synchronize()  # type: ignore[attr-defined]
        except Exception as error:
            result.error = error
    result.warnings = [
        type(w.message).__name__ for w in caught if not str(w.message).startswith(SAID_ONCE)
    ]
    return result


# Relative and absolute: some rounding steps of the dtype, as torch.testing allows an operator with
# a reduction in it, and far below the 1e-3 that a defect shows.
TOLERANCES = {
    torch.float64: (1e-7, 1e-7),
    torch.complex128: (1e-7, 1e-7),
    torch.float32: (1e-5, 1e-5),
    torch.complex64: (1e-5, 1e-5),
    torch.float16: (2e-3, 2e-3),
    torch.complex32: (2e-3, 2e-3),
    torch.bfloat16: (1.6e-2, 1.6e-2),
}


HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Tolerance:
    """What an entry allows beyond its dtype's tolerance."""

    relative: float = 0.0
    absolute: float = 0.0
    # A gradient is a sum of rounded terms. In a half type these may cancel, and what is left is a
    # rounding step of a term: one of the largest number is then no difference.
    of_sums: bool = False

    def of(self, dtype: torch.dtype) -> tuple[float, float]:
        """Relative and absolute tolerance for values of ``dtype``."""
        relative, absolute = TOLERANCES.get(dtype, (0.0, 0.0))
        if dtype in TOLERANCES:
            relative, absolute = max(relative, self.relative), max(absolute, self.absolute)
        return relative, absolute

    def for_values(self, expected: torch.Tensor) -> tuple[float, float]:
        """Relative and absolute tolerance for values that should be ``expected``."""
        relative, absolute = self.of(expected.dtype)
        if self.of_sums and expected.dtype in HALF and expected.numel():
            largest = expected.abs().nan_to_num(0, 0, 0).max().item()
            absolute = max(absolute, torch.finfo(expected.dtype).eps * largest)
        return relative, absolute


def materialized(tensor: torch.Tensor) -> torch.Tensor:
    """The numbers, where a lazy conjugate or negation stands for them."""
    if tensor.is_conj() and tensor.is_neg():  # the CPU has no kernel for both in complex32
        tensor = tensor.conj().resolve_neg().conj()
    return tensor.resolve_conj().resolve_neg()


def compare_tensors(
    stock: torch.Tensor, alt: torch.Tensor, tolerance: Tolerance, where: str
) -> None:
    """Raises Difference unless dtype, shape and values agree."""
    if stock.dtype != alt.dtype:
        raise Difference(f"{where}: dtype {alt.dtype}, stock has {stock.dtype}")
    if stock.shape != alt.shape:
        raise Difference(f"{where}: shape {tuple(alt.shape)}, stock has {tuple(stock.shape)}")
    if stock.layout != torch.strided:
        return
    relative, absolute = tolerance.for_values(stock.detach())
    try:
        torch.testing.assert_close(
            materialized(alt.detach().cpu()),
            materialized(stock.detach().cpu()),
            equal_nan=True,
            rtol=relative,
            atol=absolute,
        )
    except AssertionError as error:
        raise ValueDifference(f"{where}: {' '.join(str(error).split())[:300]}") from None


def compare_values(stock: Any, alt: Any, tolerance: Tolerance, where: str = "result") -> int:
    """Compares two trees, of the CPU and of alt; the number of leaves compared."""
    for a, b in zip(tensors_in(stock), tensors_in(alt), strict=False):
        if a.device.type == "cpu" and b.device.type != "alt" and a.numel():
            raise Difference(f"{where}: the result is on {b.device}, not on alt")
    return compare_trees(stock, alt, tolerance, where)


def compare_trees(stock: Any, alt: Any, tolerance: Tolerance, where: str = "result") -> int:
    """The same, wherever the tensors are."""
    stock_leaves, stock_tree = tree_flatten(stock)
    alt_leaves, alt_tree = tree_flatten(alt)
    if len(stock_leaves) != len(alt_leaves):
        raise Difference(f"{where}: {len(alt_leaves)} results, stock has {len(stock_leaves)}")
    for i, (a, b) in enumerate(zip(stock_leaves, alt_leaves, strict=True)):
        label = f"{where}[{i}]" if len(stock_leaves) > 1 else where
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
            compare_tensors(a, b, tolerance, label)
        elif isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
            raise Difference(f"{label}: {type(b).__name__}, stock has {type(a).__name__}")
        elif isinstance(a, float) and isinstance(b, float):
            relative = max(1e-5, tolerance.relative)
            if not (a == b or (a != a and b != b) or abs(a - b) <= relative * max(1, abs(a))):
                raise Difference(f"{label}: {b!r}, stock has {a!r}")
        elif type(a) is not type(b) or (isinstance(a, (int, bool, str)) and a != b):
            raise Difference(f"{label}: {b!r}, stock has {a!r}")
    return len(stock_leaves)


def compare_errors(stock: Outcome, alt: Outcome) -> bool:
    """Raises Difference unless both raised the same type, or neither raised.

    False where there is nothing to compare: stock has no kernel for the dtype, and alt has one; or
    stock says that it is at fault itself.
    """
    if isinstance(stock.error, RuntimeError) and "INTERNAL ASSERT" in str(stock.error):
        return False
    if alt.error is None and isinstance(stock.error, NotImplementedError):
        return False
    if stock.error is None and alt.error is not None:
        raise Difference(f"raises {type(alt.error).__name__}: {short(alt.error)}")
    if stock.error is not None and alt.error is None:
        raise Difference(
            f"raises nothing, stock raises {type(stock.error).__name__}: {short(stock.error)}"
        )
    if stock.error is not None and type(stock.error) is not type(alt.error):
        assert alt.error is not None
        raise Difference(
            f"raises {type(alt.error).__name__} ({short(alt.error)}), stock raises "
            f"{type(stock.error).__name__} ({short(stock.error)})"
        )
    return True


def short(error: Exception) -> str:
    """The first line of an exception's message."""
    text = str(error).strip().splitlines()
    return text[0][:200] if text else ""


def normalized_message(error: Exception) -> str:
    """A message without what names the device or the kernel, and without C++ frames."""
    text = str(error).split("\nException raised from")[0]
    text = re.sub(r"\b(cpu|alt(:\d+)?|PrivateUse1|CPU|alt)\b", "DEVICE", text)
    text = re.sub(r'"[\w.]+" not implemented for', '"KERNEL" not implemented for', text)
    text = re.sub(r"wrapper_\w+", "WRAPPER", text)
    return " ".join(text.split())
