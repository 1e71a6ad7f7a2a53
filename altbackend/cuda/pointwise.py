"""Kernels of the pointwise operators: one module for an operator and the dtypes of its operands.

The text is a few lines around a function of ``csrc/ops`` and the loop of ``loops/pointwise.cuh``;
the operator's name, arity and types come from the rows of ops.yaml.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from altbackend.cuda import dtypes, table
from altbackend.cuda.errors import CudaError


@dataclass(frozen=True)
class Key:
    """What a module is compiled for."""

    name: str  # of a row
    compute: str  # dtype
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.inputs)}) -> {', '.join(self.outputs)}"


def key(name: str, common: str, outputs: Sequence[str], inputs: Sequence[str]) -> Key:
    """The module for operands of these dtypes, whose common dtype is `common`."""
    row = table.pointwise_rows().get(name)
    if row is None:
        raise CudaError(f"ops.yaml has no pointwise row '{name}'")
    if (len(outputs), len(inputs)) != (row.outputs, row.inputs):
        raise CudaError(f"'{name}' has {row.outputs} output(s) and {row.inputs} input(s)")
    chosen = {"input": inputs[0], "output": outputs[0]}.get(row.compute, common)
    given = dtypes.opmath(chosen)
    if given not in row.types:
        raise NotImplementedError(f"\"{row.body}\" not implemented for '{chosen}'")
    compute = "float64" if row.compute == "double" else given
    return Key(name, compute, tuple(outputs), tuple(inputs))


def entries(key: Key, prefix: str = "") -> str:
    """The kernels `contiguous` and `strided` of a key, their names behind `prefix`."""
    row = table.pointwise_rows()[key.name]
    compute = dtypes.CPP[key.compute]
    scalars = ", ".join(compute if s == "T" else s for s in row.scalars)
    outputs = ", ".join(dtypes.CPP[d] for d in key.outputs)
    inputs = ", ".join(dtypes.CPP[d] for d in key.inputs)
    loop = (
        f"alt::Pointwise<{prefix}body, {compute}, alt::Types<{outputs}>, alt::Types<{inputs}>, "
        f"alt::Types<{scalars}>>"
    )
    return f"""// {key}
struct {prefix}body {{
  template <class... T>
  ALT_FN auto operator()(T... x) const {{
    return alt::ops::{row.body}(x...);
  }}
}};
ALT_KERNEL({prefix}contiguous, alt::PointwiseArgs) {{ {loop}::contiguous(arguments); }}
ALT_KERNEL({prefix}strided, alt::PointwiseArgs) {{ {loop}::strided(arguments); }}
"""


def includes(keys: Iterable[Key]) -> str:
    """The headers that the kernels of `keys` need."""
    rows = table.pointwise_rows()
    headers = sorted({rows[k.name].include for k in keys})
    lines = "".join(f'#include "{h}"\n' for h in headers)
    return '#include "loops/kernel.cuh"\n#include "loops/pointwise.cuh"\n' + lines


def source(key: Key) -> str:
    """A module's text."""
    return includes([key]) + entries(key)


def lanes(key: Key) -> int:
    """Elements that a thread of `contiguous` moves at once; addresses must be multiples of it."""
    return 16 // max(dtypes.SIZES[d] for d in (*key.outputs, *key.inputs))
