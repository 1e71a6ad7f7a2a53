"""cuBLAS for csrc/kernels/cuda/gemm.cpp: addresses and numbers, no arrays, little Python."""

from __future__ import annotations

import functools
from typing import Any

from altbackend.cuda.stream import on_stream

# cublasComputeType_t by cudaDataType_t: half types are summed in float, nothing in TF32.
_COMPUTE_TYPE = {0: 68, 1: 70, 2: 68, 4: 68, 5: 70, 14: 68}
_DEFAULT_ALGORITHM = -1


@functools.cache
def _functions() -> tuple[Any, Any]:
    from cupy.cuda import device
    from cupy_backends.cuda.libs import cublas

    return device.get_cublas_handle, cublas.gemmStridedBatchedEx


def gemm(
    dtype: int, transpose_a: bool, transpose_b: bool, m: int, n: int, k: int,
    alpha: int, a: int, lda: int, stride_a: int, b: int, ldb: int, stride_b: int,
    beta: int, c: int, ldc: int, stride_c: int, batch: int, stream: int,
) -> None:  # fmt: skip
    """c = alpha a b + beta c, column-major; alpha and beta are addresses on the host."""
    handle, product = _functions()
    with on_stream(stream):
        product(
            handle(), int(transpose_a), int(transpose_b), m, n, k,
            alpha, a, dtype, lda, stride_a, b, dtype, ldb, stride_b,
            beta, c, dtype, ldc, stride_c, batch, _COMPUTE_TYPE[dtype], _DEFAULT_ALGORITHM,
        )  # fmt: skip
