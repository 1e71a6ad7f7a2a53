"""The structs of ``csrc/loops/arguments.h`` for ctypes, filled as C++ fills them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from altbackend import _C

MAX_DIMS = 16
MAX_OPERANDS = 8
MAX_SCALARS = 8


class TensorArgs(ctypes.Structure):
    """A tensor; strides count elements."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("ndim", ctypes.c_int64),
        ("sizes", ctypes.c_int64 * MAX_DIMS),
        ("strides", ctypes.c_int64 * MAX_DIMS),
    ]


class ScalarArgs(ctypes.Structure):
    """A number."""

    _fields_ = [
        ("real", ctypes.c_double),
        ("imaginary", ctypes.c_double),
        ("integer", ctypes.c_int64),
    ]


class DividerArgs(ctypes.Structure):
    """A divisor below 2^31 and what replaces the division by it."""

    _fields_ = [
        ("divisor", ctypes.c_uint32),
        ("multiplier", ctypes.c_uint32),
        ("shift", ctypes.c_uint32),
    ]


class PointwiseArgs(ctypes.Structure):
    """Operands of a pointwise kernel, outputs first; dimension 0 is the innermost."""

    _fields_ = [
        ("numel", ctypes.c_int64),
        ("ndim", ctypes.c_int64),
        ("data", ctypes.c_void_p * MAX_OPERANDS),
        ("sizes", DividerArgs * MAX_DIMS),
        ("strides", (ctypes.c_int64 * MAX_DIMS) * MAX_OPERANDS),
        ("scalars", ScalarArgs * MAX_SCALARS),
        ("numbers", (ctypes.c_uint8 * 16) * MAX_OPERANDS),
    ]


class ReduceArgs(ctypes.Structure):
    """What is reduced, and to where; dimension 0 is the innermost."""

    _fields_ = [
        ("outputs", ctypes.c_int64),
        ("count", ctypes.c_int64),
        ("splits", ctypes.c_int64),
        ("across", ctypes.c_int64),
        ("kept_dims", ctypes.c_int64),
        ("reduced_dims", ctypes.c_int64),
        ("input", ctypes.c_void_p),
        ("out", ctypes.c_void_p * 2),
        ("parts", ctypes.c_void_p),
        ("kept_sizes", DividerArgs * MAX_DIMS),
        ("reduced_sizes", DividerArgs * MAX_DIMS),
        ("kept_in", ctypes.c_int64 * MAX_DIMS),
        ("kept_out", (ctypes.c_int64 * MAX_DIMS) * 2),
        ("reduced_in", ctypes.c_int64 * MAX_DIMS),
        ("scalars", ScalarArgs * 2),
    ]


class KernelArgs(ctypes.Structure):
    """Of the kernels of altbackend/cuda/kernels."""

    _fields_ = [
        ("tensors", TensorArgs * 8),
        ("integers", ctypes.c_int64 * 32),
        ("numbers", ctypes.c_double * 8),
    ]


def tensor(data: int, sizes: Sequence[int], strides: Sequence[int]) -> TensorArgs:
    """A tensor of at most MAX_DIMS dimensions at the address `data`."""
    if len(sizes) > MAX_DIMS:
        raise ValueError(f"a kernel takes tensors of at most {MAX_DIMS} dimensions")
    result = TensorArgs(data=data, ndim=len(sizes))
    result.sizes[: len(sizes)] = list(sizes)
    result.strides[: len(strides)] = list(strides)
    return result


def kernel(
    tensors: Sequence[TensorArgs | None], integers: Sequence[int], numbers: Sequence[float] = ()
) -> KernelArgs:
    """What a kernel takes; a tensor that is not given has no address."""
    result = KernelArgs()
    for k, given in enumerate(tensors):
        if given is not None:
            result.tensors[k] = given
    result.integers[: len(integers)] = [int(i) for i in integers]
    result.numbers[: len(numbers)] = [float(x) for x in numbers]
    return result


def pointwise(
    data: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[Sequence[int]],
    scalars: Sequence[complex | float | int | bool] = (),
) -> PointwiseArgs:
    """Operands at the addresses `data`, outputs first, broadcast to `sizes`."""
    # Innermost first, as TensorIterator has them; C++ joins those that lie alike.
    dims = sorted(range(len(sizes)), key=lambda d: ([abs(s[d]) for s in strides], -d))
    made = _C.cuda_pointwise_arguments(
        list(data), [sizes[d] for d in dims], [[s[d] for d in dims] for s in strides], list(scalars)
    )
    if made is None:
        raise ValueError(f"a kernel takes tensors of at most {MAX_DIMS} dimensions")
    return PointwiseArgs.from_buffer_copy(made)


def is_contiguous(a: PointwiseArgs, outputs: int, item_sizes: Sequence[int], lanes: int) -> bool:
    """Whether `lanes` elements of each operand can be moved at once."""
    return _C.cuda_is_contiguous(bytes(a), outputs, list(item_sizes), lanes)
