"""cupy.cuda.device: the libraries' handles."""

from __future__ import annotations


def get_cublas_handle() -> int:
    """What cupy_backends' cublas knows."""
    return 7


def get_cusolver_handle() -> int:
    """What cupy_backends' cusolver knows."""
    return 11
