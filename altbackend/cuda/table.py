"""The rows of ops.yaml as the CUDA engine reads them: the same table that the host is built from.

What a row does not say, a function's scalar arguments, is read off its head in ``csrc/ops``.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parent
# A checkout has csrc beside the package, an installed package has its copy inside.
CSRC = next((p for p in (PACKAGE / "csrc", PACKAGE.parent.parent / "csrc") if p.is_dir()), PACKAGE)
ARITIES = {"unary": 1, "binary": 2, "ternary": 3, "quaternary": 4}

_INTEGRAL = ("uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64")
_FLOATING = ("float32", "float64")
_COMPLEX = ("complex64", "complex128")
# The lists of csrc/dispatch/generator/rows.py's TYPES.
TYPES: dict[str, tuple[str, ...]] = {
    "all": (*_INTEGRAL, "bool", *_FLOATING),
    "all_complex": (*_INTEGRAL, "bool", *_FLOATING, *_COMPLEX),
    "number": (*_INTEGRAL, *_FLOATING),
    "number_complex": (*_INTEGRAL, *_FLOATING, *_COMPLEX),
    "integral": _INTEGRAL,
    "integral_bool": (*_INTEGRAL, "bool"),
    "floating": _FLOATING,
    "floating_complex": (*_FLOATING, *_COMPLEX),
    "complex": _COMPLEX,
}


@dataclass(frozen=True)
class PointwiseRow:
    """One pointwise operator."""

    name: str  # the stub or the kernel that it fills
    body: str  # the function in alt::ops
    header: str  # of csrc/ops, or a .cuh of this package
    inputs: int
    outputs: int
    scalars: tuple[str, ...]  # "T", "bool" or "int64_t" each
    types: tuple[str, ...]  # dtypes that it computes in
    compute: str  # whose dtype that is: common, input, output; or double

    @property
    def include(self) -> str:
        """The header that has the function."""
        return self.header if self.header.endswith(".cuh") else f"ops/{self.header}.h"


@dataclass(frozen=True)
class ReductionRow:
    """One reduction."""

    name: str
    body: str  # the struct in alt::ops
    types: str  # real, real_complex or bool


@functools.cache
def table() -> dict:
    """ops.yaml, parsed."""
    import yaml

    return yaml.load((CSRC / "dispatch" / "ops.yaml").read_text(), Loader=_loader(yaml))


def _loader(yaml):
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@functools.cache
def _header(name: str) -> str:
    return (CSRC / "ops" / f"{name}.h").read_text()


def parameters(header: str, body: str) -> tuple[str, list[str]]:
    """What a function of ``csrc/ops`` returns, and the types of its parameters."""
    found = re.search(rf"\bALT_FN ([\w<>]+) {body}\(([^)]*)\)", _header(header))
    if found is None:
        raise LookupError(f"ops/{header}.h has no ALT_FN {body}(…)")
    return found[1], [p.strip().rsplit(" ", 1)[0] for p in found[2].split(",")]


# Pointwise kernels that the host has no rows for: its loops for them are others.
OWN = {
    row.name: row
    for row in (
        PointwiseRow("copy", "copy", "kernels/copy.cuh", 1, 1, (), TYPES["all_complex"], "input"),
        PointwiseRow(
            "complex", "make_complex", "kernels/complex.cuh", 2, 1, (), _FLOATING, "input"
        ),
        PointwiseRow("polar", "polar", "kernels/complex.cuh", 2, 1, (), _FLOATING, "input"),
    )
}


@functools.cache
def pointwise_rows() -> dict[str, PointwiseRow]:
    """Every pointwise operator by name."""
    rows = dict(OWN)
    for family in table()["pointwise"]:
        for section, inputs in ARITIES.items():
            for row in family.get(section) or []:
                returned, types = parameters(family["ops"], row["body"])
                # A parameter of another type than the operands is a number in their type.
                scalars = tuple(t if t in ("bool", "int64_t") else "T" for t in types[inputs:])
                name = row.get("stub") or row["kernel"]
                rows[name] = PointwiseRow(
                    name=name,
                    body=row["body"],
                    header=family["ops"],
                    inputs=inputs,
                    outputs=2 if returned.startswith("Two") else 1,
                    scalars=scalars,
                    types=TYPES[row["types"]],
                    compute=row.get("compute", "common"),
                )
    return rows


@functools.cache
def reduction_rows() -> dict[str, ReductionRow]:
    """Every reduction of the table by name."""
    return {
        row["stub"]: ReductionRow(row["stub"], row["body"], row["types"])
        for row in table()["reductions"]
    }
