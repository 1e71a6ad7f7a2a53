"""The kernels that are algorithms of their own, a family to a file named as its host twin.

`KERNELS` says where each is and which dtypes it is compiled for; its file says what it takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from altbackend.cuda import dtypes
from altbackend.cuda.arguments import KernelArgs, kernel
from altbackend.cuda.errors import CudaError

__all__ = ["KERNELS", "Key", "KernelArgs", "entries", "kernel", "key", "row_block", "source"]

FLOATING = ("float32", "float64", "float16", "bfloat16")
THREADS = 256
# dtypes of the template's parameters: operands alike; a statistic or a result that may be float.
Lists = list[tuple[str, ...]]
_SAME: Lists = [(d,) for d in FLOATING]
_TWICE: Lists = [(d, d) for d in FLOATING]
_FLOAT_BESIDE_HALF: Lists = [*_TWICE, ("float32", "float16"), ("float32", "bfloat16")]
INDICES = ("int64", "int32")
# What is only moved is named by an unsigned integer of its size, or by complex128.
_MOVED: Lists = [
    (d, i) for d in ("uint8", "uint16", "uint32", "uint64", "complex128") for i in INDICES
]
_ADDED: Lists = [
    (d, "int64") for d in (*FLOATING, "uint8", "int8", "int16", "int32", "int64", "bool")
]

# Kernel: its file, and the lists of dtypes that its template takes.
KERNELS: dict[str, tuple[str, Lists]] = {
    "softmax_forward": ("softmax", _FLOAT_BESIDE_HALF),
    "log_softmax_forward": ("softmax", _FLOAT_BESIDE_HALF),
    "softmax_backward": (
        "softmax",
        [*_TWICE, ("float16", "float32"), ("bfloat16", "float32")],
    ),
    "log_softmax_backward": (
        "softmax",
        [*_TWICE, ("float16", "float32"), ("bfloat16", "float32")],
    ),
    "norm_moments": ("norm", _FLOAT_BESIDE_HALF),
    "norm_apply": ("norm", _FLOAT_BESIDE_HALF),
    "norm_backward": ("norm", _FLOAT_BESIDE_HALF),
    "norm_weight_backward": ("norm", _FLOAT_BESIDE_HALF),
}
_MOVE = ("gather", "index_get", "index_select")
_ADD = ("scatter", "index_put", "index_add")
_POOL = ("max_pool", "average_pool", "adaptive_average_pool")
_INTEGERS: Lists = [(d,) for d in ("uint8", "int8", "int16", "int32", "int64")]
KERNELS |= dict.fromkeys(_MOVE, ("index", _MOVED))
KERNELS |= dict.fromkeys(_ADD, ("index", _ADDED))
KERNELS["embedding_backward"] = ("index", [(d, i) for d in FLOATING for i in INDICES])
KERNELS |= dict.fromkeys([*_POOL, *(f"{name}_backward" for name in _POOL)], ("pool", _SAME))
KERNELS["max_pool"] = ("pool", [*_SAME, *_INTEGERS])
KERNELS |= dict.fromkeys(("average_pool", "average_pool_backward"), ("pool", [*_SAME, ("int64",)]))
KERNELS["adaptive_max_pool"] = ("pool", _SAME)
_CONV = ("conv_forward", "conv_backward_input", "conv_backward_weight")
KERNELS |= dict.fromkeys(_CONV, ("conv", [*_SAME, ("int64",)]))
KERNELS["norm_finish"] = ("norm", [("float32",), ("float64",)])
_FILLED = (*FLOATING, "uint8", "int8", "int16", "int32", "int64", "bool")
KERNELS["random_fill"] = ("random", [(d,) for d in _FILLED])
KERNELS["resample_sum"] = ("resample", _SAME)
KERNELS["resample_move"] = ("resample", [(d,) for d, i in _MOVED if i == "int64"])
KERNELS["foreach_map"] = ("foreach", _SAME)
KERNELS["sequence"] = ("factory", [(d,) for d in _FILLED if d != "bool"])
KERNELS["triangle"] = ("factory", [(d,) for d, i in _MOVED if i == "int64"])
KERNELS["masked_scale"] = ("dropout", _SAME)
_LOSSES = (
    *("nll_each", "nll_sum", "nll_join", "nll_backward"),
    *("binary_cross_entropy", "binary_cross_entropy_backward"),
)
KERNELS |= dict.fromkeys(_LOSSES, ("loss", _SAME))
_GRID = ("grid_sample", "grid_sample_backward_image", "grid_sample_backward_points")
KERNELS |= dict.fromkeys(_GRID, ("grid_sample", [("float32",), ("float64",)]))
KERNELS["embedding_bag"] = ("embedding_bag", _SAME)
KERNELS["unpack_pivots"] = ("linalg", [("int32",)])
_NUMBERS = (*FLOATING, *(d for (d,) in _INTEGERS), "complex64", "complex128")
KERNELS["cross"] = ("cross", [(d,) for d in _NUMBERS])
KERNELS["im2col"] = ("im2col", KERNELS["resample_move"][1])
_ADDED_UP = ("float32", "float64", "int32", "complex64", "complex128")
KERNELS["col2im"] = ("im2col", [(d,) for d in _ADDED_UP])
_DISTANCES = ("distances", "distances_backward")
KERNELS |= dict.fromkeys(_DISTANCES, ("distance", [("float32",), ("float64",)]))
KERNELS["integer_product"] = ("gemm", [("int64",)])
_CELLS = ("lstm_cell", "lstm_cell_backward", "gru_cell", "gru_cell_backward")
KERNELS |= dict.fromkeys(_CELLS, ("rnn", _SAME))
_ATTENTION = ("attention_forward", "attention_backward_query", "attention_backward_key")
KERNELS |= dict.fromkeys(_ATTENTION, ("attention", [(d,) for d in FLOATING if d != "float64"]))
KERNELS |= dict.fromkeys(("adam", "sgd", "adagrad", "unscale"), ("optim", _SAME))
KERNELS["update_scale"] = ("optim", [("float32",)])


@dataclass(frozen=True)
class Key:
    """A kernel for certain dtypes."""

    name: str
    dtypes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}<{', '.join(self.dtypes)}>"


def key(name: str, *given: str) -> Key:
    """The kernel for these dtypes."""
    if name not in KERNELS:
        raise CudaError(f"there is no kernel '{name}'")
    if given not in KERNELS[name][1]:
        raise NotImplementedError(f"\"{name}\" not implemented for '{', '.join(given)}'")
    return Key(name, given)


def entries(keys: Iterable[Key], prefixes: Iterable[str]) -> str:
    """Kernels named `prefix` + name, and the headers that they need."""
    keys = list(keys)
    files = sorted({KERNELS[k.name][0] for k in keys})
    text = '#include "loops/kernel.cuh"\n'
    text += "".join(f'#include "kernels/{file}.cuh"\n' for file in files)
    for k, prefix in zip(keys, prefixes, strict=True):
        given = ", ".join(dtypes.CPP[d] for d in k.dtypes)
        text += (
            f"ALT_KERNEL({prefix}{k.name}, alt::KernelArgs) {{\n"
            f"  alt::kernels::{k.name}<{given}>(arguments);\n}}\n"
        )
    return text


def source(k: Key) -> str:
    """A module's text."""
    return entries([k], [""])


def row_block(rows: int, count: int, *, across: bool = False) -> tuple[int, tuple[int, int]]:
    """Blocks, and the lanes and rows of a block, for `rows` rows of `count` elements."""
    lanes = 1
    while lanes < min(count, THREADS if not across else THREADS // 32):
        lanes *= 2
    beside = min(THREADS // lanes, max(1, rows))
    return -(-rows // beside), ((beside, lanes) if across else (lanes, beside))
