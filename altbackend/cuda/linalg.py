"""Matrix products and factorizations: cuBLAS and cuSOLVER through CuPy.

Every operator takes stacks of matrices, and gives matrices as PyTorch's has them. A matrix without
the factorization asked for raises `xp.linalg.LinAlgError`, which the front-end words.
"""

from __future__ import annotations

from altbackend.cuda.array import Array, module_of

__all__ = [
    "addmm", "baddbmm", "bmm", "cholesky", "det", "eigh", "inverse", "lstsq", "matrix_exp", "mm",
    "qr", "slogdet", "solve", "svd",
]  # fmt: skip


def mm(a: Array, b: Array) -> Array:
    """A product of matrices, or of stacks of them."""
    return module_of(a).matmul(a, b)


bmm = mm


def addmm(c: Array, a: Array, b: Array, *, beta: complex = 1, alpha: complex = 1) -> Array:
    """beta c + alpha a b; c is not looked at where beta is 0, so that its NaN stay out."""
    product = mm(a, b)
    if alpha != 1:
        product = (product * alpha).astype(product.dtype, copy=False)
    if beta == 0:
        return product
    return (product + (c if beta == 1 else c * beta)).astype(product.dtype, copy=False)


baddbmm = addmm


def cholesky(a: Array, *, upper: bool = False) -> Array:
    """L with a = L L^H, or U with a = U^H U, from the triangle of that name."""
    xp = module_of(a)
    if not upper:
        return xp.linalg.cholesky(a)
    return xp.linalg.cholesky(a.swapaxes(-1, -2).conj()).swapaxes(-1, -2).conj()


def inverse(a: Array) -> Array:
    """The inverse."""
    return module_of(a).linalg.inv(a)


def solve(a: Array, b: Array, *, left: bool = True) -> Array:
    """x with a x = b, or with x a = b; a vector where `b` has one dimension less than `a`."""
    xp = module_of(a)
    if not left:
        return solve(a.swapaxes(-1, -2), b.swapaxes(-1, -2)).swapaxes(-1, -2)
    if b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]:
        return xp.linalg.solve(a, b[..., None])[..., 0]
    return xp.linalg.solve(a, b)


def qr(a: Array, *, mode: str = "reduced") -> tuple[Array, Array]:
    """Q and R; of mode "r" an empty Q."""
    xp = module_of(a)
    if mode == "r":
        return xp.empty((0,), dtype=a.dtype), xp.linalg.qr(a, mode="r")
    q, r = xp.linalg.qr(a, mode=mode)
    return q, r


def eigh(a: Array, *, lower: bool = True) -> tuple[Array, Array]:
    """Eigenvalues, ascending, and eigenvectors of Hermitian matrices."""
    values, vectors = module_of(a).linalg.eigh(a, UPLO="L" if lower else "U")
    return values, vectors


def svd(a: Array, *, full: bool = False) -> tuple[Array, Array, Array]:
    """U, S and V^H."""
    u, s, vh = module_of(a).linalg.svd(a, full_matrices=full)
    return u, s, vh


def det(a: Array) -> Array:
    """The determinant."""
    return module_of(a).linalg.det(a)


def slogdet(a: Array) -> tuple[Array, Array]:
    """The determinant's sign and the logarithm of its size."""
    sign, size = module_of(a).linalg.slogdet(a)
    return sign, size


def lstsq(a: Array, b: Array) -> Array:
    """x with the least |a x - b|, by QR of matrices of full rank, as the driver gels."""
    xp = module_of(a)
    rows, columns = a.shape[-2:]
    if rows >= columns:
        q, r = xp.linalg.qr(a)
        return xp.linalg.solve(r, xp.matmul(q.swapaxes(-1, -2).conj(), b))
    q, r = xp.linalg.qr(a.swapaxes(-1, -2).conj())
    return xp.matmul(q, xp.linalg.solve(r.swapaxes(-1, -2).conj(), b))


# Padé's approximant of degree 13 and the norm that it is good for: Higham, "The scaling and
# squaring method for the matrix exponential revisited" (2005).
_PADE = (
    64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000,
    10559470521600, 670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1,
)  # fmt: skip
_PADE_NORM = 5.371920351148152


def matrix_exp(a: Array) -> Array:
    """exp of square matrices, by scaling and squaring."""
    xp = module_of(a)
    if a.size == 0:
        return a.copy()
    size = float(xp.max(xp.sum(xp.abs(a), axis=-2)))
    squarings = 0
    while size > _PADE_NORM and size != float("inf"):
        size, squarings = size / 2, squarings + 1
    a = a / 2**squarings
    one = xp.broadcast_to(xp.eye(a.shape[-1], dtype=a.dtype), a.shape)
    a2 = xp.matmul(a, a)
    a4 = xp.matmul(a2, a2)
    a6 = xp.matmul(a4, a2)
    b = [float(c) / _PADE[0] for c in _PADE]

    def part(first: int) -> Array:
        high = b[first + 12] * a6 if first + 12 < len(b) else 0 * a6
        high = high + b[first + 10] * a4 + b[first + 8] * a2
        low = b[first + 6] * a6 + b[first + 4] * a4 + b[first + 2] * a2 + b[first] * one
        return xp.matmul(a6, high) + low

    # Odd powers 1 .. 13 begin at b[1]: their highest, b[13], multiplies a6 a6 a.
    odd = xp.matmul(a, part(1))
    even = part(0)
    result = xp.linalg.solve(even - odd, even + odd)
    for _ in range(squarings):
        result = xp.matmul(result, result)
    return result.astype(a.dtype, copy=False)
