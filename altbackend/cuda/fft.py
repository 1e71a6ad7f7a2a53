"""Fourier transforms: cuFFT through CuPy, with the arguments of _fft_c2c, _fft_r2c and _fft_c2r."""

from __future__ import annotations

from collections.abc import Sequence

from altbackend.cuda.array import Array, module_of

__all__ = ["c2c", "c2r", "r2c"]


def _norm(normalization: int, forward: bool) -> str:
    """PyTorch's 0 (none), 1 (by the root of the size) and 2 (by the size) as the array module's."""
    if normalization == 1:
        return "ortho"
    return "backward" if forward == (normalization == 0) else "forward"


def c2c(x: Array, dim: Sequence[int], normalization: int, forward: bool) -> Array:
    """Complex to complex."""
    if not dim:
        return x.copy()
    transform = module_of(x).fft.fftn if forward else module_of(x).fft.ifftn
    return transform(x, axes=tuple(dim), norm=_norm(normalization, forward))


def r2c(x: Array, dim: Sequence[int], normalization: int, onesided: bool) -> Array:
    """Real to complex; onesided leaves out what symmetry gives, along the last of `dim`."""
    fft = module_of(x).fft
    transform = fft.rfftn if onesided else fft.fftn
    return transform(x, axes=tuple(dim), norm=_norm(normalization, True))


def c2r(x: Array, dim: Sequence[int], normalization: int, last_size: int) -> Array:
    """The inverse of a onesided r2c whose last dimension had `last_size` elements."""
    sizes = [x.shape[d] for d in dim[:-1]] + [last_size]
    norm = _norm(normalization, False)
    return module_of(x).fft.irfftn(x, s=sizes, axes=tuple(dim), norm=norm)
