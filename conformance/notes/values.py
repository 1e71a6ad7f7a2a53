"""The form in which observations travel from a child process to the comparison: no torch in it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TensorValue:
    """A tensor (or NumPy array): `data` holds its elements, widened where NumPy lacks the type."""

    kind: str  # "tensor", "parameter" or "array"
    dtype: str
    shape: tuple[int, ...]
    data: bytes
    stored_as: str  # NumPy's name of the type that `data` is in
    requires_grad: bool = False
    is_leaf: bool = True
    device: str = "cpu"
    grad: Value = None
    # The memory is shared between torch and NumPy on the cpu, and can not be on another device.
    shared_on_cpu: bool = False


@dataclass(frozen=True)
class NumberValue:
    """A Python number or a NumPy scalar."""

    type: str
    value: complex


@dataclass(frozen=True)
class TextValue:
    """A string, or the text of a value which is its text: a dtype, a size, a device."""

    type: str
    text: str


@dataclass(frozen=True)
class GroupValue:
    """A container, a module, an optimizer or another object: its parts by name."""

    type: str
    parts: tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class OpaqueValue:
    """Something of which only the type is compared: a function, a generator, a foreign object."""

    type: str


@dataclass(frozen=True)
class UnreadableValue:
    """A value which could not be read back: always a failure."""

    error: str


Value = TensorValue | NumberValue | TextValue | GroupValue | OpaqueValue | UnreadableValue | None


@dataclass
class Fallback:
    """An operator which ran on stock kernels during a statement."""

    op: str
    calls: int
    bytes: int
    site: str


@dataclass
class Record:
    """What one statement did in one process."""

    index: int
    status: str  # "ok", "error", "timeout" or "skipped"
    error_type: str = ""
    error: str = ""
    printed: str = ""
    shown: str = ""  # what an interactive session would show for an expression
    result: Value = None
    changed: dict[str, Value] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    fallbacks: list[Fallback] = field(default_factory=list)
    native_calls: int = 0
    # What a person would have had to write for another device than the cpu: {what: times}.
    adapted: dict[str, int] = field(default_factory=dict)
    # Random numbers were drawn from the cpu's generator and from the device's: not comparable.
    two_generators: bool = False
    seconds: float = 0.0
